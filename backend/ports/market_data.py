"""Daily market data, readable only up to the day that is asked for."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bar:
    """One instrument's trading day: prices in USD with four decimals, volume in shares."""

    instrument: str
    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Consecutive trading days of several instruments; each array is (instruments, days), float64, read-only.

    Prices in USD, rounded to four decimals; volume in shares; both axes in the order of the two tuples. `adjusted` are
    closes adjusted for splits and dividends: good for returns, no price that anybody paid.
    """

    instruments: tuple[str, ...]
    days: tuple[date, ...]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    adjusted: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DataSource:
    """Where the data comes from and under which licence, with the first and last day."""

    name: str
    licence: str
    first: date
    last: date


class MarketData(Protocol):
    """Answer from recorded bars; unknown instruments and days raise NotFound."""

    def universe(self) -> tuple[str, ...]:
        """Return the instruments, in the order of every array."""
        ...

    def days(self) -> tuple[date, ...]:
        """Return the trading days, oldest first."""
        ...

    def bar(self, instrument: str, day: date) -> Bar:
        """Return an instrument's bar of a trading day."""
        ...

    def history(self, day: date, length: int) -> Panel:
        """Return the `length` trading days that end with `day`; Invalid when there are not so many."""
        ...

    def source(self) -> DataSource:
        """Return where the data comes from."""
        ...
