"""Out-of-sample results on recorded closes, costs included, in plain numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.env import ACTIONS, EnvConfig, Market, replay_env

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Policy = Callable[[Floats], Integers]

DAYS_A_YEAR = 252


@dataclass(frozen=True, slots=True)
class Track:
    """Hold a policy's run: equity (days + 1,) in USD, actions and signed quantities (days, rows), costs in USD."""

    equity: Floats
    actions: Integers
    quantities: Floats
    costs: float


def run_policy(market: Market, policy: Policy, config: EnvConfig) -> Track:
    """Run a policy from cash through a market, one equal budget an instrument; nothing is sold at the end."""
    env = replay_env(market, config)
    equity = [float(env.accounts.equity(env.price()).sum())]
    actions, quantities, costs = [], [], 0.0
    for _ in range(market.close.shape[1] - 1):
        chosen = policy(env.observe())
        _, traded, paid = env.advance(chosen)
        actions.append(chosen)
        quantities.append(traded)
        costs += float(paid.sum())
        equity.append(float(env.accounts.equity(env.price()).sum()))
    return Track(np.array(equity), np.array(actions), np.array(quantities), costs)


def buy_and_hold(observations: Floats) -> Integers:
    """Put everything in on the first day and keep it."""
    return np.full(len(observations), ACTIONS.index("buy_100"))


def uniform_policy(seed: int) -> Policy:
    """Return a policy that draws every action alike."""
    random = np.random.default_rng(seed)
    return lambda observations: random.integers(len(ACTIONS), size=len(observations))


def measure(track: Track) -> dict[str, float | int]:
    """Return a run's figures.

    return: final over first equity - 1. annualised_return: compounded over 252 days. annualised_volatility and
    annualised_sharpe: from daily simple returns, no risk-free rate, sqrt(252). max_drawdown: largest fall from a
    peak, 0..1. trades: filled orders. cost: USD paid. cost_share: cost / first equity. orders_a_day: filled
    orders over all instruments a day.
    """
    daily = track.equity[1:] / track.equity[:-1] - 1
    volatility = float(daily.std(ddof=1))
    growth = float(track.equity[-1] / track.equity[0])
    trades = int(np.count_nonzero(track.quantities))
    peaks = np.maximum.accumulate(track.equity)
    return {
        "days": len(daily),
        "return": growth - 1,
        "annualised_return": growth ** (DAYS_A_YEAR / len(daily)) - 1,
        "annualised_volatility": volatility * DAYS_A_YEAR**0.5,
        "annualised_sharpe": float(daily.mean()) / volatility * DAYS_A_YEAR**0.5 if volatility > 0 else 0.0,
        "max_drawdown": float((1 - track.equity / peaks).max()),
        "trades": trades,
        "orders_a_day": trades / len(daily),
        "cost": track.costs,
        "cost_share": track.costs / float(track.equity[0]),
    }


def compare(market: Market, policy: Policy, config: EnvConfig, seed: int) -> dict[str, dict[str, float | int]]:
    """Measure a policy beside buy-and-hold and a uniformly random one on the same days."""
    policies = {"agent": policy, "buy_and_hold": buy_and_hold, "random": uniform_policy(seed)}
    return {name: measure(run_policy(market, chosen, config)) for name, chosen in policies.items()}
