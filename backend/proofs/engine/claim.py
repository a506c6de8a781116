"""What a VaR proof says and what its verifier must recompute; circuits/README.md is the specification."""

from collections.abc import Sequence
from fractions import Fraction

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD, bytes_to_field, limbs, to_field
from backend.kernel.poseidon import absorb, pack, position_commitment
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.proofs.types import Binding, Breach, CircuitShape, Claim, Limits, Matrix, Positions, Statement, TailWitness
from backend.risk.engine.var import attestable_es_units, attestable_var_units, pnl_units, tail_rank, usd

DAYS_AN_ELEMENT = 3
BINDING_TYPES = ("uint256", "address", "address", "uint64", "bytes32", "bytes32", "bytes32", "uint64")


def context(binding: Binding) -> int:
    """Return keccak256(abi.encode(...)) of what the proof is bound to, reduced into the field."""
    values = (
        binding.chain_id,
        binding.attestor,
        binding.subject,
        binding.epoch,
        binding.policy_id,
        binding.previous,
        binding.log_id,
        binding.anchor_index,
    )
    return bytes_to_field(keccak(encode(BINDING_TYPES, values)))


def attestation_id(ctx: int, commitment: int, returns: bytes) -> bytes:
    """Return the id under which the contract stores an accepted claim."""
    return keccak(encode(["uint256", "uint256", "bytes32"], [ctx, commitment, returns]))


def columns(prices: Sequence[int], rows: Sequence[Sequence[int]], r: int) -> list[int]:
    """Return c_n = price_n sum_w r^w R[w][n] in the field, for each instrument."""
    sums = [0] * len(prices)
    for row in reversed(rows):
        sums = [(total * r + unit) % SCALAR_FIELD for total, unit in zip(sums, row, strict=True)]
    return [price * total % SCALAR_FIELD for price, total in zip(prices, sums, strict=True)]


def evaluate(coefficients: Sequence[int], at: int) -> int:
    """Return sum_i coefficients_i at^i in the field."""
    total = 0
    for coefficient in reversed(coefficients):
        total = (total * at + coefficient) % SCALAR_FIELD
    return total


def fold(prices: Sequence[int], rows: Sequence[Sequence[int]], r: int, z: int) -> int:
    """Return e = sum_n z^n price_n sum_w r^w R[w][n]: the equation that the circuit leaves to the verifier."""
    return evaluate(columns(prices, rows, r), z)


def public_inputs(statement: Statement) -> tuple[int, int, int]:
    """Return the proof's public inputs (z, y, x): x = keccak256 of the statement's words, y = its polynomial at x."""
    values = statement.values()
    x = bytes_to_field(keccak(b"".join(value.to_bytes(32, "big") for value in values)))
    return statement.z, evaluate(values, x), x


def holds(statement: Statement, binding: Binding, matrix: Matrix, limits: Limits) -> bool:
    """Return whether a statement is about this binding, matrix and limits, and its fold is right.

    With a valid proof for `public_inputs(statement)` this is the whole verification of a matrix that has the circuit's
    (N, W): nothing here knows the circuit, whose k-1 days are a larger share of a shorter window.
    """
    values = statement.values()
    if any(not 0 <= value < SCALAR_FIELD for value in values):
        return False
    bound = attestation_id(context(binding), statement.commitment, returns_id(matrix))
    if values[0] != bytes_to_field(bound) or values[2:6] != (*limbs(matrix.universe_id), limits.var, limits.es):
        return False
    rows = unpack_returns(matrix.packed, len(matrix.prices))
    return fold(matrix.prices, rows, statement.r, statement.z) == statement.e


def build_claim(
    binding: Binding, positions: Positions, matrix: Matrix, limits: Limits, shape: CircuitShape
) -> Claim | Breach:
    """Return the claim that these positions keep the limits, or Breach when they do not.

    Raises Invalid where positions, limits or matrix do not fit the circuit.
    """
    rows = unpack_returns(matrix.packed, shape.instruments)
    _check_shape(positions, matrix, rows, limits, shape)
    pnl = pnl_units(positions.quantities, matrix.prices, rows)
    breach = breach_of(pnl, limits, shape)
    if breach is not None:
        return breach
    witness = tail_witness(pnl, shape.confidence)
    _check_range(pnl, limits, witness, shape)
    return assemble(binding, positions, matrix, limits, shape, pnl=pnl, witness=witness)


def breach_of(pnl: Sequence[int], limits: Limits, shape: CircuitShape) -> Breach | None:
    """Return how daily P&L (W,) in 1e-16 USD breaks the limits, None where it keeps them."""
    var = attestable_var_units(pnl, shape.confidence)
    es = attestable_es_units(pnl, shape.confidence) if shape.expected_shortfall else 0
    if var <= limits.var and es <= limits.es:
        return None
    shown = (usd(es), usd(limits.es)) if shape.expected_shortfall else (None, None)
    return Breach(usd(var), usd(limits.var), *shown)


def tail_witness(pnl: Sequence[int], confidence: Fraction) -> TailWitness:
    """Return flags on the k-1 worst days and v, the k-th largest loss."""
    worst = sorted(range(len(pnl)), key=pnl.__getitem__)[: tail_rank(len(pnl), confidence)]
    flagged = set(worst[:-1])
    return TailWitness(tuple(int(day in flagged) for day in range(len(pnl))), -pnl[worst[-1]])


def assemble(
    binding: Binding,
    positions: Positions,
    matrix: Matrix,
    limits: Limits,
    shape: CircuitShape,
    *,
    pnl: Sequence[int],
    witness: TailWitness,
    commitment: int | None = None,
) -> Claim:
    """Return the claim for a given P&L and witness, checking nothing; the circuit does."""
    if commitment is None:
        commitment = position_commitment(positions.salt, matrix.universe_id, positions.quantities)
    attestation = bytes_to_field(attestation_id(context(binding), commitment, returns_id(matrix)))
    bounds, days = _bounds_and_days(limits, shape, pnl, witness)
    # Without the salt in it, r would confirm a guess of the positions
    opening = commitment + positions.salt
    r = absorb(attestation, (opening, bounds, *pack(days, shape.pnl_bits + 1, DAYS_AN_ELEMENT)))
    c = columns(matrix.prices, unpack_returns(matrix.packed, len(matrix.prices)), r)
    z = absorb(r, c)
    universe = limbs(matrix.universe_id)
    limit, es_limit = to_field(limits.var), to_field(limits.es)
    statement = Statement(attestation, commitment, *universe, limit, es_limit, r, z, evaluate(c, z))
    inputs: dict[str, int | Sequence[int]] = {
        "attestation": attestation,
        "limit": limit,
        "salt": positions.salt,
        "universeHi": universe[0],
        "universeLo": universe[1],
        "q": [to_field(quantity) for quantity in positions.quantities],
        "p": [to_field(day) for day in pnl],
        "c": c,
        "flag": [to_field(flag) for flag in witness.flags],
    }
    if shape.expected_shortfall:
        inputs |= {"esLimit": es_limit, "v": to_field(witness.v)}
    return with_statement(Claim(statement, (), inputs), statement)


def with_statement(claim: Claim, statement: Statement) -> Claim:
    """Return the claim with another statement, its public inputs following from it."""
    inputs = public_inputs(statement)
    return Claim(statement, inputs, {**claim.inputs, "x": inputs[2]})


def _bounds_and_days(
    limits: Limits, shape: CircuitShape, pnl: Sequence[int], witness: TailWitness
) -> tuple[int, list[int]]:
    """Return what binds limits and P&L in the transcript: circuits/lib/days.circom."""
    top, flagged = 1 << shape.limit_bits, 1 << shape.pnl_bits
    if not shape.expected_shortfall:
        marked = zip(pnl, witness.flags, strict=True)
        return limits.var, [limits.var + day + flag * (top + flagged) for day, flag in marked]
    (bounds,) = pack((limits.var, limits.es, witness.v + top), shape.limit_bits + 2, 3)
    marked = zip(pnl, witness.flags, strict=True)
    return bounds, [(1 - 2 * flag) * (witness.v + day) + flag * flagged for day, flag in marked]


def _check_shape(
    positions: Positions, matrix: Matrix, rows: Sequence[Sequence[int]], limits: Limits, shape: CircuitShape
) -> None:
    if len(positions.quantities) != shape.instruments or len(matrix.prices) != shape.instruments:
        raise Invalid(f"the circuit holds {shape.instruments} instruments")
    if len(rows) != shape.window:
        raise Invalid(f"the circuit holds {shape.window} days, got {len(rows)}")
    if any(abs(quantity) >= 1 << shape.quantity_bits for quantity in positions.quantities):
        raise Invalid(f"a quantity exceeds {shape.quantity_bits} bits")
    if any(not 0 <= limit < 1 << shape.limit_bits for limit in (limits.var, limits.es)):
        raise Invalid(f"a limit is not within {shape.limit_bits} bits")
    if limits.es and not shape.expected_shortfall:
        raise Invalid("the circuit proves no expected shortfall")
    if not 0 <= positions.salt < SCALAR_FIELD:
        raise Invalid("the salt is not a field element")


def _check_range(pnl: Sequence[int], limits: Limits, witness: TailWitness, shape: CircuitShape) -> None:
    # Counted from a limit or from v, both within limit_bits, every day then fits pnl_bits; without expected shortfall
    # a flagged day is counted from the limit and moved up by as much again
    most = 1 << shape.limit_bits
    moved = 0 if shape.expected_shortfall else limits.var
    for day, (units, flag) in enumerate(zip(pnl, witness.flags, strict=True)):
        if abs(units) >= most or flag * (moved + units) >= most:
            raise Invalid(
                f"day {day} of the window moves the account by more than {usd(most):,.0f} USD: not attestable"
            )
