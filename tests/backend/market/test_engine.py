"""Closing prices and integer returns follow from the recorded bars alone."""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.market_data.replay import ReplayMarketData
from backend.kernel.errors import Invalid
from backend.market.engine import closing_prices, daily_return, next_day, pack_returns, returns_window

MARKET = ReplayMarketData()
DAY = date(2016, 8, 1)


@given(before=st.integers(1, 2**32), after=st.integers(1, 2**32))
def test_a_daily_return_is_exact_rounded_half_to_even(before: int, after: int) -> None:
    exact = (Decimal(after) / Decimal(before) - 1) * 10**6
    assert abs(daily_return(before, after) - exact) <= Decimal("0.5000001")


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(2_000_000, 2_000_001, 0), (2_000_000, 2_000_003, 2), (2_000_000, 1_999_999, 0)]
)
def test_a_tie_goes_to_the_even_unit(before: int, after: int, expected: int) -> None:
    assert daily_return(before, after) == expected
    assert (Decimal(after - before) / 2).quantize(Decimal(1), ROUND_HALF_EVEN) == expected


def test_a_window_holds_the_closes_and_the_returns_that_end_with_the_day() -> None:
    window = returns_window(MARKET, DAY, 90)
    assert window.universe == MARKET.universe()
    assert window.epoch == 17014
    assert list(window.prices) == list(closing_prices(MARKET, DAY).values())
    assert (len(window.returns), {len(row) for row in window.returns}) == (90, {16})
    yesterday = MARKET.history(DAY, 2).days[0]
    before, after = MARKET.bar("KO", yesterday).close, MARKET.bar("KO", DAY).close
    assert window.returns[-1][MARKET.universe().index("KO")] == round((after / before - 1) * 10**6)


def test_a_window_before_the_first_bars_is_refused() -> None:
    with pytest.raises(Invalid):
        returns_window(MARKET, MARKET.days()[89], 90)
    assert len(returns_window(MARKET, MARKET.days()[90], 90).returns) == 90


def test_returns_are_packed_row_by_row_in_three_signed_bytes() -> None:
    assert pack_returns(((1, -1), (-(2**23), 2**23 - 1))) == bytes.fromhex("000001ffffff8000007fffff")
    with pytest.raises(OverflowError):
        pack_returns(((2**23,),))


def test_the_next_day_skips_weekends_and_ends_with_the_record() -> None:
    assert next_day(MARKET, date(2016, 7, 29)) == DAY
    assert next_day(MARKET, date(2016, 7, 30)) == DAY
    assert next_day(MARKET, MARKET.days()[-1]) is None
