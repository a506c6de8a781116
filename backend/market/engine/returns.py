"""Closing prices and exact integer returns of a window of days."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

from backend.kernel.clock import epoch_of
from backend.kernel.errors import Invalid
from backend.kernel.fixed import PRICE_DECIMALS, RETURN_DECIMALS, from_units
from backend.market.engine.clean import check_panel
from backend.market.types import DataBounds, ReturnsWindow, Unclean
from backend.ports.market_data import MarketData

INT24_LIMIT = 2**23
RETURN_SCALE = int(Decimal(10) ** RETURN_DECIMALS)


def closing_prices(market: MarketData, day: date) -> dict[str, Decimal]:
    """Return every instrument's close of a trading day, in universe order."""
    return {instrument: market.bar(instrument, day).close for instrument in market.universe()}


def next_day(market: MarketData, day: date) -> date | None:
    """Return the first trading day after a date, None when there is none."""
    return next((later for later in market.days() if later > day), None)


def daily_return(before: int, after: int) -> int:
    """Return after / before - 1 in units of 1e-6, rounded half to even, from prices in equal units."""
    change = (after - before) * RETURN_SCALE
    whole, rest = divmod(change, before)
    above = 2 * rest > before or (2 * rest == before and whole % 2 == 1)
    return whole + 1 if above else whole


def returns_window(market: MarketData, day: date, window: int, bounds: DataBounds | None = None) -> ReturnsWindow:
    """Return the closes of a day and the `window` daily returns that end with it.

    Prices are closes (adjusted for splits), returns those of the closes that are adjusted for dividends too: a dividend
    is no loss. Raise Unclean when the days are not recorded, or the data is incomplete, stale or not plausible.
    """
    try:
        panel = market.history(day, window + 1)
    except Invalid as short:
        raise Unclean("incomplete", short.detail, day) from short
    check_panel(panel, day, bounds or DataBounds())
    adjusted = [_units(row) for row in panel.adjusted.T.tolist()]
    returns = tuple(
        tuple(daily_return(*pair) for pair in zip(before, after, strict=True)) for before, after in pairwise(adjusted)
    )
    for ends, row in zip(panel.days[1:], returns, strict=True):
        for instrument, value in zip(panel.instruments, row, strict=True):
            if not -INT24_LIMIT <= value < INT24_LIMIT:
                raise Unclean("range", f"{instrument} on {ends}: the return does not fit 24 bits", ends, instrument)
    prices = tuple(from_units(units, PRICE_DECIMALS) for units in _units(panel.close.T[-1].tolist()))
    return ReturnsWindow(panel.instruments, epoch_of(day), prices, returns, panel.days[1:])


def _units(prices: list[float]) -> list[int]:
    return [round(price * 10**PRICE_DECIMALS) for price in prices]
