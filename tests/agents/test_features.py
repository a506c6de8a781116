"""Features see the past alone, and a live window gives what training saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.features import (
    ACCOUNT_FEATURES,
    FEATURE_SCHEMA,
    LOOKBACK,
    MARKET_FEATURES,
    Bars,
    fit_normaliser,
    market_features,
    round_significant,
)


def random_bars(seed: int, days: int) -> Bars:
    random = np.random.default_rng(seed)
    close = 50 * np.exp(random.normal(0, 0.02, (2, days)).cumsum(axis=1))
    opened = close * np.exp(random.normal(0, 0.005, close.shape))
    high = np.maximum(opened, close) * (1 + random.uniform(0, 0.01, close.shape))
    low = np.minimum(opened, close) * (1 - random.uniform(0, 0.01, close.shape))
    return Bars(opened, high, low, close, random.integers(1, 10**7, close.shape).astype(np.float64))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(LOOKBACK, LOOKBACK + 28))
def test_changing_any_future_bar_changes_no_feature(seed: int, cut: int) -> None:
    bars, other = random_bars(seed, LOOKBACK + 30), random_bars(seed + 1, LOOKBACK + 30)
    names = ("open", "high", "low", "close", "volume")
    changed = Bars(*(np.hstack([getattr(bars, name)[:, :cut], getattr(other, name)[:, cut:]]) for name in names))
    known = cut - LOOKBACK + 1
    assert np.array_equal(market_features(bars)[:, :known], market_features(changed)[:, :known])
    assert not np.array_equal(market_features(bars)[:, known:], market_features(changed)[:, known:])


def test_a_live_window_gives_exactly_what_training_saw(bars: Bars) -> None:
    whole = market_features(bars)
    for last in range(LOOKBACK - 1, bars.close.shape[1], 53):
        seen = bars.until(last)
        window = Bars(*(getattr(seen, name)[:, -LOOKBACK:] for name in ("open", "high", "low", "close", "volume")))
        assert np.array_equal(market_features(window)[:, 0], whole[:, last - LOOKBACK + 1])


def test_all_features_of_the_shipped_panel_are_finite_and_vary(bars: Bars) -> None:
    features = market_features(bars)
    assert features.shape == (16, 1258 - LOOKBACK + 1, 25)
    assert np.isfinite(features).all()
    assert (features.std(axis=(0, 1)) > 0).all()


def test_a_market_that_stands_still_gives_finite_features() -> None:
    flat = np.full((1, LOOKBACK), 10.0)
    features = dict(zip(MARKET_FEATURES, market_features(Bars(flat, flat, flat, flat, flat))[0, 0], strict=True))
    assert all(np.isfinite(list(features.values())))
    assert features["rsi_14"] == features["stochastic_14"] == features["money_flow_14"] == 0.5
    assert features["log_return_1"] == features["volatility_20"] == features["macd"] == 0


def test_too_few_days_give_no_features() -> None:
    assert market_features(random_bars(0, LOOKBACK - 1)).shape == (2, 0, 25)


def test_features_agree_with_their_textbook_forms() -> None:
    bars = random_bars(5, LOOKBACK)
    features = dict(zip(MARKET_FEATURES, market_features(bars)[1, 0], strict=True))
    close = bars.close[1]
    returns = np.diff(np.log(close))
    change = np.diff(close)[-14:]
    expected = {
        "log_return_60": np.log(close[-1] / close[-61]),
        "volatility_20": returns[-20:].std(),
        "rsi_14": change[change > 0].sum() / np.abs(change).sum(),
        "bollinger_width_20": 4 * close[-20:].std() / close[-20:].mean(),
        "regression_slope_20": np.polyfit(np.arange(20), close[-20:], 1)[0] / close[-1],
    }
    assert {name: features[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_the_schema_names_each_input_once() -> None:
    assert len(set(FEATURE_SCHEMA)) == len(FEATURE_SCHEMA) == 27
    assert FEATURE_SCHEMA[-2:] == ACCOUNT_FEATURES


@given(st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9))
def test_rounding_keeps_eight_significant_digits(value: float) -> None:
    assert float(round_significant(np.array([value]))[0]) == pytest.approx(float(f"{value:.7e}"), rel=2e-16, abs=0)


def test_the_normaliser_is_fitted_on_what_it_is_given_and_clips_at_five() -> None:
    training = np.random.default_rng(0).normal(3, 2, (4, 500, 25))
    scale = fit_normaliser(training)
    assert scale.mean[:25] == pytest.approx(3, abs=0.2)
    assert scale.std[:25] == pytest.approx(2, abs=0.2)
    assert scale(np.full(27, 1e6)).tolist() == [5.0] * 27
    assert scale(np.full(27, -1e6)).tolist() == [-5.0] * 27
    assert scale(scale.mean).tolist() == [0.0] * 27
