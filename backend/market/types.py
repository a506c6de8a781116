"""Market values that leave the platform: the matrix of returns that a risk proof is about, and what data must be."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from backend.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class ReturnsWindow:
    """Hold one epoch's closing prices (USD, four decimals) and the daily returns before them.

    returns[w][n]: simple total return of instrument n on day w, oldest day first, in units of 1e-6, an int24. days[w]
    is the day that it ends on.
    """

    universe: tuple[str, ...]
    epoch: int
    prices: tuple[Decimal, ...]
    returns: tuple[tuple[int, ...], ...]
    days: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class DataBounds:
    """What daily data may do: the largest return that is believed (a share), and for how many days a price may stand.

    A price that has not changed on `stale_days` days in a row is taken for one that nobody updates.
    """

    jump: Decimal = Decimal("0.5")
    stale_days: int = 5


class Unclean(Invalid):
    """Market data that no returns are made of; the rule is incomplete, stale, jump or range."""

    code = "unclean_data"

    def __init__(self, rule: str, detail: str, day: date | None = None, instrument: str = "") -> None:
        super().__init__(detail)
        self.rule = rule
        self.day = day
        self.instrument = instrument
