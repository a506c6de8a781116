"""Reconciliations on the wire."""

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict


class ReconcileIn(BaseModel):
    """Which business day to compare with the venue's books; none means today."""

    model_config = ConfigDict(extra="forbid")

    day: date | None = None


class SummaryOut(BaseModel):
    """A day's fills beside the venue's: how many on either side, and on how many orders the books differ."""

    day: date
    venue: str
    accounts: int
    ours: int
    theirs: int
    matched: int
    differences: int
    unresolved: int
    reconciled_at: datetime


class SummariesOut(BaseModel):
    """A page of days, newest first."""

    items: list[SummaryOut]
    next_before: int | None


class AccountOutcomeOut(BaseModel):
    """How an account's fills of a day compared, with the order ids on which the books differ."""

    account: str
    ours: int
    theirs: int
    matched: int
    differences: int
    missing_here: list[str]
    missing_there: list[str]
    differing: list[str]
    repeated: list[str]
    resolved: list[str]
    unresolved: list[str]


class DayOutcomesOut(BaseModel):
    """Every account that had something to compare on a day, those that differ first."""

    day: date
    accounts: list[AccountOutcomeOut]


class FeesOut(BaseModel):
    """What a wallet has staked (1e-18 REFI), its tier (0: none) as of a block, and what it was given back, USD."""

    staked: str
    tier: int
    rebate_bps: int
    block_number: int
    rebated: Decimal
