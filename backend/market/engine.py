"""Market maths: closing prices and exact integer returns of a window of days."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

from backend.kernel.clock import epoch_of
from backend.kernel.errors import Invalid
from backend.kernel.fixed import PRICE_DECIMALS, RETURN_DECIMALS, from_units
from backend.market.types import ReturnsWindow
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


def returns_window(market: MarketData, day: date, window: int) -> ReturnsWindow:
    """Return the closes of a day and the `window` daily returns that end with it.

    Raise Invalid when the days are not recorded or a return does not fit 24 bits (+-838 %).
    """
    panel = market.history(day, window + 1)
    scale = 10**PRICE_DECIMALS
    closes = [[round(price * scale) for price in row] for row in panel.close.T.tolist()]
    returns = tuple(
        tuple(daily_return(*pair) for pair in zip(before, after, strict=True)) for before, after in pairwise(closes)
    )
    if any(not -INT24_LIMIT <= value < INT24_LIMIT for row in returns for value in row):
        raise Invalid(f"a return of the {window} days to {day} does not fit 24 bits")
    prices = tuple(from_units(units, PRICE_DECIMALS) for units in closes[-1])
    return ReturnsWindow(panel.instruments, epoch_of(day), prices, returns)


def pack_returns(returns: tuple[tuple[int, ...], ...]) -> bytes:
    """Return the rows one after the other, three bytes a return, big endian, two's complement."""
    return b"".join(value.to_bytes(3, "big", signed=True) for row in returns for value in row)
