"""Returns are made of clean data alone: what is incomplete, stale, jumping or out of range is named."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.market_data.replay import ReplayMarketData
from backend.market.engine import check_panel, missing_days, returns_window, trading_holidays
from backend.market.types import DataBounds, Unclean
from backend.ports.market_data import Bar, DataSource, Panel

MARKET = ReplayMarketData()
DAY, LENGTH = date(2016, 8, 1), 30
BOUNDS = DataBounds()
KO = MARKET.universe().index("KO")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A market whose history is one given panel."""

    panel: Panel

    def history(self, day: date, length: int) -> Panel:
        """Return the panel, whatever is asked for."""
        del day, length
        return self.panel

    def universe(self) -> tuple[str, ...]:
        """Return its instruments."""
        return self.panel.instruments

    def days(self) -> tuple[date, ...]:
        """Return its days."""
        return self.panel.days

    def bar(self, instrument: str, day: date) -> Bar:
        """Answer nothing: nobody asks."""
        raise NotImplementedError

    def source(self) -> DataSource:
        """Name a made-up source."""
        return DataSource("made up", "none", self.panel.days[0], self.panel.days[-1])


def panel(**columns: Any) -> Panel:
    """Return a recorded panel with some of it replaced."""
    return replace(MARKET.history(DAY, LENGTH), **columns)


def changed(name: str, row: int, column: int | slice, value: float) -> Panel:
    """Return a recorded panel with one instrument's prices replaced."""
    prices = getattr(panel(), name).copy()
    prices[row, column] = value
    return panel(**{name: prices})


def without(place: int) -> Panel:
    """Return a recorded panel that lacks a day."""
    whole = MARKET.history(DAY, LENGTH)
    columns = {name: np.delete(getattr(whole, name), place, axis=1) for name in ("close", "adjusted")}
    return replace(whole, days=whole.days[:place] + whole.days[place + 1 :], **columns)


def refused(data: Panel, day: date = DAY, bounds: DataBounds = BOUNDS) -> Unclean:
    """Return why a panel is refused; the window of returns is refused for the same reason."""
    with pytest.raises(Unclean) as why:
        check_panel(data, day, bounds)
    with pytest.raises(Unclean, match=why.value.detail.replace("(", ".").replace(")", ".")):
        returns_window(Recorded(data), day, LENGTH - 1, bounds)
    return why.value


def test_every_recorded_window_is_clean() -> None:
    days = MARKET.days()
    check_panel(MARKET.history(days[-1], len(days)), days[-1], BOUNDS)


def test_the_days_without_trading_follow_from_the_rules() -> None:
    days = MARKET.days()
    known, closed = set(days), [day for year in range(2012, 2018) for day in trading_holidays(year)]
    between = (days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days))
    missing = {day for day in between if day.weekday() < 5 and day not in known}
    assert {day for day in closed if days[0] < day < days[-1]} == missing
    assert len(missing) == 46


@pytest.mark.parametrize(
    ("year", "closed"),
    [
        # As NYSE announced them.
        (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26"),
        (2023, "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25"),
        (2024, "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25"),
    ],
)
def test_later_holidays_are_those_that_were_announced(year: int, closed: str) -> None:
    assert sorted(trading_holidays(year)) == [date.fromisoformat(f"{year}-{day}") for day in closed.split()]


@given(place=st.integers(1, LENGTH - 2))
def test_a_missing_day_is_named(place: int) -> None:
    whole, gap = MARKET.history(DAY, LENGTH), without(place)
    assert list(missing_days(gap.days)) == [whole.days[place]]
    why = refused(gap)
    assert (why.rule, why.day) == ("incomplete", whole.days[place])
    assert str(whole.days[place]) in why.detail


def test_data_that_ends_before_the_day_is_stale() -> None:
    why = refused(without(LENGTH - 1))
    assert (why.rule, why.day) == ("stale", MARKET.history(DAY, 2).days[0])
    assert str(DAY) in why.detail


@pytest.mark.parametrize("column", ["close", "adjusted"])
@pytest.mark.parametrize(
    ("price", "rule"),
    [
        (np.nan, "incomplete"),
        (np.inf, "incomplete"),
        (0.0, "range"),
        (-1.0, "range"),
        (0.00004, "range"),
        (429_496.7296, "range"),
    ],
)
def test_a_price_that_is_missing_or_out_of_range_is_named(column: str, price: float, rule: str) -> None:
    why = refused(changed(column, KO, 7, price))
    assert (why.rule, why.instrument, why.day) == (rule, "KO", MARKET.history(DAY, LENGTH).days[7])
    assert "KO" in why.detail


@pytest.mark.parametrize("factor", [0.4999, 1.5001])
def test_a_jump_beyond_the_bound_is_named(factor: float) -> None:
    day = MARKET.history(DAY, LENGTH).days[9]
    before = float(panel().adjusted[KO, 8])
    why = refused(changed("adjusted", KO, 9, before * factor))
    assert (why.rule, why.instrument, why.day) == ("jump", "KO", day)
    assert "beyond 0.5" in why.detail


def test_a_jump_within_another_bound_is_returned() -> None:
    jumped = changed("adjusted", KO, LENGTH - 1, round(float(panel().adjusted[KO, -2]) * 1.6, 4))
    window = returns_window(Recorded(jumped), DAY, LENGTH - 1, DataBounds(jump=Decimal("0.7")))
    assert window.returns[-1][KO] == pytest.approx(600_000, abs=5)


def test_a_return_beyond_24_bits_is_refused_whatever_the_bound() -> None:
    high = changed("adjusted", KO, LENGTH - 1, float(panel().adjusted[KO, -2]) * 10)
    with pytest.raises(Unclean, match=r"KO on 2016-08-01.*24 bits"):
        returns_window(Recorded(high), DAY, LENGTH - 1, DataBounds(jump=Decimal(100)))


@pytest.mark.parametrize("standing", [5, 6, 12])
def test_a_price_that_stands_too_long_is_stale(standing: int) -> None:
    price = float(panel().adjusted[KO, 10])
    why = refused(changed("adjusted", KO, slice(10, 11 + standing), price))
    assert (why.rule, why.instrument, why.day) == ("stale", "KO", MARKET.history(DAY, LENGTH).days[15])
    assert "5 days" in why.detail


def test_a_price_that_stands_for_less_is_clean() -> None:
    price = float(panel().adjusted[KO, 10])
    check_panel(changed("adjusted", KO, slice(10, 15), price), DAY, BOUNDS)


def test_too_few_recorded_days_are_incomplete() -> None:
    with pytest.raises(Unclean, match="1 to 90") as why:
        returns_window(MARKET, MARKET.days()[89], 90)
    assert why.value.rule == "incomplete"
