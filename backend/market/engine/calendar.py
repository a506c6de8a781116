"""The days on which the US stock exchanges are closed, by rule: what tells a missing day from a holiday."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

SATURDAY, SUNDAY = 5, 6
MONDAY, THURSDAY = 0, 3
JUNETEENTH_SINCE = 2022
# Days of mourning, storms and attacks, since 2001.
CLOSED_ONCE = frozenset(
    {
        *(date(2001, 9, day) for day in range(11, 15)),
        date(2004, 6, 11),
        date(2007, 1, 2),
        date(2012, 10, 29),
        date(2012, 10, 30),
        date(2018, 12, 5),
        date(2025, 1, 9),
    }
)


@cache
def trading_holidays(year: int) -> frozenset[date]:
    """Return the weekdays of a year, 1998 or later, on which NYSE and Nasdaq do not open (NYSE rule 7.2)."""
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    days = {_observed(day) for day in fixed}
    first = date(year, 1, 1)
    # A New Year's Day on a Saturday is not made good in December.
    days.add(_observed(first) if first.weekday() != SATURDAY else first)
    days |= {
        _nth(year, 1, MONDAY, 3),
        _nth(year, 2, MONDAY, 3),
        _easter(year) - timedelta(days=2),
        _nth(year, 6, MONDAY, 1) - timedelta(days=7),
        _nth(year, 9, MONDAY, 1),
        _nth(year, 11, THURSDAY, 4),
    }
    days |= {day for day in CLOSED_ONCE if day.year == year}
    return frozenset(day for day in days if day.weekday() < SATURDAY)


def missing_days(days: tuple[date, ...]) -> Iterator[date]:
    """Yield the days between the first and the last on which the exchanges opened and that are not among them."""
    known = set(days)
    for number in range((days[-1] - days[0]).days):
        day = days[0] + timedelta(days=number)
        if day.weekday() < SATURDAY and day not in known and day not in trading_holidays(day.year):
            yield day


def _observed(day: date) -> date:
    return day + timedelta(days={SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _easter(year: int) -> date:
    # The Gregorian computus (Nature, 20 April 1876), with its letters.
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return date(year, month, day + 1)
