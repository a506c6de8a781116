"""The trading environment: one instrument and one budget a row, one policy for all rows, one decision a day.

A decision is made and filled at a day's close; its reward is the change of equity until the next close, less costs.
Training, evaluation and the live path share `trade_quantities`, `exposure` and the features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.features import LOOKBACK, Bars, market_features, round_significant
from agents.rewards import MeanVariance

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ACTIONS = ("hold", "buy_25", "buy_50", "buy_75", "buy_100", "sell_25", "sell_50", "sell_75", "sell_100")
BUY_SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.0, 0.0, 0.0, 0.0])
SELL_SHARES = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0])
QUANTITY_SCALE = 1e6
SMALLEST_ORDER_USD = 1.0


def trade_quantities(actions: Integers, cash: Floats, holding: Floats, price: Floats, cost_rate: float) -> Floats:
    """Return the signed shares to trade (positive buys), cut towards zero to six decimals; all arrays (rows,).

    A buy spends its share of the cash, its cost included; a sell sells its share of the holding. An order worth less
    than SMALLEST_ORDER_USD is not made.
    """
    bought = BUY_SHARES[actions] * cash / (price * (1 + cost_rate))
    sold = SELL_SHARES[actions] * holding
    # 1e-7 of a unit absorbs the representation error of a quantity that is already whole units.
    units = np.floor(bought * QUANTITY_SCALE + 1e-7) - np.floor(sold * QUANTITY_SCALE + 1e-7)
    quantities: Floats = units / QUANTITY_SCALE
    return np.where(np.abs(quantities) * price < SMALLEST_ORDER_USD, 0.0, quantities)


def exposure(cash: Floats, holding: Floats, average_cost: Floats, price: Floats) -> Floats:
    """Return the account features, (rows, 2): holding's share of equity, and price / average cost - 1 while held."""
    value = holding * price
    equity = cash + value
    share = np.where(equity > 0, value / np.where(equity > 0, equity, 1.0), 0.0)
    held = (holding > 0) & (average_cost > 0)
    unrealised = np.where(held, price / np.where(held, average_cost, 1.0) - 1, 0.0)
    return round_significant(np.stack([share, unrealised], axis=-1))


@dataclass(slots=True)
class Accounts:
    """Hold every row's cash and average cost (USD) and holding (shares), each (rows,)."""

    cash: Floats
    holding: Floats
    average_cost: Floats

    def fill(self, quantities: Floats, price: Floats, cost_rate: float) -> Floats:
        """Book signed quantities at a price and return the costs paid, (rows,) in USD."""
        value = quantities * price
        costs = cost_rate * np.abs(value)
        self.cash = self.cash - value - costs
        after = self.holding + quantities
        paid = self.holding * self.average_cost + value
        bought = quantities > 0
        self.average_cost = np.where(bought, paid / np.where(after > 0, after, 1.0), self.average_cost)
        self.holding = after
        return costs

    def equity(self, price: Floats) -> Floats:
        """Return cash plus holding at a price, (rows,) in USD."""
        return self.cash + self.holding * price


@dataclass(frozen=True, slots=True)
class Market:
    """Hold closes, (instruments, days), and features, (instruments, days, features), of the same days."""

    close: Floats
    features: Floats

    def between(self, first: int, last: int) -> "Market":
        """Return the days first .. last - 1."""
        return Market(self.close[:, first:last], self.features[:, first:last])


def market_of(bars: Bars) -> Market:
    """Compute a market from bars; its first day is the bars' day LOOKBACK - 1."""
    return Market(bars.close[:, LOOKBACK - 1 :], market_features(bars))


@dataclass(frozen=True, slots=True)
class EnvConfig:
    """Hold the environment's settings: budget in USD a row, episode in days.

    cost_rate is a share of traded value: two basis points, about half a spread, and no commission.
    """

    cost_rate: float = 0.0002
    budget: float = 10_000.0
    rows: int = 64
    episode: int = 60


class TradingEnv:
    """Step many rows at once; a row restarts on a random instrument, day and position when its episode ends."""

    def __init__(
        self, market: Market, config: EnvConfig, seed: int, reward: Callable[[Floats], Floats] | None = None
    ) -> None:
        """Start every row at random; without a reward, mean-variance."""
        self.market = market
        self.config = config
        self.reward = MeanVariance() if reward is None else reward
        self.actions = len(ACTIONS)
        self.inputs = market.features.shape[2] + 2
        self.random = np.random.default_rng(seed)
        rows = config.rows
        self.instrument = np.zeros(rows, dtype=np.int64)
        self.day = np.zeros(rows, dtype=np.int64)
        self.left = np.zeros(rows, dtype=np.int64)
        self.accounts = Accounts(np.zeros(rows), np.zeros(rows), np.zeros(rows))
        self._restart(np.ones(rows, dtype=np.bool_))

    def _restart(self, ended: NDArray[np.bool_]) -> None:
        count, last = len(ended), self.market.close.shape[1] - 1
        self.instrument = np.where(ended, self.random.integers(len(self.market.close), size=count), self.instrument)
        self.day = np.where(ended, self.random.integers(max(1, last - 1), size=count), self.day)
        self.left = np.where(ended, self.config.episode, self.left)
        price = self.price()
        # Half of the restarts hold a random share: the policy must know positions that it would not have taken.
        share = np.clip(self.random.uniform(-1.0, 1.0, count), 0.0, 1.0)
        value = share * self.config.budget
        entry = price / (1 + np.where(share > 0, self.random.normal(0.0, 0.03, count), 0.0))
        accounts = self.accounts
        accounts.cash = np.where(ended, self.config.budget - value, accounts.cash)
        accounts.holding = np.where(ended, np.floor(value / price * QUANTITY_SCALE) / QUANTITY_SCALE, accounts.holding)
        accounts.average_cost = np.where(ended, entry, accounts.average_cost)

    def price(self) -> Floats:
        """Return today's close, (rows,) in USD."""
        return self.market.close[self.instrument, self.day]

    def observe(self) -> Floats:
        """Return today's raw features, (rows, inputs)."""
        accounts = self.accounts
        account = exposure(accounts.cash, accounts.holding, accounts.average_cost, self.price())
        return np.concatenate([self.market.features[self.instrument, self.day], account], axis=1)

    def step(self, actions: Integers) -> tuple[Floats, Floats]:
        """Trade at today's close, move to the next, and return (rewards, successors' features) before any restart."""
        returns = self.advance(actions)[0]
        rewards = self.reward(returns)
        successors = self.observe()
        self.left = self.left - 1
        ended = (self.left <= 0) | (self.day >= self.market.close.shape[1] - 1)
        if ended.any():
            self._restart(ended)
        return rewards, successors

    def advance(self, actions: Integers) -> tuple[Floats, Floats, Floats]:
        """Trade, move a day on, and return (relative equity changes, signed quantities, costs in USD), all (rows,)."""
        price, accounts = self.price(), self.accounts
        before = accounts.equity(price)
        quantities = trade_quantities(actions, accounts.cash, accounts.holding, price, self.config.cost_rate)
        costs = accounts.fill(quantities, price, self.config.cost_rate)
        self.day = self.day + 1
        return accounts.equity(self.price()) / before - 1, quantities, costs


def replay_env(market: Market, config: EnvConfig) -> TradingEnv:
    """Return an environment with one row an instrument, all in cash on the market's first day, that never restarts."""
    count, days = market.close.shape
    whole = EnvConfig(cost_rate=config.cost_rate, budget=config.budget, rows=count, episode=days)
    env = TradingEnv(market, whole, seed=0)
    env.instrument = np.arange(count)
    env.day = np.zeros(count, dtype=np.int64)
    env.accounts = Accounts(np.full(count, config.budget), np.zeros(count), np.zeros(count))
    return env
