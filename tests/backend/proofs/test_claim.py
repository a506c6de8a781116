"""Claims: what the prover assembles is what a verifier recomputes."""

import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as curve

from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD, bytes_to_field, to_signed
from backend.kernel.poseidon import position_commitment
from backend.proofs.engine.claim import (
    attestation_id,
    build_claim,
    columns,
    context,
    evaluate,
    fold,
    holds,
    public_inputs,
)
from backend.proofs.engine.returns import pack_returns, returns_id, universe_id, unpack_returns
from backend.proofs.types import Binding, Breach, Claim, Limits, Matrix, Positions, Statement
from tests.circuits.example import BINDING, matrix, pnl, positions, shape, tightest

VECTORS = Path(__file__).parents[2] / "vectors"
VECTOR: dict[str, Any] = json.loads((VECTORS / "var_claim.json").read_text())
FOLDS: list[dict[str, Any]] = json.loads((VECTORS / "fold.json").read_text())
SHAPE, VAR_ONLY = shape(), shape("var_16_90")
MARKET, HELD = matrix(), positions()
ROWS = unpack_returns(MARKET.packed, 16)
LIMITS = tightest(HELD, MARKET)
MOST = Limits((1 << 82) - 1, (1 << 82) - 1)
ELEMENT = st.integers(0, SCALAR_FIELD - 1)


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _base64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _vector() -> tuple[Binding, Matrix, Statement, Limits]:
    bound: dict[str, Any] = {
        name: _hex(value) if isinstance(value, str) else value for name, value in VECTOR["binding"].items()
    }
    market = Matrix(
        universe_id(VECTOR["tickers"]), VECTOR["epoch"], tuple(VECTOR["prices_units"]), _base64(VECTOR["returns"])
    )
    statement = Statement(**{name: int(value, 16) for name, value in VECTOR["statement"].items()})
    limits = Limits(**{name: int(value) for name, value in VECTOR["limits_units"].items()})
    return Binding(**bound), market, statement, limits


def _words(content: bytes) -> list[int]:
    return [int.from_bytes(content[at : at + 32], "big") for at in range(0, len(content), 32)]


def _g1(x: int, y: int) -> Any:
    return (curve.FQ(x), curve.FQ(y), curve.FQ.one())


def _g2(x1: int, x0: int, y1: int, y0: int) -> Any:
    return (curve.FQ2([x0, x1]), curve.FQ2([y0, y1]), curve.FQ2.one())


def _verifies(key: bytes, proof: bytes, inputs: list[int]) -> bool:
    """Verify Groth16 from its equation, with a library that has nothing to do with the prover."""
    k, p = _words(key), _words(proof)
    total = _g1(*k[14:16])
    for place, value in enumerate(inputs):
        total = curve.add(total, curve.multiply(_g1(*k[16 + 2 * place : 18 + 2 * place]), value))
    product = curve.FQ12.one()
    for g2, g1 in (
        (_g2(*p[2:6]), curve.neg(_g1(*p[0:2]))),
        (_g2(*k[2:6]), _g1(*k[0:2])),
        (_g2(*k[6:10]), total),
        (_g2(*k[10:14]), _g1(*p[6:8])),
    ):
        product *= curve.pairing(g2, g1, final_exponentiate=False)
    return bool(curve.final_exponentiate(product) == curve.FQ12.one())


def test_the_vector_holds_and_its_proof_verifies_with_another_library() -> None:
    binding, market, statement, limits = _vector()
    assert holds(statement, binding, market, limits)
    inputs = public_inputs(statement)
    assert [f"0x{value:064x}" for value in inputs] == VECTOR["proof_inputs"]
    assert _verifies(_hex(VECTOR["verifying_key"]), _hex(VECTOR["proof"]), list(inputs))


def test_the_vectors_ids_are_recomputed() -> None:
    binding, market, statement, _ = _vector()
    private = VECTOR["private"]
    assert market.universe_id == _hex(VECTOR["universe_id"])
    assert returns_id(market) == _hex(VECTOR["returns_id"])
    assert context(binding) == int(VECTOR["context"], 16)
    commitment = position_commitment(int(private["salt"]), market.universe_id, private["quantities_units"])
    assert commitment == statement.commitment
    made = attestation_id(context(binding), commitment, returns_id(market))
    assert made == _hex(VECTOR["attestation_id"])
    assert bytes_to_field(made) == statement.attestation


@pytest.mark.parametrize("place", range(9))
def test_the_vectors_proof_fails_for_another_statement(place: int) -> None:
    _, _, statement, _ = _vector()
    values = list(statement.values())
    values[place] = (values[place] - 1) % SCALAR_FIELD
    inputs = list(public_inputs(Statement(*values)))
    assert not _verifies(_hex(VECTOR["verifying_key"]), _hex(VECTOR["proof"]), inputs)


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 1},
        {"attestor": b"\1" * 20},
        {"subject": b"\1" * 20},
        {"epoch": 1},
        {"policy_id": b"\3" * 32},
        {"previous": b"\3" * 32},
        {"log_id": b"\3" * 32},
        {"anchor_index": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_statement_is_about_its_binding_only(changes: dict[str, Any]) -> None:
    binding, market, statement, limits = _vector()
    assert not holds(statement, replace(binding, **changes), market, limits)


def test_a_statement_is_about_its_market_and_limits_only() -> None:
    binding, market, statement, limits = _vector()
    changed = (
        replace(market, prices=(market.prices[0] + 1, *market.prices[1:])),
        replace(market, packed=bytes([market.packed[0] ^ 1]) + market.packed[1:]),
        replace(market, epoch=market.epoch + 1),
        replace(market, universe_id=bytes(32)),
    )
    assert not any(holds(statement, binding, other, limits) for other in changed)
    assert not holds(statement, binding, market, replace(limits, var=limits.var + 1))
    assert not holds(statement, binding, market, replace(limits, es=limits.es + 1))
    assert not holds(statement, binding, market, replace(limits, es=0))
    for name in ("e", "r", "attestation"):
        alias = replace(statement, **{name: getattr(statement, name) + SCALAR_FIELD})
        assert not holds(alias, binding, market, limits)
        off_by_one = replace(statement, **{name: (getattr(statement, name) + 1) % SCALAR_FIELD})
        assert not holds(off_by_one, binding, market, limits)


@pytest.mark.parametrize("case", FOLDS)
def test_the_fold_equals_its_vectors_and_its_definition(case: dict[str, Any]) -> None:
    prices = case["prices_units"]
    rows = unpack_returns(_base64(case["returns"]), len(prices))
    r, z, e = (int(case[name], 16) for name in "rze")
    assert fold(prices, rows, r, z) == e
    plain = sum(
        pow(z, n, SCALAR_FIELD) * price * sum(pow(r, w, SCALAR_FIELD) * row[n] for w, row in enumerate(rows))
        for n, price in enumerate(prices)
    )
    assert plain % SCALAR_FIELD == e


@settings(max_examples=20)
@given(ELEMENT, st.integers(0, 1000))
def test_columns_carry_the_pnl(r: int, seed: int) -> None:
    held = positions(seed)
    c = columns(MARKET.prices, ROWS, r)
    total = sum(q * value for q, value in zip(held.quantities, c, strict=True)) % SCALAR_FIELD
    assert total == evaluate(pnl(held, MARKET), r)


def test_a_claim_exists_exactly_when_both_limits_are_kept() -> None:
    for limits in (LIMITS, Limits(LIMITS.var + 1, LIMITS.es), Limits(LIMITS.var, LIMITS.es + 1), MOST):
        claim = build_claim(BINDING, HELD, MARKET, limits, SHAPE)
        assert isinstance(claim, Claim)
        assert holds(claim.statement, BINDING, MARKET, limits)
    for limits in (Limits(LIMITS.var - 1, LIMITS.es), Limits(LIMITS.var, LIMITS.es - 1), Limits(0, 0)):
        breach = build_claim(BINDING, HELD, MARKET, limits, SHAPE)
        assert isinstance(breach, Breach)
        assert breach.es is not None
        assert breach.es_limit is not None
        assert (breach.var > breach.limit, breach.es > breach.es_limit) == (
            LIMITS.var > limits.var,
            LIMITS.es > limits.es,
        )


def test_a_circuit_without_expected_shortfall_judges_the_var_alone() -> None:
    claim = build_claim(BINDING, HELD, MARKET, Limits(LIMITS.var), VAR_ONLY)
    assert isinstance(claim, Claim)
    assert claim.statement.es_limit == 0
    assert "esLimit" not in claim.inputs
    breach = build_claim(BINDING, HELD, MARKET, Limits(LIMITS.var - 1), VAR_ONLY)
    assert isinstance(breach, Breach)
    assert (breach.es, breach.es_limit) == (None, None)
    with pytest.raises(Invalid, match="no expected shortfall"):
        build_claim(BINDING, HELD, MARKET, LIMITS, VAR_ONLY)


def test_the_witness_flags_four_days_and_signs_its_pnl() -> None:
    claim = build_claim(BINDING, HELD, MARKET, LIMITS, SHAPE)
    assert isinstance(claim, Claim)
    days, flags, v = claim.inputs["p"], claim.inputs["flag"], claim.inputs["v"]
    assert not isinstance(days, int)
    assert not isinstance(flags, int)
    assert isinstance(v, int)
    assert [to_signed(day) for day in days] == pnl(HELD, MARKET)
    assert sum(flags) == 4
    assert to_signed(v) == LIMITS.var
    losses = [(-to_signed(day), flag) for day, flag in zip(days, flags, strict=True)]
    assert all(loss <= LIMITS.var for loss, flag in losses if not flag)
    assert all(loss >= LIMITS.var for loss, flag in losses if flag)


def test_a_day_that_moves_too_much_is_said_to_be_not_attestable() -> None:
    huge = Positions(1, ((1 << 40) - 1,) * 16)
    dear = replace(MARKET, prices=((1 << 32) - 1,) * 16, packed=pack_returns([[(1 << 23) - 1] * 16] * 90))
    with pytest.raises(Invalid, match="not attestable"):
        build_claim(BINDING, huge, dear, MOST, SHAPE)


@pytest.mark.parametrize(
    ("held", "market", "limits"),
    [
        (Positions(1, (0,) * 15), MARKET, Limits(0)),
        (Positions(1, (1 << 40, *(0,) * 15)), MARKET, MOST),
        (Positions(SCALAR_FIELD, (0,) * 16), MARKET, Limits(0)),
        (HELD, MARKET, Limits(1 << 82, MOST.es)),
        (HELD, MARKET, Limits(MOST.var, 1 << 82)),
        (Positions(1, (0,) * 16), MARKET, Limits(-1)),
        (Positions(1, (0,) * 16), MARKET, Limits(0, -1)),
        (HELD, replace(MARKET, packed=MARKET.packed[:-48]), LIMITS),
        (HELD, replace(MARKET, prices=MARKET.prices[:-1]), LIMITS),
    ],
)
def test_what_does_not_fit_the_circuit_is_refused(held: Positions, market: Matrix, limits: Limits) -> None:
    with pytest.raises(Invalid):
        build_claim(BINDING, held, market, limits, SHAPE)
