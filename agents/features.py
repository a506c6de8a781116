"""Past-only features from daily bars: each value at day t depends on the LOOKBACK days that end with t alone.

Every recursion (exponential averages) is cut to a finite window, so that a live window of LOOKBACK days gives the
numbers that training saw. Prices are in one currency, volume in shares; all features are dimensionless but `amihud_60`,
the log of return a traded unit of currency.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOOKBACK = 128
CLIP = 5.0
SIGNIFICANT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Bars:
    """Hold daily bars, each array (instruments, days) of float64: prices in USD, volume in shares."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def until(self, day: int) -> "Bars":
        """Return the bars up to and including a day index."""
        return Bars(*(values[:, : day + 1] for values in (self.open, self.high, self.low, self.close, self.volume)))


def _windows(values: Floats, length: int) -> Floats:
    return sliding_window_view(values, length, axis=-1)


def _ratio(numerator: Floats, denominator: Floats, otherwise: float = 0.0) -> Floats:
    usable = denominator > 0
    return np.where(usable, numerator / np.where(usable, denominator, 1.0), otherwise)


def _log_returns(bars: Bars, span: int = 1) -> Floats:
    return np.log(bars.close[:, span:] / bars.close[:, :-span])


def _mean(values: Floats, length: int) -> Floats:
    averaged: Floats = _windows(values, length).mean(axis=-1)
    return averaged


def _average(values: Floats, span: int) -> Floats:
    """Average exponentially with rate 2 / (span + 1) over the last min(3 span, 100) values."""
    length = min(3 * span, 100)
    weights = (1 - 2 / (span + 1)) ** np.arange(length - 1, -1, -1.0)
    averaged: Floats = _windows(values, length) @ (weights / weights.sum())
    return averaged


def _slope(windows: Floats) -> Floats:
    """Return the least-squares slope a day of each window, (..., length) -> (...)."""
    centred = np.arange(windows.shape[-1]) - (windows.shape[-1] - 1) / 2
    slope: Floats = windows @ (centred / (centred @ centred))
    return slope


def _true_range(bars: Bars) -> Floats:
    before = bars.close[:, :-1]
    return np.maximum(bars.high[:, 1:], before) - np.minimum(bars.low[:, 1:], before)


def _log_return(span: int) -> Callable[[Bars], Floats]:
    return lambda bars: _log_returns(bars, span)


def _volatility(length: int) -> Callable[[Bars], Floats]:
    return lambda bars: _windows(_log_returns(bars), length).std(axis=-1)


def _volatility_ratio(bars: Bars) -> Floats:
    long = _volatility(60)(bars)
    return _ratio(_volatility(20)(bars)[:, -long.shape[1] :], long, 1.0)


def _range_share(bars: Bars) -> Floats:
    ranged = _mean(_true_range(bars), 14)
    return ranged / bars.close[:, -ranged.shape[1] :]


def _parkinson(bars: Bars) -> Floats:
    """Estimate volatility from highs and lows (Parkinson 1980)."""
    variance: Floats = _mean(np.log(bars.high / bars.low) ** 2, 20) / (4 * np.log(2))
    return np.sqrt(variance)


def _garman_klass(bars: Bars) -> Floats:
    """Estimate volatility from all four prices (Garman and Klass 1980)."""
    terms = 0.5 * np.log(bars.high / bars.low) ** 2 - (2 * np.log(2) - 1) * np.log(bars.close / bars.open) ** 2
    return np.sqrt(np.maximum(_mean(terms, 20), 0.0))


def _average_gap(span: int) -> Callable[[Bars], Floats]:
    def gap(bars: Bars) -> Floats:
        average = _average(bars.close, span)
        return bars.close[:, -average.shape[1] :] / average - 1

    return gap


def _macd_line(bars: Bars) -> Floats:
    slow = _average(bars.close, 26)
    return _average(bars.close, 12)[:, -slow.shape[1] :] - slow


def _macd(bars: Bars) -> Floats:
    line = _macd_line(bars)
    return line / bars.close[:, -line.shape[1] :]


def _macd_histogram(bars: Bars) -> Floats:
    line = _macd_line(bars)
    signal = _average(line, 9)
    return (line[:, -signal.shape[1] :] - signal) / bars.close[:, -signal.shape[1] :]


def _directional(bars: Bars) -> tuple[Floats, Floats]:
    """Return +DI and -DI over 14 days in 0..1 (Wilder 1978, with plain sums)."""
    up, down = np.diff(bars.high), -np.diff(bars.low)
    rising = np.where((up > down) & (up > 0), up, 0.0)
    falling = np.where((down > up) & (down > 0), down, 0.0)
    ranged = _mean(_true_range(bars), 14)
    return _ratio(_mean(rising, 14), ranged), _ratio(_mean(falling, 14), ranged)


def _directional_gap(bars: Bars) -> Floats:
    plus, minus = _directional(bars)
    return plus - minus


def _trend_strength(bars: Bars) -> Floats:
    plus, minus = _directional(bars)
    return _mean(_ratio(np.abs(plus - minus), plus + minus), 14)


def _regression_slope(bars: Bars) -> Floats:
    slope = _slope(_windows(bars.close, 20))
    return slope / bars.close[:, -slope.shape[1] :]


def _relative_strength(bars: Bars) -> Floats:
    change = np.diff(bars.close)
    gains, losses = _mean(np.maximum(change, 0), 14), _mean(np.maximum(-change, 0), 14)
    return _ratio(gains, gains + losses, 0.5)


def _stochastic(bars: Bars) -> Floats:
    highest, lowest = _windows(bars.high, 14).max(axis=-1), _windows(bars.low, 14).min(axis=-1)
    return _ratio(bars.close[:, -highest.shape[1] :] - lowest, highest - lowest, 0.5)


def _typical(bars: Bars) -> Floats:
    return (bars.high + bars.low + bars.close) / 3


def _channel(bars: Bars) -> Floats:
    """Return the commodity channel index over 20 days (Lambert 1980)."""
    windows = _windows(_typical(bars), 20)
    middle = windows.mean(axis=-1, keepdims=True)
    deviation = np.abs(windows - middle).mean(axis=-1)
    return _ratio(windows[..., -1] - middle[..., 0], 0.015 * deviation)


def _band_place(bars: Bars) -> Floats:
    windows = _windows(bars.close, 20)
    return _ratio(windows[..., -1] - windows.mean(axis=-1), 4 * windows.std(axis=-1))


def _band_width(bars: Bars) -> Floats:
    windows = _windows(bars.close, 20)
    width: Floats = 4 * windows.std(axis=-1) / windows.mean(axis=-1)
    return width


def _volume_score(bars: Bars) -> Floats:
    windows = _windows(np.log1p(bars.volume), 60)
    return _ratio(windows[..., -1] - windows.mean(axis=-1), windows.std(axis=-1))


def _volume_slope(bars: Bars) -> Floats:
    """Return the slope of on-balance volume over 20 days, in mean daily volumes a day."""
    signed = _windows(np.sign(np.diff(bars.close)) * bars.volume[:, 1:], 20)
    return _ratio(_slope(signed.cumsum(axis=-1)), _mean(bars.volume[:, 1:], 20))


def _money_flow(bars: Bars) -> Floats:
    typical = _typical(bars)
    flow = typical[:, 1:] * bars.volume[:, 1:]
    rising, falling = np.diff(typical) > 0, np.diff(typical) < 0
    gains, losses = _mean(np.where(rising, flow, 0.0), 14), _mean(np.where(falling, flow, 0.0), 14)
    return _ratio(gains, gains + losses, 0.5)


def _illiquidity(bars: Bars) -> Floats:
    """Return the log of the mean of |return| / traded value over 60 days (Amihud 2002)."""
    traded = bars.close[:, 1:] * bars.volume[:, 1:]
    return np.log(np.maximum(_mean(_ratio(np.abs(_log_returns(bars)), traded), 60), 1e-20))


_MARKET: dict[str, Callable[[Bars], Floats]] = {
    "log_return_1": _log_return(1),
    "log_return_5": _log_return(5),
    "log_return_15": _log_return(15),
    "log_return_60": _log_return(60),
    "volatility_20": _volatility(20),
    "volatility_ratio_20_60": _volatility_ratio,
    "true_range_14": _range_share,
    "parkinson_20": _parkinson,
    "garman_klass_20": _garman_klass,
    "ema_gap_10": _average_gap(10),
    "ema_gap_50": _average_gap(50),
    "macd": _macd,
    "macd_histogram": _macd_histogram,
    "adx_14": _trend_strength,
    "directional_14": _directional_gap,
    "regression_slope_20": _regression_slope,
    "rsi_14": _relative_strength,
    "stochastic_14": _stochastic,
    "cci_20": _channel,
    "bollinger_place_20": _band_place,
    "bollinger_width_20": _band_width,
    "volume_score_60": _volume_score,
    "obv_slope_20": _volume_slope,
    "money_flow_14": _money_flow,
    "amihud_60": _illiquidity,
}

MARKET_FEATURES = tuple(_MARKET)
ACCOUNT_FEATURES = ("position_share", "unrealised_return")
FEATURE_SCHEMA = MARKET_FEATURES + ACCOUNT_FEATURES


def market_features(bars: Bars) -> Floats:
    """Compute the market features of every day that has LOOKBACK days behind it, itself among them.

    Returns (instruments, days - LOOKBACK + 1, features) in the order of MARKET_FEATURES, rounded to 8 significant
    digits, the precision at which a decision's inputs are recorded.
    """
    usable = bars.close.shape[1] - LOOKBACK + 1
    if usable < 1:
        return np.empty((bars.close.shape[0], 0, len(_MARKET)))
    columns = [feature(bars)[:, -usable:] for feature in _MARKET.values()]
    computed: Floats = np.stack(columns, axis=-1)
    # Below 1e-12 there is only rounding error, which would differ from window to window.
    return round_significant(computed.round(12))


def round_significant(values: Floats) -> Floats:
    """Round to 8 significant decimal digits, elementwise."""
    size = np.abs(values)
    exponent = np.floor(np.log10(np.where(size > 0, size, 1.0))).astype(np.int64)
    digits = SIGNIFICANT_DIGITS - 1 - exponent
    # 10.0**n is exact up to n = 22; a division by it gives the double nearest to the decimal.
    scale = 10.0 ** np.abs(digits)
    scaled = np.where(digits >= 0, values * scale, values / scale)
    rounded = np.round(scaled)
    return np.where(digits >= 0, rounded / scale, rounded * scale) + 0.0


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Scale raw features to network inputs: clip((x - mean) / std, -5, 5); mean and std have shape (inputs,)."""

    mean: Floats
    std: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return the scaled features, same shape as given, (..., inputs)."""
        return np.clip((features - self.mean) / self.std, -CLIP, CLIP)


def fit_normaliser(training: Floats) -> Normaliser:
    """Fit on the training fold's market features, (..., features); the account's scale is fixed, not fitted."""
    rows = training.reshape(-1, training.shape[-1])
    mean = np.concatenate([rows.mean(axis=0), [0.5, 0.0]])
    std = np.concatenate([np.maximum(rows.std(axis=0), 1e-8), [0.5, 0.05]])
    return Normaliser(round_significant(mean), round_significant(std))
