"""Market values that leave the platform: the matrix of returns that a risk proof is about."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ReturnsWindow:
    """Hold one epoch's closing prices (USD, four decimals) and the daily returns before them.

    returns[w][n]: simple return of instrument n on day w, oldest day first, in units of 1e-6, an int24.
    """

    universe: tuple[str, ...]
    epoch: int
    prices: tuple[Decimal, ...]
    returns: tuple[tuple[int, ...], ...]
