"""The market on the wire."""

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel


class InstrumentsOut(BaseModel):
    """What can be traded and where its data comes from."""

    instruments: list[str]
    source: str
    licence: str
    first: date
    last: date


class BarOut(BaseModel):
    """A trading day: prices in USD, volume in shares."""

    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


class BarsOut(BaseModel):
    """An instrument's last days, oldest first."""

    instrument: str
    bars: list[BarOut]


class ClockOut(BaseModel):
    """The business clock: its time, its day, and the UTC day number."""

    now: datetime
    day: date
    epoch: int
