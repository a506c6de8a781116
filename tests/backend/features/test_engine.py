"""A live feature vector is what training saw, in the form in which it is recorded."""

from datetime import date
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.features import LOOKBACK, Bars, market_features
from backend.adapters.market_data.replay import ReplayMarketData
from backend.features.engine import HISTORY_DAYS, SCHEMA, feature_vector, recorded_decimal, vector_of
from backend.kernel.canonical import canonical_json, parse_decimal
from backend.kernel.errors import Invalid, NotFound

MARKET = ReplayMarketData()
DAY = date(2016, 8, 1)
NONE = Decimal(0)


def test_the_values_are_the_features_of_training_as_recorded_decimals() -> None:
    panel = MARKET.history(DAY, 300)
    trained = market_features(Bars(panel.open, panel.high, panel.low, panel.close, panel.volume))
    for row, instrument in enumerate(panel.instruments):
        for back in (0, 1, 50):
            history = MARKET.history(panel.days[-1 - back], HISTORY_DAYS)
            values = feature_vector(history, instrument, NONE, NONE).values
            assert [float(value) for value in values[:-2]] == trained[row, -1 - back].tolist()


def test_the_account_comes_last_with_eight_significant_digits() -> None:
    vector = feature_vector(MARKET.history(DAY, 128), "KO", Decimal(1) / 3, Decimal("-0.0123456789"))
    assert len(vector.values) == len(SCHEMA) == 27
    assert vector.values[-2:] == ("0.33333333", "-0.012345679")


def test_the_hash_is_that_of_the_canonical_list() -> None:
    vector = feature_vector(MARKET.history(DAY, 128), "KO", NONE, NONE)
    assert vector.sha256 == sha256(canonical_json(list(vector.values))).hexdigest()
    assert vector_of(vector.values) == vector
    assert vector_of(("1", *vector.values[1:])).sha256 != vector.sha256


def test_a_longer_history_changes_nothing() -> None:
    short, long = (feature_vector(MARKET.history(DAY, length), "KO", NONE, NONE) for length in (LOOKBACK, 500))
    assert short == long


def test_a_short_history_and_an_unknown_instrument_are_refused() -> None:
    with pytest.raises(Invalid, match="128 days"):
        feature_vector(MARKET.history(DAY, 127), "KO", NONE, NONE)
    with pytest.raises(NotFound, match="AAPL"):
        feature_vector(MARKET.history(DAY, 128), "GME", NONE, NONE)


@given(st.decimals(-(10**6), 10**6, places=12))
def test_a_recorded_decimal_is_plain_and_survives_a_second_rounding(value: Decimal) -> None:
    text = recorded_decimal(value)
    assert recorded_decimal(parse_decimal(text)) == text
    assert abs(parse_decimal(text) - value) <= abs(value) * Decimal("5e-8")
