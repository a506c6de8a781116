"""Entry point and risk engine never differ; `python -m scripts.chaos.attestor --count N` is the long version."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import groth16py
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backend.proofs.engine.claim import build_claim
from backend.proofs.engine.returns import pack_returns
from backend.proofs.types import Breach, Claim, Limits, Positions
from scripts.chaos.attestor import (
    BOOKS,
    INSTRUMENTS,
    OFFSETS,
    SHARE,
    Case,
    Verdict,
    daily,
    dishonest,
    judge,
    least,
    limit_of,
    quantities_of,
    run,
    window,
    windows,
)
from scripts.chaos.attestor_chain import AttestorChain, Circuit, attestor_chain
from tests.circuits.example import BINDING, claimed, honest, matrix, proving_key, shape, tightest
from tests.contracts.var_world import BOTH, VAR_ONLY, circuit_of

SMALL = "var_4_8_es"
SALT = 3**150


@pytest.fixture(scope="module")
def chain() -> Iterator[AttestorChain]:
    with attestor_chain({circuit: circuit_of(circuit) for circuit in BOTH}) as started:
        yield started


def proof_of(circuit: str, claim: Claim) -> bytes | None:
    """Return whatever proof a claim yields."""
    try:
        return proving_key(circuit).prove(claim)
    except groth16py.WitnessError:
        return None


SHARES = st.integers(-1_000, 1_000).map(lambda shares: shares * SHARE)
QUANTITY = st.just(0) | SHARES | st.integers(-50_000 * SHARE, 50_000 * SHARE) | st.integers(-3, 3)
PORTFOLIO = st.lists(QUANTITY, min_size=INSTRUMENTS, max_size=INSTRUMENTS).map(tuple)
LIMIT = st.sampled_from(OFFSETS) | st.integers(0, 1 << 70)


def limit(wanted: str | int, true: int) -> int:
    return wanted if isinstance(wanted, int) else limit_of(wanted, true)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    circuit=st.sampled_from(BOTH),
    quantities=PORTFOLIO,
    place=st.integers(0, windows() - 1),
    var=LIMIT,
    es=LIMIT,
)
@example(circuit=BOTH[0], quantities=(SHARE,) * 16, place=100, var="at", es="at")
@example(circuit=BOTH[0], quantities=(-SHARE,) * 16, place=100, var="at", es="below")
@example(circuit=BOTH[0], quantities=(SHARE,) * 16, place=100, var="below", es="most")
@example(circuit=BOTH[1], quantities=(SHARE,) * 16, place=100, var="below", es="zero")
def test_the_entry_point_accepts_exactly_what_the_engine_allows(
    chain: AttestorChain, circuit: str, quantities: tuple[int, ...], place: int, var: str | int, es: str | int
) -> None:
    market = window(place)
    true = least(chain.circuits[circuit], quantities, market)
    limits = Limits(limit(var, true.var), 0 if circuit == VAR_ONLY else limit(es, true.es))
    verdict = judge(chain, Case(circuit, quantities, market, limits), proof_of, SALT)
    assert verdict == Verdict(verdict.kept, verdict.kept)


def test_a_prover_that_proves_nothing_is_told_from_one_that_does(chain: AttestorChain) -> None:
    honestly = run(chain, 2, 5, proof_of)
    assert (sum(honestly.sorts.values()), honestly.wrong) == (2, [])
    silent = run(chain, 20, 5, lambda _circuit, _claim: None)
    assert all("refused" in sort for sort in silent.sorts)
    assert 0 < len(silent.wrong) < 20
    assert "engine True, entry point False" in silent.wrong[0]


def test_a_limit_stands_where_its_word_says() -> None:
    assert [limit_of(offset, 10) for offset in OFFSETS] == [9, 10, 11, 0, 5, 20, (1 << 82) - 1]
    assert limit_of("below", 0) == 0


@pytest.mark.parametrize("book", BOOKS)
def test_a_book_is_of_its_sort(book: str) -> None:
    quantities = quantities_of(book, Random(1))
    assert len(quantities) == INSTRUMENTS
    of = {
        "long": min(quantities) >= 0,
        "short": max(quantities) <= 0,
        "sparse": quantities.count(0) >= INSTRUMENTS - 2,
        "empty": not any(quantities),
        "tiny": max(map(abs, quantities)) <= 3,
        "huge": max(map(abs, quantities)) > 1_000 * SHARE,
    }
    assert of.get(book, True)


DAY = st.integers(-3, 3) | st.integers(-(1 << 23), (1 << 23) - 1)
ROW = st.lists(DAY, min_size=4, max_size=4)
RISING = st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=8, max_size=8)
TIED = ROW.map(lambda row: [row] * 8)
STILL = st.just([[0] * 4] * 8)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(ROW, min_size=8, max_size=8) | RISING | TIED | STILL,
    quantities=st.lists(st.integers(-3, 3) | st.integers(-(1 << 30), 1 << 30), min_size=4, max_size=4),
    var=LIMIT,
    es=LIMIT,
)
def test_the_small_circuit_accepts_exactly_what_the_engine_allows_and_no_dishonest_witness(
    rows: list[list[int]], quantities: list[int], var: str | int, es: str | int
) -> None:
    market = replace(matrix(circuit=SMALL), packed=pack_returns(rows))
    held = Positions(SALT, tuple(quantities))
    true = tightest(held, market, SMALL)
    limits = Limits(limit(var, true.var), limit(es, true.es))
    kept = true.var <= limits.var and true.es <= limits.es
    assert isinstance(build_claim(BINDING, held, market, limits, shape(SMALL)), Claim if kept else Breach)
    assert proving_key(SMALL).accepts(honest(BINDING, held, market, limits, SMALL)) is kept
    if not kept:
        of = Circuit(shape(SMALL), b"", b"")
        for witness in dishonest(daily(held.quantities, market), limits, of):
            tried = claimed(held, market, limits, SMALL, marked=witness.flags, v=witness.v)
            assert not proving_key(SMALL).accepts(tried)
