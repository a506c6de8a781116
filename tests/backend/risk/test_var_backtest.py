"""Backtests reproduce the published tables."""

import math

import pytest

from backend.kernel.errors import Invalid
from backend.risk.engine.backtest import (
    Transitions,
    conditional_coverage,
    independence,
    kupiec,
    traffic_light,
    transitions,
)

CRITICAL_95 = 3.841458820694124
# P. Jorion, "Value at Risk", table 6-2 after Kupiec (1995): the open intervals of exceptions that are not rejected
REGIONS = [
    (255, 0.025, 2, 12),
    (255, 0.05, 6, 21),
    (255, 0.075, 11, 28),
    (255, 0.10, 16, 36),
    (510, 0.01, 1, 11),
    (510, 0.025, 6, 21),
    (510, 0.05, 16, 36),
    (510, 0.075, 27, 51),
    (510, 0.10, 38, 65),
    (1000, 0.01, 4, 17),
    (1000, 0.025, 15, 36),
    (1000, 0.05, 37, 65),
    (1000, 0.075, 59, 92),
    (1000, 0.10, 81, 120),
]


@pytest.mark.parametrize(("days", "tail", "below", "above"), REGIONS)
def test_kupiecs_regions_are_the_published_ones(days: int, tail: float, below: int, above: int) -> None:
    accepted = [n for n in range(above + 30) if kupiec(n, days, tail).ratio < CRITICAL_95]
    assert accepted == list(range(below + 1, above))


def test_no_exception_in_255_days_at_99_percent_is_too_few() -> None:
    assert kupiec(0, 255, 0.01).ratio == pytest.approx(5.1256, abs=1e-3)
    assert [n for n in range(20) if kupiec(n, 255, 0.01).ratio < CRITICAL_95] == [1, 2, 3, 4, 5, 6]


def test_jp_morgans_1998_exceptions_are_rejected_for_clustering() -> None:
    # Jorion, chapter 6: 20 exceptions in 252 days at 95 %
    coverage, clustering = kupiec(20, 252, 0.05), independence(Transitions(218, 14, 14, 6))
    assert coverage.ratio == pytest.approx(3.9126, abs=1e-4)
    assert clustering.ratio == pytest.approx(9.5296, abs=1e-4)
    joint = conditional_coverage(coverage, clustering)
    assert joint.ratio == pytest.approx(13.44, abs=5e-3)
    assert joint.p_value == pytest.approx(math.exp(-joint.ratio / 2))
    assert joint.p_value < 0.05


def test_jorions_question_10_passes_coverage_and_fails_independence() -> None:
    coverage, clustering = kupiec(6, 252, 0.01), independence(Transitions(244, 2, 2, 4))
    assert coverage.ratio == pytest.approx(3.499, abs=1e-3)
    assert clustering.ratio == pytest.approx(25.837, abs=1e-3)
    assert coverage.p_value > 0.05 > clustering.p_value


def test_the_critical_value_has_five_percent_beyond_it() -> None:
    days = 10_000
    at = kupiec(543, days, 0.05)
    assert at.p_value == pytest.approx(math.erfc(math.sqrt(at.ratio / 2)))
    assert (at.ratio > CRITICAL_95) == (at.p_value < 0.05)


def test_transitions_count_pairs() -> None:
    flags = [False, True, True, False, False, False, True]
    assert transitions(flags) == Transitions(2, 2, 1, 1)
    assert independence(transitions([False] * 10)).ratio == 0
    with pytest.raises(Invalid):
        independence(transitions([True]))


CUMULATIVE = (8.11, 28.58, 54.32, 75.81, 89.22, 95.88, 98.63, 99.60, 99.89, 99.97, 99.99)
PLUS = (0, 0, 0, 0, 0, 0.40, 0.50, 0.65, 0.75, 0.85, 1.00)


@pytest.mark.parametrize("exceptions", range(11))
def test_the_basel_table(exceptions: int) -> None:
    light = traffic_light(exceptions)
    assert light.zone == ("green" if exceptions < 5 else "yellow" if exceptions < 10 else "red")
    assert light.cumulative * 100 == pytest.approx(CUMULATIVE[exceptions], abs=0.0051)
    assert light.plus_factor == PLUS[exceptions]


@pytest.mark.parametrize("exceptions", [-1, 251])
def test_impossible_counts_are_refused(exceptions: int) -> None:
    with pytest.raises(Invalid):
        traffic_light(exceptions)
    with pytest.raises(Invalid):
        kupiec(exceptions, 250, 0.01)
