"""Train a trading model on one fold of daily bars and judge it on the days after."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from agents.env import ACTIONS, EnvConfig, Market, TradingEnv, market_of
from agents.evaluate import compare, measure, run_policy
from agents.features import FEATURE_SCHEMA, LOOKBACK, Bars, fit_normaliser
from agents.model import Model
from agents.rewards import MeanVariance
from agents.rvi_q import RviQConfig, learn
from agents.splits import Split, holdout

Report = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Hold everything that a training run depends on besides its data."""

    seed: int = 7
    first_test: date = date(2016, 7, 1)
    purge: int = 1
    embargo: int = 5
    aversion: float = 10.0
    env: EnvConfig = field(default_factory=EnvConfig)
    learner: RviQConfig = field(default_factory=lambda: RviQConfig(steps=6_000))


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """Hold a model, its card (what it was made from) and its report (what it did on days that it never saw)."""

    model: Model
    card: Report
    report: Report


def fit(
    market: Market,
    config: TrainConfig,
    features: tuple[str, ...] = FEATURE_SCHEMA,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Model, float]:
    """Train on all days of a market and return the model and the learner's offset f(Q)."""
    normaliser = fit_normaliser(market.features)
    env = TradingEnv(market, config.env, config.seed, MeanVariance(config.aversion))
    settings = {**asdict(config.learner), "seed": config.seed}
    learner = learn(env, RviQConfig(**settings), normaliser, progress, cancelled)
    return Model(learner.network, normaliser, features, ACTIONS), learner.offset


def train(
    bars: Bars,
    days: tuple[date, ...],
    instruments: tuple[str, ...],
    config: TrainConfig,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> TrainedModel:
    """Train before `first_test`, evaluate from it on; the same inputs and seed give the same model, bit for bit.

    bars: (instruments, days). progress(step, steps) and cancelled() are called every 100 steps; a cancelled run
    raises `agents.rvi_q.Cancelled`.
    """
    market, usable = market_of(bars), days[LOOKBACK - 1 :]
    split = holdout(usable, config.first_test, config.purge, config.embargo)
    training = market.between(split.train_first, split.train_last)
    testing = market.between(split.test_first, split.test_last)
    model, offset = fit(training, config, progress=progress, cancelled=cancelled)
    card = _card(usable, instruments, split, config)
    report = {
        "in_sample": measure(run_policy(training, model.best, config.env)),
        "out_of_sample": compare(testing, model.best, config.env, config.seed),
        "actions_out_of_sample": _action_counts(run_policy(testing, model.best, config.env).actions),
        "learner_offset": offset,
    }
    return TrainedModel(model, card, report)


def _action_counts(actions: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(ACTIONS, np.bincount(actions.ravel(), minlength=len(ACTIONS)).tolist(), strict=True))


def _card(days: tuple[date, ...], instruments: tuple[str, ...], split: Split, config: TrainConfig) -> Report:
    return {
        "algorithm": "deep RVI Q-learning (average reward, no discount)",
        "instruments": list(instruments),
        "training_days": [days[split.train_first].isoformat(), days[split.train_last - 1].isoformat()],
        "test_days": [days[split.test_first].isoformat(), days[split.test_last - 1].isoformat()],
        "purge_days": config.purge,
        "embargo_days": config.embargo,
        "features": list(FEATURE_SCHEMA),
        "actions": list(ACTIONS),
        "reward": f"100 (r - {config.aversion} r^2 / 2), r = a day's relative change of equity after costs",
        "cost_rate": config.env.cost_rate,
        "budget_usd_an_instrument": config.env.budget,
        "prices": "split-adjusted closes; dividends are not counted",
        "seed": config.seed,
        "learner": {**asdict(config.learner), "seed": config.seed},
        "settings_chosen_on": "three seeds, trained up to 2015-06, judged on 2015-07-01 to 2016-06-30",
        "limits": "Fills at the close without slippage or market impact; survivors only; no claim about other days.",
    }
