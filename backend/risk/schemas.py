"""Limits and halts on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from backend.risk.types import HaltScope, SwitchState

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
# Something to read, and nothing that a database cannot keep: PostgreSQL's texts hold no NUL.
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class HaltIn(BaseModel):
    """Whose orders to stop, and why."""

    model_config = ConfigDict(extra="forbid")

    scope: HaltScope = HaltScope.ACCOUNT
    reason: Reason


class ReasonIn(BaseModel):
    """Why a halt is moved on."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class HaltOut(BaseModel):
    """A trip of a kill switch; subject is the wallet, empty for the platform."""

    id: int
    scope: HaltScope
    subject: str
    state: SwitchState
    reason: str
    by_system: bool
    tripped_at: datetime


class ReviewIn(BaseModel):
    """A performance review of an account."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    note: Annotated[str, Field(min_length=1, max_length=500)]


class LimitIn(BaseModel):
    """An account's own VaR limit in USD."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    var_limit: Annotated[Decimal, Field(ge=0, le=Decimal(10_000_000), decimal_places=6, allow_inf_nan=False)]


class LimitOut(BaseModel):
    """A limit that was set."""

    address: str
    var_limit: Decimal


class ReviewOut(BaseModel):
    """A review that was recorded."""

    address: str
    note: str


class RiskOut(BaseModel):
    """Where an account stands, USD; null where the market has no price today, or where there is no such limit."""

    cap: Decimal
    exposure: Decimal | None
    var: Decimal | None
    var_limit: Decimal
    es: Decimal | None
    es_limit: Decimal | None
    halted: bool
    halts: list[HaltOut]
