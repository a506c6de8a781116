"""A training run is repeatable, judged on unseen days, and says what it was made from."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from agents.export import describe, model_sha256, weights_of
from agents.features import Bars
from agents.rvi_q import Cancelled, RviQConfig
from agents.train import TrainConfig, TrainedModel, train

SHORT = TrainConfig(learner=RviQConfig(steps=400))
NAMES = tuple(f"N{index}" for index in range(16))


def run(bars: Bars, days: tuple[date, ...], config: TrainConfig = SHORT) -> TrainedModel:
    return train(bars, days, NAMES, config)


def digest(trained: TrainedModel) -> str:
    return model_sha256(weights_of(trained.model), describe(trained.model))


def test_the_same_seed_gives_the_same_model_and_another_seed_another(bars: Bars, panel_days: tuple[date, ...]) -> None:
    first, again = run(bars, panel_days), run(bars, panel_days)
    assert digest(first) == digest(again)
    assert first.report == again.report
    assert digest(run(bars, panel_days, replace(SHORT, seed=8))) != digest(first)


def test_test_days_do_not_reach_the_model(bars: Bars, panel_days: tuple[date, ...]) -> None:
    first_test = panel_days.index(date(2016, 7, 1))
    changed = bars.close.copy()
    changed[:, first_test:] *= np.linspace(1, 2, changed.shape[1] - first_test)
    doctored = Bars(bars.open, np.maximum(bars.high, changed), bars.low, changed, bars.volume)
    assert digest(run(doctored, panel_days)) == digest(run(bars, panel_days))


def test_the_card_names_training_and_test_days_with_a_gap_between(bars: Bars, panel_days: tuple[date, ...]) -> None:
    trained = run(bars, panel_days)
    assert trained.card["training_days"] == ["2013-03-11", "2016-06-22"]
    assert trained.card["test_days"] == ["2016-07-01", "2017-09-01"]
    assert trained.card["instruments"] == list(NAMES)
    assert set(trained.report) == {"in_sample", "out_of_sample", "actions_out_of_sample", "learner_offset"}


def test_a_cancelled_run_stops(bars: Bars, panel_days: tuple[date, ...]) -> None:
    with pytest.raises(Cancelled):
        train(bars, panel_days, NAMES, SHORT, cancelled=lambda: True)
