"""The circuit accepts exactly what its statement says: each attack is tried on a real key."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace

import groth16py
import pytest

from backend.kernel.field import SCALAR_FIELD, limbs, to_field
from backend.kernel.poseidon import VAR_DOMAIN, absorb, position_commitment
from backend.proofs.engine.claim import assemble, build_claim, columns, context, evaluate, holds, public_inputs
from backend.proofs.engine.returns import pack_returns, returns_id, unpack_returns
from backend.proofs.types import Binding, Breach, Claim, Matrix, Positions, Statement
from tests.circuits.example import (
    BINDING,
    ROOT,
    SHAPE,
    flags,
    honest,
    matrix,
    pnl,
    positions,
    proving_key,
    var_units,
)

MARKET = matrix()
HELD = positions()
LIMIT = var_units(HELD, MARKET)
DAYS = pnl(HELD, MARKET)


def forged_pnl(binding: Binding, held: Positions, market: Matrix, limit: int) -> Claim:
    """Return a claim of no loss at all: zero P&L, and column values solved to fit instead of the published ones."""
    universe, returns = limbs(market.universe_id), limbs(returns_id(market))
    ctx, commitment = context(binding), position_commitment(held.salt, market.universe_id, held.quantities)
    days = [0] * 90
    r = absorb(VAR_DOMAIN, (ctx, commitment, *returns, limit, *days))
    c = columns(market.prices, unpack_returns(market.packed, 16), r)
    others = sum(q * value for q, value in zip(held.quantities[1:], c[1:], strict=True))
    c[0] = -others * pow(held.quantities[0], -1, SCALAR_FIELD) % SCALAR_FIELD
    z = absorb(r, c)
    statement = Statement(ctx, commitment, *universe, *returns, limit, r, z, evaluate(c, z))
    inputs = public_inputs(statement)
    base = assemble(binding, held, market, limit, pnl=days, exceeds=flags(days))
    return Claim(statement, inputs, {**base.inputs, "x": inputs[2], "p": days, "c": c})


def _with(claim: Claim, name: str, value: int | Sequence[int]) -> Claim:
    return replace(claim, inputs={**claim.inputs, name: value})


def test_an_honest_claim_at_exactly_the_var_is_accepted() -> None:
    claim = build_claim(BINDING, HELD, MARKET, LIMIT, SHAPE)
    assert isinstance(claim, Claim)
    assert proving_key().accepts(claim)
    assert holds(claim.statement, BINDING, MARKET, LIMIT)


def test_a_limit_just_below_the_var_has_no_claim_and_its_forged_witness_no_proof() -> None:
    assert isinstance(build_claim(BINDING, HELD, MARKET, LIMIT - 1, SHAPE), Breach)
    assert not proving_key().accepts(honest(BINDING, HELD, MARKET, LIMIT - 1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_circuit_accepts_exactly_what_the_engine_allows(seed: int) -> None:
    held, market = positions(seed), matrix(seed)
    var = var_units(held, market)
    assert proving_key().accepts(honest(BINDING, held, market, var))
    assert not proving_key().accepts(honest(BINDING, held, market, var - 1))


def test_an_all_profit_window_is_accepted_at_limit_zero() -> None:
    rising = replace(MARKET, packed=pack_returns([[1 + day] * 16 for day in range(90)]))
    held = Positions(9, (1_000_000,) * 16)
    assert all(day > 0 for day in pnl(held, rising))
    claim = build_claim(BINDING, held, rising, 0, SHAPE)
    assert isinstance(claim, Claim)
    assert proving_key().accepts(claim)


def test_the_largest_positions_fit_and_lose_no_bit() -> None:
    falling = replace(MARKET, prices=((1 << 32) - 1,) * 16, packed=pack_returns([[-(1 << 23)] * 16] * 90))
    held = Positions(9, ((1 << 40) - 1,) * 16)
    var = var_units(held, falling)
    assert (1 << 98) < var < 1 << 99
    assert proving_key().accepts(honest(BINDING, held, falling, var))
    assert not proving_key().accepts(honest(BINDING, held, falling, var - 1))


def test_the_example_input_satisfies_the_circuit() -> None:
    inputs = json.loads((ROOT / "circuits" / "inputs" / "var_16_90.json").read_text())
    vector = json.loads((ROOT / "tests" / "vectors" / "var_claim.json").read_text())
    signals: dict[str, object] = {
        name: [int(v) for v in value] if isinstance(value, list) else int(value) for name, value in inputs.items()
    }
    proof = groth16py.prove(proving_key().proving, signals)
    assert proving_key().verify(proof, [int(value, 16) for value in vector["proof_inputs"]])


def test_the_compiler_finds_no_unconstrained_signal() -> None:
    command = [sys.executable, "-m", "circuits.prover", "inspect"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # 16 quantities, 90 days and the limit are the range checks
    assert json.loads(done.stdout) == {"circuit": "var_16_90", "range_checks": 107, "unexpected": []}
    assert done.returncode == 0


def test_the_empty_book_is_accepted_at_limit_zero() -> None:
    claim = build_claim(BINDING, Positions(5, (0,) * 16), MARKET, 0, SHAPE)
    assert isinstance(claim, Claim)
    assert proving_key().accepts(claim)


def test_one_more_exception_is_refused() -> None:
    assert not proving_key().accepts(assemble(BINDING, HELD, MARKET, LIMIT - 1, pnl=DAYS, exceeds=flags(DAYS, count=5)))


def test_flags_that_are_no_bits_are_refused() -> None:
    exceeds = flags(DAYS, count=5)
    exceeds[exceeds.index(0)] = SCALAR_FIELD - 1
    assert sum(exceeds) % SCALAR_FIELD == 4
    assert not proving_key().accepts(assemble(BINDING, HELD, MARKET, LIMIT - 1, pnl=DAYS, exceeds=exceeds))


@pytest.mark.parametrize("limit", [-1, 1 << 100, SCALAR_FIELD - 1 - (1 << 99)])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    empty = Positions(5, (0,) * 16)
    assert not proving_key().accepts(assemble(BINDING, empty, MARKET, limit, pnl=[0] * 90, exceeds=flags([0] * 90)))


@pytest.mark.parametrize("quantity", [(1 << 40) + 1, -(1 << 40) - 1, SCALAR_FIELD // 2])
def test_a_quantity_out_of_range_is_refused(quantity: int) -> None:
    large = Positions(5, (quantity, *(0,) * 15))
    days = pnl(large, MARKET)
    assert not proving_key().accepts(assemble(BINDING, large, MARKET, (1 << 100) - 1, pnl=days, exceeds=flags(days)))


def test_a_pnl_that_does_not_follow_is_refused() -> None:
    days = [DAYS[0] + 1, *DAYS[1:]]
    assert not proving_key().accepts(assemble(BINDING, HELD, MARKET, LIMIT, pnl=days, exceeds=flags(days)))


def test_a_forged_pnl_with_columns_solved_to_fit_fails_only_the_fold() -> None:
    claim = forged_pnl(BINDING, HELD, MARKET, LIMIT)
    assert proving_key().accepts(claim)
    assert not holds(claim.statement, BINDING, MARKET, LIMIT)


def test_a_witness_under_another_commitment_is_refused() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT)
    assert not proving_key().accepts(_with(claim, "salt", HELD.salt + 1))
    assert not proving_key().accepts(_with(claim, "universeLo", limbs(MARKET.universe_id)[1] ^ 1))


def test_every_value_of_the_statement_is_bound() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT)
    proof = proving_key().prove(claim)
    assert proving_key().verify(proof, claim.public_inputs)
    for field in fields(Statement):
        value = to_field(getattr(claim.statement, field.name) + 1)
        altered = replace(claim.statement, **{field.name: value})
        assert not proving_key().verify(proof, public_inputs(altered)), field.name
        # The commitment is compared with the log's record, not recomputed
        assert holds(altered, BINDING, MARKET, LIMIT) is (field.name == "commitment"), field.name


def test_a_public_input_plus_the_field_order_is_refused() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT)
    proof = proving_key().prove(claim)
    for place in range(3):
        aliased = [value + SCALAR_FIELD * (index == place) for index, value in enumerate(claim.public_inputs)]
        assert not proving_key().verify(proof, aliased)


def test_a_malleated_proof_verifies_so_that_no_one_counts_on_a_proofs_hash() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMIT)
    proof = proving_key().prove(claim)
    base_field = 21888242871839275222246405745257275088696311157297823662689037894645226208583
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    for place in (1, 4, 5):
        words[place] = base_field - words[place]
    malleated = b"".join(word.to_bytes(32, "big") for word in words)
    assert malleated != proof
    assert proving_key().verify(malleated, claim.public_inputs)
