"""Market data from a recorded panel of daily bars."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.kernel.fixed import PRICE_DECIMALS, from_units
from backend.ports.market_data import Bar, DataSource, Panel

SHIPPED_PANEL = Path(__file__).parent / "panel" / "us_daily_16.parquet"
SOURCE_NAME = "stocknet-dataset, 16 US names, daily"
LICENCE = "MIT, Copyright (c) 2018 Yumo Xu"
PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume", "adj_close")


class ReplayMarketData:
    """Read a parquet file (date, ticker, open, high, low, close, adj_close, volume), every name on every day."""

    def __init__(self, path: Path = SHIPPED_PANEL, name: str = SOURCE_NAME, licence: str = LICENCE) -> None:
        """Load the whole file; raise Unavailable when it cannot be read or has gaps."""
        try:
            frame = pl.read_parquet(path, columns=["date", "ticker", *COLUMNS]).sort("ticker", "date")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise Unavailable(f"the market data file {path.name} cannot be read: {error}") from error
        self._instruments = tuple(frame["ticker"].unique().sort().to_list())
        self._days: tuple[date, ...] = tuple(frame["date"].unique().sort().to_list())
        shape = (len(self._instruments), len(self._days))
        whole = frame.select(pl.struct("ticker", "date").n_unique()).item()
        if frame.is_empty() or frame.height != shape[0] * shape[1] or whole != frame.height:
            raise Unavailable(f"the market data file {path.name} lacks bars")
        self._columns = {column: _matrix(frame[column], shape) for column in COLUMNS}
        self._place = {instrument: index for index, instrument in enumerate(self._instruments)}
        self._day_place = {day: index for index, day in enumerate(self._days)}
        self._source = DataSource(name, licence, self._days[0], self._days[-1])

    def universe(self) -> tuple[str, ...]:
        """Return the instruments, in the order of every array."""
        return self._instruments

    def days(self) -> tuple[date, ...]:
        """Return the trading days, oldest first."""
        return self._days

    def bar(self, instrument: str, day: date) -> Bar:
        """Return an instrument's bar of a trading day."""
        row, column = self._row(instrument), self._column(day)
        opened, high, low, close = (_price(self._columns[name][row, column]) for name in PRICES)
        return Bar(instrument, day, opened, high, low, close, int(self._columns["volume"][row, column]))

    def history(self, day: date, length: int) -> Panel:
        """Return the `length` trading days that end with `day`."""
        last = self._column(day)
        if not 1 <= length <= last + 1:
            raise Invalid(f"{length} days that end on {day} are not recorded: 1 to {last + 1} are")
        window = slice(last + 1 - length, last + 1)
        columns = [self._columns[name][:, window] for name in COLUMNS]
        return Panel(self._instruments, self._days[window], *columns)

    def source(self) -> DataSource:
        """Return where the data comes from."""
        return self._source

    def _row(self, instrument: str) -> int:
        row = self._place.get(instrument)
        if row is None:
            raise NotFound(f"unknown instrument {instrument!r}; known are {', '.join(self._instruments)}")
        return row

    def _column(self, day: date) -> int:
        column = self._day_place.get(day)
        if column is None:
            raise NotFound(f"{day} is no recorded trading day; they run from {self._days[0]} to {self._days[-1]}")
        return column


def _matrix(column: pl.Series, shape: tuple[int, int]) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = np.round(column.cast(pl.Float64).to_numpy().reshape(shape), PRICE_DECIMALS)
    matrix.flags.writeable = False
    return matrix


def _price(value: float) -> Decimal:
    return from_units(round(value * 10**PRICE_DECIMALS), PRICE_DECIMALS)
