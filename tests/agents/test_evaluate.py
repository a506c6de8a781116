"""Figures are what their names say, costs included."""

import numpy as np
import pytest

from agents.env import ACTIONS, EnvConfig, Market
from agents.evaluate import Track, buy_and_hold, compare, measure, run_policy, uniform_policy


def random_market(days: int = 60) -> Market:
    random = np.random.default_rng(4)
    return Market(50 * np.exp(random.normal(0, 0.02, (3, days)).cumsum(axis=1)), np.zeros((3, days, 2)))


def test_buy_and_hold_earns_the_mean_of_the_instruments_less_one_cost() -> None:
    market = random_market()
    track = run_policy(market, buy_and_hold, EnvConfig(cost_rate=0.001))
    growth = (market.close[:, -1] / market.close[:, 0]).mean() / 1.001
    figures = measure(track)
    assert figures["return"] == pytest.approx(growth - 1, abs=1e-6)
    assert figures["trades"] == 3
    assert figures["cost"] == pytest.approx(30_000 * 0.001 / 1.001, rel=1e-5)


def test_staying_in_cash_earns_and_costs_nothing() -> None:
    figures = measure(run_policy(random_market(), lambda rows: np.zeros(len(rows), dtype=np.int64), EnvConfig()))
    assert figures["return"] == figures["cost"] == figures["trades"] == figures["annualised_sharpe"] == 0


def test_drawdown_is_the_largest_fall_from_a_peak() -> None:
    track = Track(np.array([100.0, 120.0, 90.0, 130.0, 117.0]), np.zeros((4, 1), np.int64), np.zeros((4, 1)), 0.0)
    assert measure(track)["max_drawdown"] == pytest.approx(0.25)


def test_costs_lower_the_random_policys_return() -> None:
    free, dear = (
        measure(run_policy(random_market(), uniform_policy(1), EnvConfig(cost_rate=rate))) for rate in (0.0, 0.01)
    )
    assert dear["return"] < free["return"]
    assert free["cost"] == 0 < dear["cost"]


def test_a_comparison_holds_the_three_policies_on_the_same_days() -> None:
    results = compare(random_market(), lambda rows: np.full(len(rows), ACTIONS.index("hold")), EnvConfig(), seed=0)
    assert list(results) == ["agent", "buy_and_hold", "random"]
    assert {figures["days"] for figures in results.values()} == {59}
