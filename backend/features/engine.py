"""Features of the live path: the same maths, on the same window, as in training."""

from decimal import Decimal
from hashlib import sha256

import numpy as np

from agents.export import feature_schema_sha256
from agents.features import FEATURE_SCHEMA, LOOKBACK, SIGNIFICANT_DIGITS, Bars, market_features
from backend.features.types import FeatureVector
from backend.kernel.canonical import canonical_json, decimal_string
from backend.kernel.errors import Invalid, NotFound
from backend.ports.market_data import Panel

HISTORY_DAYS = LOOKBACK
SCHEMA = FEATURE_SCHEMA
SCHEMA_SHA256 = feature_schema_sha256(FEATURE_SCHEMA)


def feature_vector(history: Panel, instrument: str, position_share: Decimal, unrealised: Decimal) -> FeatureVector:
    """Return an instrument's features at the close of the history's last day.

    history: at least HISTORY_DAYS days. position_share: the holding's share of the account's equity, 0..1.
    unrealised: price / average cost - 1, 0 without a holding.
    """
    if instrument not in history.instruments:
        raise NotFound(f"unknown instrument {instrument!r}; known are {', '.join(history.instruments)}")
    if len(history.days) < HISTORY_DAYS:
        raise Invalid(f"features need {HISTORY_DAYS} days of history, not {len(history.days)}")
    row = history.instruments.index(instrument)
    whole = (history.open, history.high, history.low, history.close, history.volume)
    window = Bars(*(values[row : row + 1, -HISTORY_DAYS:] for values in whole))
    market = market_features(window)[0, -1]
    if not np.isfinite(market).all():
        raise Invalid(f"the bars of {instrument} give a feature that is not finite")
    numbers = [*(Decimal(repr(value)) for value in market.tolist()), position_share, unrealised]
    return vector_of(tuple(recorded_decimal(number) for number in numbers))


def bars_of(panel: Panel) -> Bars:
    """Return a panel's arrays as the agents take them, without a copy."""
    return Bars(panel.open, panel.high, panel.low, panel.close, panel.volume)


def vector_of(values: tuple[str, ...]) -> FeatureVector:
    """Return the vector of recorded values, with its hash."""
    return FeatureVector(values, sha256(canonical_json(list(values))).hexdigest())


def recorded_decimal(value: Decimal) -> str:
    """Write a number with 8 significant digits as a plain decimal."""
    return decimal_string(Decimal(f"{value:.{SIGNIFICANT_DIGITS - 1}e}"))
