"""The environment books trades without making or losing money, and never goes short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agents.env import ACTIONS, Accounts, EnvConfig, Market, TradingEnv, exposure, replay_env, trade_quantities
from agents.rewards import MeanVariance

COST = 0.001


def steady_market(days: int = 40, growth: float = 1.01) -> Market:
    close = np.array([[100.0], [20.0]]) * growth ** np.arange(days)
    return Market(close, np.zeros((2, days, 3)))


def act(name: str, rows: int = 2) -> NDArray[np.int64]:
    return np.full(rows, ACTIONS.index(name))


@given(
    action=st.integers(0, 8),
    cash=st.floats(0, 1e6),
    holding=st.floats(0, 1e4).map(lambda value: float(np.floor(value * 1e6) / 1e6)),
    price=st.floats(1, 2000),
)
def test_no_action_overdraws_the_cash_or_sells_more_than_is_held(
    action: int, cash: float, holding: float, price: float
) -> None:
    accounts = Accounts(np.array([cash]), np.array([holding]), np.array([price]))
    quoted = np.array([price])
    before = accounts.equity(quoted)
    quantities = trade_quantities(np.array([action]), accounts.cash, accounts.holding, quoted, COST)
    costs = accounts.fill(quantities, quoted, COST)
    assert accounts.cash[0] >= -1e-6
    assert accounts.holding[0] >= -1e-9
    assert accounts.equity(quoted)[0] == pytest.approx(before[0] - costs[0], rel=1e-12, abs=1e-6)


def test_buying_all_and_selling_all_leaves_only_the_costs_missing() -> None:
    env = replay_env(steady_market(growth=1.0), EnvConfig(cost_rate=COST))
    env.advance(act("buy_100"))
    assert env.accounts.cash == pytest.approx(0, abs=1e-3)
    env.advance(act("sell_100"))
    assert env.accounts.holding.tolist() == [0, 0]
    assert env.accounts.cash == pytest.approx(10_000 * (1 - COST) / (1 + COST), rel=1e-6)


def test_shares_of_budget_and_holding_are_as_named() -> None:
    price = np.array([10.0])
    for name, share in (("buy_25", 0.25), ("buy_50", 0.5), ("buy_75", 0.75), ("buy_100", 1.0)):
        bought = trade_quantities(act(name, 1), np.array([1000.0]), np.array([8.0]), price, 0.0)
        assert bought == pytest.approx(100 * share)
    for name, share in (("sell_25", 0.25), ("sell_50", 0.5), ("sell_75", 0.75), ("sell_100", 1.0)):
        sold = trade_quantities(act(name, 1), np.array([1000.0]), np.array([8.0]), price, 0.0)
        assert sold == pytest.approx(-8 * share)
    assert trade_quantities(act("hold", 1), np.array([1000.0]), np.array([8.0]), price, 0.0) == 0


def test_an_order_below_one_dollar_is_not_made() -> None:
    price, none = np.array([10.0]), np.array([0.0])
    assert trade_quantities(act("buy_100", 1), np.array([0.99]), none, price, 0.0) == 0
    assert trade_quantities(act("buy_100", 1), np.array([1.0]), none, price, 0.0) == pytest.approx(0.1)


def test_a_full_position_earns_the_market_and_cash_earns_nothing() -> None:
    env = replay_env(steady_market(growth=1.01), EnvConfig(cost_rate=0.0))
    assert env.advance(act("hold"))[0] == pytest.approx(0)
    assert env.advance(act("buy_100"))[0] == pytest.approx(0.01, rel=1e-5)


def test_observations_are_the_features_then_share_and_unrealised_return() -> None:
    env = replay_env(steady_market(growth=1.01), EnvConfig(cost_rate=0.0))
    assert env.observe().shape == (2, env.inputs)
    assert env.observe()[:, -2:].tolist() == [[0, 0], [0, 0]]
    env.advance(act("buy_50"))
    assert env.observe()[:, -2] == pytest.approx(0.505 / 1.005, rel=1e-5)
    assert env.observe()[:, -1] == pytest.approx(0.01, rel=1e-6)


def test_the_average_cost_weighs_buys_and_ignores_sells() -> None:
    accounts = Accounts(np.array([1000.0]), np.array([0.0]), np.array([0.0]))
    accounts.fill(np.array([10.0]), np.array([10.0]), 0.0)
    accounts.fill(np.array([10.0]), np.array([20.0]), 0.0)
    accounts.fill(np.array([-5.0]), np.array([30.0]), 0.0)
    assert accounts.average_cost.tolist() == [15.0]
    seen = exposure(accounts.cash, accounts.holding, accounts.average_cost, np.array([30.0]))
    assert seen[0, 1] == 1.0


def test_training_rows_restart_without_mixing_two_markets_in_one_transition() -> None:
    market = steady_market(days=6)
    env = TradingEnv(market, EnvConfig(rows=200, episode=3), seed=0, reward=MeanVariance(0.0))
    for _ in range(30):
        rewards, _ = env.step(act("hold", 200))
        assert (rewards >= -1e-9).all()
        assert (rewards <= 1.0 + 1e-6).all()
        assert (env.day < 5).all()


def test_the_same_seed_replays_the_same_training() -> None:
    first, again, other = (TradingEnv(steady_market(), EnvConfig(), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.observe(), again.observe())
    assert not np.array_equal(first.observe(), other.observe())
