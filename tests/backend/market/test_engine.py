"""Closing prices and integer returns follow from the recorded bars alone."""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.market_data.replay import ReplayMarketData
from backend.kernel.errors import Invalid
from backend.market.engine import closing_prices, daily_return, next_day, returns_window

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
    # No dividend came between: the adjusted closes, one rounding each further, say the same.
    assert window.returns[-1][MARKET.universe().index("KO")] == pytest.approx(float(after / before - 1) * 1e6, abs=3)
    assert (window.days[-1], len(window.days)) == (DAY, 90)


def test_a_dividend_is_no_loss_and_prices_stay_what_was_paid() -> None:
    # Verizon went without a dividend of 0.565 USD on 2016-07-06, after a close of 56.23 USD.
    day, verizon = date(2016, 7, 6), MARKET.universe().index("VZ")
    window, closes = returns_window(MARKET, day, 1), MARKET.history(day, 2).close[verizon]
    assert window.prices[verizon] == Decimal(str(closes[1]))
    total, plain = window.returns[0][verizon] / 1e6, closes[1] / closes[0] - 1
    assert total - plain == pytest.approx(0.565 / closes[0], abs=2e-4)


def test_a_window_before_the_first_bars_is_refused() -> None:
    with pytest.raises(Invalid):
        returns_window(MARKET, MARKET.days()[89], 90)
    assert len(returns_window(MARKET, MARKET.days()[90], 90).returns) == 90


def test_the_next_day_skips_weekends_and_ends_with_the_record() -> None:
    assert next_day(MARKET, date(2016, 7, 29)) == DAY
    assert next_day(MARKET, date(2016, 7, 30)) == DAY
    assert next_day(MARKET, MARKET.days()[-1]) is None
