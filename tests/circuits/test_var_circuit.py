"""The circuits accept exactly what their statement says: each attack is tried on a real key."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction

import groth16py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD, limbs, to_field
from backend.kernel.poseidon import POSITION_DOMAIN, absorb, pack
from backend.proofs.engine.claim import build_claim, holds, public_inputs
from backend.proofs.engine.returns import pack_returns
from backend.proofs.types import Breach, Claim, Limits, Positions, Statement
from backend.risk.engine.var import tail_mass
from tests.circuits.attacks import forged_pnl
from tests.circuits.example import (
    BINDING,
    CIRCUIT,
    CIRCUITS,
    ROOT,
    claimed,
    flags,
    honest,
    matrix,
    pnl,
    positions,
    proving_key,
    shape,
    tightest,
)

VAR_ONLY, SMALL = "var_16_90", "var_4_8_es"
BOTH = [CIRCUIT, VAR_ONLY]
MARKET, HELD = matrix(), positions()
DAYS = pnl(HELD, MARKET)
LIMITS = {circuit: tightest(HELD, MARKET, circuit) for circuit in BOTH}
MOST = (1 << 82) - 1


def _with(claim: Claim, name: str, value: int | Sequence[int]) -> Claim:
    return replace(claim, inputs={**claim.inputs, name: value})


@pytest.mark.parametrize("circuit", BOTH)
def test_an_honest_claim_at_exactly_the_limits_is_accepted(circuit: str) -> None:
    claim = build_claim(BINDING, HELD, MARKET, LIMITS[circuit], shape(circuit))
    assert isinstance(claim, Claim)
    assert proving_key(circuit).accepts(claim)
    assert holds(claim.statement, BINDING, MARKET, LIMITS[circuit])


@pytest.mark.parametrize(("circuit", "short"), [(CIRCUIT, (1, 0)), (CIRCUIT, (0, 1)), (VAR_ONLY, (1, 0))])
def test_one_unit_below_a_limit_has_no_claim_and_its_forged_witness_no_proof(
    circuit: str, short: tuple[int, int]
) -> None:
    below = Limits(LIMITS[circuit].var - short[0], LIMITS[circuit].es - short[1])
    breach = build_claim(BINDING, HELD, MARKET, below, shape(circuit))
    assert isinstance(breach, Breach)
    assert (breach.var > breach.limit) is bool(short[0])
    assert (breach.es is None) is (circuit == VAR_ONLY)
    assert not proving_key(circuit).accepts(honest(BINDING, HELD, MARKET, below, circuit))


@pytest.mark.parametrize("circuit", BOTH)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_circuit_accepts_exactly_what_the_engine_allows(circuit: str, seed: int) -> None:
    held, market = positions(seed), matrix(seed)
    limits = tightest(held, market, circuit)
    assert proving_key(circuit).accepts(honest(BINDING, held, market, limits, circuit))
    assert not proving_key(circuit).accepts(honest(BINDING, held, market, replace(limits, var=limits.var - 1), circuit))


SMALL_DAY = st.integers(-50, 50) | st.integers(-(1 << 23), (1 << 23) - 1)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(SMALL_DAY, min_size=4, max_size=4), min_size=8, max_size=8),
    quantities=st.lists(st.integers(-3, 3) | st.integers(-(1 << 30), 1 << 30), min_size=4, max_size=4),
    short=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_the_small_circuit_agrees_with_the_engine_on_ties_profits_and_empty_books(
    rows: list[list[int]], quantities: list[int], short: tuple[int, int]
) -> None:
    market = replace(matrix(circuit=SMALL), packed=pack_returns(rows))
    held = Positions(3, tuple(quantities))
    least = tightest(held, market, SMALL)
    limits = Limits(max(0, least.var - short[0]), max(0, least.es - short[1]))
    kept = limits.var >= least.var and limits.es >= least.es
    assert isinstance(build_claim(BINDING, held, market, limits, shape(SMALL)), Claim) is kept
    assert proving_key(SMALL).accepts(honest(BINDING, held, market, limits, SMALL)) is kept


@pytest.mark.parametrize("circuit", BOTH)
def test_an_all_profit_window_is_accepted_at_limit_zero(circuit: str) -> None:
    rising = replace(MARKET, packed=pack_returns([[1 + day] * 16 for day in range(90)]))
    held = Positions(9, (1_000_000,) * 16)
    assert all(day > 0 for day in pnl(held, rising))
    claim = build_claim(BINDING, held, rising, Limits(0), shape(circuit))
    assert isinstance(claim, Claim)
    assert proving_key(circuit).accepts(claim)


@pytest.mark.parametrize("circuit", BOTH)
@pytest.mark.parametrize("direction", [1, -1])
def test_the_largest_days_fit_and_lose_no_bit(circuit: str, direction: int) -> None:
    # 16 instruments falling 100 % a day: just below 2^82 units, 484 million USD
    held = Positions(9, (direction * ((1 << 36) - 1),) * 16)
    prices = ((1 << 22) - 1,) * 16
    moving = replace(
        MARKET, prices=prices, packed=pack_returns([[-1_000_000 + day for day in [w] * 16] for w in range(90)])
    )
    limits = tightest(held, moving, circuit)
    assert (1 << 81) < max(map(abs, pnl(held, moving))) <= MOST
    assert proving_key(circuit).accepts(honest(BINDING, held, moving, limits, circuit))
    if direction > 0:
        below = replace(limits, var=limits.var - 1)
        assert not proving_key(circuit).accepts(honest(BINDING, held, moving, below, circuit))


def test_a_day_beyond_the_range_is_named_instead_of_proved() -> None:
    huge = replace(MARKET, prices=((1 << 32) - 1,) * 16, packed=pack_returns([[1_000_000] * 16] * 90))
    with pytest.raises(Invalid, match=r"day 0 .* 483,570,328 USD"):
        build_claim(BINDING, Positions(9, ((1 << 40) - 1,) * 16), huge, Limits(MOST, MOST), shape())


def test_a_flagged_gain_beyond_the_range_is_named_instead_of_proved() -> None:
    rising = replace(MARKET, packed=pack_returns([[1 + day] * 16 for day in range(90)]))
    held = Positions(9, (1_000_000,) * 16)
    with pytest.raises(Invalid, match="not attestable"):
        build_claim(BINDING, held, rising, Limits(MOST), shape(VAR_ONLY))
    room = Limits(MOST - max(pnl(held, rising)))
    claim = build_claim(BINDING, held, rising, room, shape(VAR_ONLY))
    assert isinstance(claim, Claim)
    assert proving_key(VAR_ONLY).accepts(claim)


@pytest.mark.parametrize("circuit", sorted(CIRCUITS))
def test_a_circuits_parameters_are_those_of_its_source(circuit: str) -> None:
    entry = CIRCUITS[circuit]
    mass = tail_mass(entry["window"], Fraction(entry["confidence"]))
    assert (entry["tail"], entry["k"]) == ([mass.numerator, mass.denominator], math.ceil(mass))
    assert entry["pnl_bits"] == entry["limit_bits"] + 1 <= 83
    tail = entry["tail"] if entry["expected_shortfall"] else []
    parameters = [entry["instruments"], entry["window"], entry["k"], *tail]
    parameters += [entry[name] for name in ("quantity_bits", "limit_bits", "pnl_bits")]
    template = "VarEs" if entry["expected_shortfall"] else "Var"
    source = (ROOT / "circuits" / entry["file"]).read_text()
    assert f"component main {{public [x]}} = {template}({', '.join(map(str, parameters))});" in source


@pytest.mark.parametrize("circuit", [*BOTH, SMALL])
def test_the_example_inputs_satisfy_their_circuit(circuit: str) -> None:
    example = json.loads((ROOT / "circuits" / "inputs" / f"{circuit}.json").read_text())
    signals: dict[str, object] = {
        name: [int(part) for part in value] if isinstance(value, list) else int(value)
        for name, value in example["inputs"].items()
    }
    proof = groth16py.prove(proving_key(circuit).proving, signals)
    assert proving_key(circuit).verify(proof, [int(value) for value in example["public_inputs"]])


def test_the_compiler_finds_no_unconstrained_signal() -> None:
    command = [sys.executable, "-m", "circuits.prover", "inspect", CIRCUIT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["unexpected"] == []
    assert done.returncode == 0


@pytest.mark.parametrize("circuit", BOTH)
def test_the_empty_book_is_accepted_at_limit_zero(circuit: str) -> None:
    claim = build_claim(BINDING, Positions(5, (0,) * 16), MARKET, Limits(0), shape(circuit))
    assert isinstance(claim, Claim)
    assert proving_key(circuit).accepts(claim)


@pytest.mark.parametrize("circuit", BOTH)
def test_one_more_exception_is_refused(circuit: str) -> None:
    below = replace(LIMITS[circuit], var=LIMITS[circuit].var - 1)
    assert not proving_key(circuit).accepts(claimed(HELD, MARKET, below, circuit, marked=flags(DAYS, 5)))


@pytest.mark.parametrize("circuit", BOTH)
def test_flags_that_are_no_bits_are_refused(circuit: str) -> None:
    marked = list(flags(DAYS, 5))
    marked[marked.index(0)] = -1
    assert sum(marked) == 4
    below = replace(LIMITS[circuit], var=LIMITS[circuit].var - 1)
    assert not proving_key(circuit).accepts(claimed(HELD, MARKET, below, circuit, marked=marked))


def test_a_v_off_the_tail_is_refused() -> None:
    true = -sorted(DAYS)[4]
    enough = Limits(MOST, MOST)
    assert proving_key().accepts(claimed(HELD, MARKET, enough, v=true))
    assert proving_key().accepts(claimed(HELD, MARKET, enough, v=-sorted(DAYS)[3]))
    for v in (true - 1, -sorted(DAYS)[3] + 1, -true, 0):
        assert not proving_key().accepts(claimed(HELD, MARKET, enough, v=v))


def test_flags_off_the_worst_days_are_refused() -> None:
    days = sorted(range(90), key=DAYS.__getitem__)
    marked = [int(day in days[1:5]) for day in range(90)]
    enough = Limits(MOST, MOST)
    for v in (-DAYS[days[0]], -DAYS[days[4]], -DAYS[days[5]]):
        assert not proving_key().accepts(claimed(HELD, MARKET, enough, marked=marked, v=v))


@pytest.mark.parametrize("circuit", BOTH)
@pytest.mark.parametrize("limit", [-1, 1 << 82, SCALAR_FIELD - 1 - (1 << 82)])
def test_a_limit_out_of_range_is_refused(circuit: str, limit: int) -> None:
    empty = Positions(5, (0,) * 16)
    assert not proving_key(circuit).accepts(claimed(empty, MARKET, Limits(limit), circuit))
    if circuit == CIRCUIT:
        assert not proving_key(circuit).accepts(claimed(empty, MARKET, Limits(0, limit), circuit))


@pytest.mark.parametrize("circuit", BOTH)
@pytest.mark.parametrize("quantity", [1 << 40, -(1 << 40) - 1, SCALAR_FIELD // 2])
def test_a_quantity_out_of_range_is_refused(circuit: str, quantity: int) -> None:
    large = Positions(5, (quantity, *(0,) * 15))
    calm = replace(MARKET, packed=pack_returns([[0] * 16] * 90))
    packed = pack([held + (1 << 40) for held in large.quantities], 41, 6)
    commitment = absorb(POSITION_DOMAIN, (5, *limbs(MARKET.universe_id), *packed))
    claim = claimed(large, calm, Limits(0), circuit, days=[0] * 90, commitment=commitment)
    assert not proving_key(circuit).accepts(claim)


@pytest.mark.parametrize("circuit", BOTH)
def test_a_pnl_that_does_not_follow_is_refused(circuit: str) -> None:
    days = [DAYS[0] + 1, *DAYS[1:]]
    enough = Limits(MOST, MOST if circuit == CIRCUIT else 0)
    assert not proving_key(circuit).accepts(claimed(HELD, MARKET, enough, circuit, days=days))


@pytest.mark.parametrize("circuit", BOTH)
def test_a_forged_pnl_with_columns_solved_to_fit_fails_only_the_fold(circuit: str) -> None:
    claim = forged_pnl(HELD, MARKET, Limits(0), circuit)
    assert proving_key(circuit).accepts(claim)
    assert not holds(claim.statement, BINDING, MARKET, Limits(0))


def test_a_witness_under_another_commitment_is_refused() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMITS[CIRCUIT])
    assert not proving_key().accepts(_with(claim, "salt", HELD.salt + 1))
    assert not proving_key().accepts(_with(claim, "universeLo", limbs(MARKET.universe_id)[1] ^ 1))


@pytest.mark.parametrize("circuit", BOTH)
def test_every_value_of_the_statement_is_bound(circuit: str) -> None:
    claim = honest(BINDING, HELD, MARKET, LIMITS[circuit], circuit)
    proof = proving_key(circuit).prove(claim)
    assert proving_key(circuit).verify(proof, claim.public_inputs)
    for field in fields(Statement):
        value = to_field(getattr(claim.statement, field.name) + 1)
        altered = replace(claim.statement, **{field.name: value})
        assert not proving_key(circuit).verify(proof, public_inputs(altered)), field.name
        assert not holds(altered, BINDING, MARKET, LIMITS[circuit]), field.name


def test_a_public_input_plus_the_field_order_is_refused() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMITS[CIRCUIT])
    proof = proving_key().prove(claim)
    for place in range(3):
        aliased = [value + SCALAR_FIELD * (index == place) for index, value in enumerate(claim.public_inputs)]
        assert not proving_key().verify(proof, aliased)


def test_a_malleated_proof_verifies_so_that_no_one_counts_on_a_proofs_hash() -> None:
    claim = honest(BINDING, HELD, MARKET, LIMITS[CIRCUIT])
    proof = proving_key().prove(claim)
    base_field = 21888242871839275222246405745257275088696311157297823662689037894645226208583
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, 256, 32)]
    for place in (1, 4, 5):
        words[place] = base_field - words[place]
    malleated = b"".join(word.to_bytes(32, "big") for word in words)
    assert malleated != proof
    assert proving_key().verify(malleated, claim.public_inputs)
