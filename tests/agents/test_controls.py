"""Two controls: a leaked future is learned, and noise gives no significant profit after costs."""

import numpy as np
import pytest

from agents.env import EnvConfig, Market, market_of
from agents.evaluate import measure, run_policy
from agents.features import FEATURE_SCHEMA, MARKET_FEATURES, Bars
from agents.rvi_q import RviQConfig
from agents.train import TrainConfig, fit

CONFIG = TrainConfig(seed=1, env=EnvConfig(cost_rate=0.001), learner=RviQConfig(steps=2_000))
TRAINING, TESTING = (0, 850), (860, 1131)


def out_of_sample(market: Market, features: tuple[str, ...]) -> dict[str, float | int]:
    model, _ = fit(market.between(*TRAINING), CONFIG, features)
    return measure(run_policy(market.between(*TESTING), model.best, CONFIG.env))


def shuffle_days(bars: Bars, seed: int) -> Bars:
    """Return bars whose daily changes have no mean and come in another order: nothing is left to predict."""
    change = bars.close[:, 1:] / bars.close[:, :-1] - 1
    change = change - change.mean(axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(change.shape[1])
    close = bars.close[:, :1] * np.cumprod(1 + change[:, order], axis=1)
    opened, high, low = (
        close * values[:, 1:][:, order] / bars.close[:, 1:][:, order] for values in (bars.open, bars.high, bars.low)
    )
    return Bars(opened, high, low, close, bars.volume[:, 1:][:, order])


def test_a_leaked_future_return_is_learned(bars: Bars) -> None:
    market = market_of(bars)
    leak = np.zeros((*market.close.shape, 1))
    leak[:, :-1, 0] = market.close[:, 1:] / market.close[:, :-1] - 1
    leaky = Market(market.close, np.concatenate([market.features, leak], axis=2))
    figures = out_of_sample(leaky, (*MARKET_FEATURES, "leak", *FEATURE_SCHEMA[-2:]))
    assert figures["return"] > 0.5
    assert figures["annualised_sharpe"] > 5


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_returns_give_no_significant_profit_after_costs(bars: Bars, seed: int) -> None:
    figures = out_of_sample(market_of(shuffle_days(bars, seed)), FEATURE_SCHEMA)
    assert figures["trades"] > 100
    # Two standard errors of a year's Sharpe ratio.
    assert figures["annualised_sharpe"] < 2
    assert figures["return"] < 0.05
