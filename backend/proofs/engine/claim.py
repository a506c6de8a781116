"""What a VaR proof says and what its verifier must recompute; circuits/README.md is the specification."""

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD, bytes_to_field, limbs, to_field
from backend.kernel.poseidon import VAR_DOMAIN, absorb, position_commitment
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.proofs.types import Binding, Breach, CircuitShape, Claim, Matrix, Positions, Statement
from backend.risk.engine.var import attestable_var_units, pnl_units, tail_rank, usd

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


def holds(statement: Statement, binding: Binding, matrix: Matrix, limit: int) -> bool:
    """Return whether a statement is about this binding, matrix and limit, and its fold is right.

    With a valid proof for `public_inputs(statement)` this is the whole verification.
    """
    values = statement.values()
    expected = (*limbs(matrix.universe_id), *limbs(returns_id(matrix)), limit)
    if values[0] != context(binding) or values[2:7] != expected:
        return False
    if any(not 0 <= value < SCALAR_FIELD for value in values):
        return False
    rows = unpack_returns(matrix.packed, len(matrix.prices))
    return fold(matrix.prices, rows, statement.r, statement.z) == statement.e


def build_claim(
    binding: Binding, positions: Positions, matrix: Matrix, limit: int, shape: CircuitShape
) -> Claim | Breach:
    """Return the claim that these positions keep the limit (1e-16 USD), or Breach when they do not.

    Raises Invalid where positions, limit or matrix do not fit the circuit.
    """
    rows = unpack_returns(matrix.packed, shape.instruments)
    _check_shape(positions, matrix, rows, limit, shape)
    pnl = pnl_units(positions.quantities, matrix.prices, rows)
    var = attestable_var_units(pnl, shape.confidence)
    if var > limit:
        return Breach(usd(var), usd(limit))
    rank = tail_rank(shape.window, shape.confidence)
    worst = set(sorted(range(shape.window), key=pnl.__getitem__)[: rank - 1])
    exceeds = [int(day in worst) for day in range(shape.window)]
    return assemble(binding, positions, matrix, limit, pnl=pnl, exceeds=exceeds)


def assemble(
    binding: Binding, positions: Positions, matrix: Matrix, limit: int, *, pnl: Sequence[int], exceeds: Sequence[int]
) -> Claim:
    """Return the claim for a given P&L and given exception flags, checking nothing; the circuit does."""
    rows = unpack_returns(matrix.packed, len(matrix.prices))
    hi, lo = limbs(returns_id(matrix))
    universe = limbs(matrix.universe_id)
    ctx = context(binding)
    commitment = position_commitment(positions.salt, matrix.universe_id, positions.quantities)
    r = absorb(VAR_DOMAIN, (ctx, commitment, hi, lo, to_field(limit), *pnl))
    c = columns(matrix.prices, rows, r)
    z = absorb(r, c)
    statement = Statement(ctx, commitment, *universe, hi, lo, to_field(limit), r, z, evaluate(c, z))
    inputs = public_inputs(statement)
    return Claim(
        statement,
        inputs,
        {
            "x": inputs[2],
            "context": ctx,
            "returnsHi": hi,
            "returnsLo": lo,
            "limit": to_field(limit),
            "salt": positions.salt,
            "universeHi": universe[0],
            "universeLo": universe[1],
            "q": [to_field(quantity) for quantity in positions.quantities],
            "p": [to_field(day) for day in pnl],
            "c": c,
            "exceeds": list(exceeds),
        },
    )


def _check_shape(
    positions: Positions, matrix: Matrix, rows: Sequence[Sequence[int]], limit: int, shape: CircuitShape
) -> None:
    if len(positions.quantities) != shape.instruments or len(matrix.prices) != shape.instruments:
        raise Invalid(f"the circuit holds {shape.instruments} instruments")
    if len(rows) != shape.window:
        raise Invalid(f"the circuit holds {shape.window} days, got {len(rows)}")
    if any(abs(quantity) >= 1 << shape.quantity_bits for quantity in positions.quantities):
        raise Invalid(f"a quantity exceeds {shape.quantity_bits} bits")
    if not 0 <= limit < 1 << shape.limit_bits:
        raise Invalid(f"the limit is not within {shape.limit_bits} bits")
    if not 0 <= positions.salt < SCALAR_FIELD:
        raise Invalid("the salt is not a field element")
