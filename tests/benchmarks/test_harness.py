"""The benchmarks measure what they say, and refuse to measure nothing."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.benchmarks import engines, logs, trees
from tests.benchmarks.harness import (
    Benchmark,
    Meaningless,
    Pair,
    Side,
    chosen,
    documents,
    duration,
    measure,
    measure_all,
    measure_spread,
    profiled,
    table,
)

SMALL: dict[str, Callable[[], AbstractContextManager[Pair]]] = {
    "var": lambda: engines.var_after_orders(3, 30),
    "commitment": lambda: engines.commitment(3),
    "canonical": lambda: engines.canonical(3),
    "fold": engines.returns_fold,
    "groth16": engines.groth16,
    "inclusion": lambda: logs.inclusion(11),
    "inclusion check": lambda: logs.inclusion_check(11),
    "one append a transaction": lambda: logs.appends(4, 1),
    "two appends a transaction": lambda: logs.appends(4, 2),
    "orders": lambda: logs.order_path(2),
}


def of(ours: Callable[[], Any], peer: Callable[[], Any], units: int = 1) -> Benchmark:
    @contextmanager
    def prepare() -> Iterator[Pair]:
        yield Pair(Side("ours", ours), Side("peer", peer), units, lambda mine, theirs: bool(mine == theirs))

    return Benchmark("sample", "call", prepare)


@pytest.mark.parametrize("name", SMALL)
def test_both_sides_of_every_benchmark_agree(name: str) -> None:
    with SMALL[name]() as pair:
        assert pair.agree(pair.ours.work(), pair.peer.work())


PEERS: dict[str, Callable[[], AbstractContextManager[Pair]]] = {
    "one entry a commit": lambda: trees.bare_appends(3, 1),
    "entries in hundreds": lambda: trees.bare_appends(600, 300),
    "inclusions": lambda: trees.inclusions(1_000),
    "consistencies": lambda: trees.consistencies(1_000),
    "first proofs": lambda: trees.first_proofs(1_000),
}


@pytest.mark.parametrize("name", PEERS)
def test_the_bare_log_and_its_peer_have_the_same_tree_and_proofs(name: str) -> None:
    with PEERS[name]() as pair:
        assert pair.agree(pair.ours.work(), pair.peer.work())


def test_single_calls_are_shown_by_their_median_and_their_worst_but_one_in_a_hundred() -> None:
    benchmark = dataclasses.replace(of(lambda: sum(range(1_000)), lambda: 499_500), samples=40)
    median, worst = measure_spread(benchmark)
    assert (median.name, worst.name) == ("sample p50", "sample p99")
    assert 0 < median.our_cost.wall <= worst.our_cost.wall


def test_single_calls_that_disagree_are_an_error() -> None:
    with pytest.raises(Meaningless, match="disagree"):
        measure_spread(dataclasses.replace(of(lambda: 1, lambda: 2), samples=3))


@pytest.mark.parametrize("name", ["var", "canonical", "fold", "inclusion", "orders"])
def test_a_side_that_answers_otherwise_is_noticed(name: str) -> None:
    wrong: dict[str, Any] = {"var": [1.0, 2.0, 3.0], "canonical": b"{}", "fold": 0, "inclusion": [], "orders": 1}
    with SMALL[name]() as pair:
        assert not pair.agree(pair.ours.work(), wrong[name])


def test_every_benchmark_has_a_name_of_its_own() -> None:
    names = [benchmark.name for benchmark in (*engines.BENCHMARKS, *logs.BENCHMARKS, *trees.BENCHMARKS)]
    assert len(set(names)) == len(names) == 18


def test_a_measurement_names_both_sides_and_divides_by_the_units() -> None:
    result = measure(of(lambda: sum(range(2_000)), lambda: 1_999_000, units=1_000), rounds=2, sample_seconds=0.001)
    assert (result.ours, result.peer) == ("ours", "peer")
    assert 0 < result.peer_cost.wall < result.our_cost.wall
    assert result.ratio == pytest.approx(result.peer_cost.wall / result.our_cost.wall)


def test_the_sides_take_turns() -> None:
    calls: list[str] = []

    def work(name: str) -> Callable[[], int]:
        def call() -> int:
            calls.append(name)
            return sum(range(200_000))

        return call

    measure(of(work("o"), work("p")), rounds=4, sample_seconds=0.0)
    # One call a side to compare the answers, one to find the repeats, then the rounds.
    assert "".join(calls) == "op" + "op" + "op" + "po" + "op" + "po"


@pytest.mark.parametrize(
    ("benchmark", "why"),
    [
        (of(lambda: 1, lambda: 2), "disagree"),
        (of(lambda: None, lambda: None), "answers nothing"),
        (of(lambda: 1, lambda: 1, units=0), "no unit"),
    ],
)
def test_a_benchmark_that_measures_nothing_is_an_error(benchmark: Benchmark, why: str) -> None:
    with pytest.raises(Meaningless, match=why):
        measure(benchmark, rounds=1, sample_seconds=0.0)


def test_benchmarks_are_chosen_by_a_part_of_their_name_and_an_unknown_one_is_an_error() -> None:
    every = [*engines.BENCHMARKS, *logs.BENCHMARKS, *trees.BENCHMARKS]
    assert [benchmark.name for benchmark in chosen(every, "inclusion-1")] == ["inclusion-100k", "inclusion-1m"]
    assert chosen(every, None) == every
    with pytest.raises(Meaningless):
        chosen(every, "nothing")


def test_results_are_a_table_and_a_document_and_progress_is_told() -> None:
    told: list[str] = []
    results = list(measure_all([of(lambda: 1, lambda: 1)], told.append))
    assert [line[:10] for line in told] == ["1/1 sample"]
    head, row = table(results)
    assert head.split()[:2] == ["benchmark", "ours"]
    assert row.startswith("sample / call")
    document = json.loads(json.dumps(documents(results)))[0]
    assert set(document["our_cost"]) == {"wall", "cpu"}


def test_a_profile_names_the_functions_that_ran() -> None:
    counted = itertools.count()
    assert "cumulative" in profiled(of(lambda: next(counted), lambda: 0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 us"), (7e-8, "70 ns")]
)
def test_durations_carry_a_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
