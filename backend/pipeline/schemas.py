"""Orders on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.ports.broker import Side

MAX_BATCH = 100
MAX_QUANTITY = Decimal(2**40 - 1).scaleb(-6)
Instrument = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9.\-]+$")]


class AgentDecisionIn(BaseModel):
    """Let a registered model decide: the server computes features, action and quantity."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["agent"]
    model: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    instrument: Instrument


class PersonDecisionIn(BaseModel):
    """A person's own decision; quantity in shares, at most six decimals."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["person"]
    instrument: Instrument
    side: Side
    quantity: Annotated[Decimal, Field(gt=0, le=MAX_QUANTITY, decimal_places=6, allow_inf_nan=False)]


class OrderIn(BaseModel):
    """An order to place."""

    model_config = ConfigDict(extra="forbid")

    decision: Annotated[AgentDecisionIn | PersonDecisionIn, Field(discriminator="kind")]


class BatchIn(BaseModel):
    """Orders to place one after the other."""

    model_config = ConfigDict(extra="forbid")

    orders: Annotated[list[OrderIn], Field(min_length=1, max_length=MAX_BATCH)]


class CheckOut(BaseModel):
    """What the rules on chain say of an order now: the policy that refuses it and why, at which block.

    No block where the order never came before them: no price, a model that may not trade, an engine that is silent.
    """

    verdict: Literal["allowed", "refused", "hold"]
    policy: str = ""
    reason: str = ""
    notional: Decimal | None = None
    paper: bool = False
    block_number: int | None = None
    block_hash: str | None = None


class RecordOut(BaseModel):
    """A record's place in the account's chain, and its commitment (base64url)."""

    account: str
    seq: int
    commitment: str


class FillOut(BaseModel):
    """What the venue did: shares, USD a share, fee in USD."""

    venue_order_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal


class OrderOut(BaseModel):
    """An order and what became of it; entry_index is its record's place in the log once it is integrated."""

    order_id: str
    state: Literal["filled", "refused", "unknown", "cancelled"]
    instrument: str
    side: Side
    quantity: Decimal
    notional: Decimal | None
    fill: FillOut | None
    gate: str
    rule: str
    reason: str
    decision_id: str
    model: str
    compliance_receipt: str
    risk_decision: str
    ordered_at: datetime
    record: RecordOut
    entry_index: int | None = None


class HeldOut(BaseModel):
    """A decision to do nothing: an outcome with a record, without an order."""

    state: Literal["held"] = "held"
    decision_id: str
    instrument: str
    model: str
    action: str
    record: RecordOut


class BatchOut(BaseModel):
    """What each order of a batch came to, in their order: an order, a held decision, or a problem document."""

    results: list[dict[str, Any]]


class OrdersOut(BaseModel):
    """A page of orders, newest first."""

    orders: list[OrderOut]
    next_before: int | None


class DecisionOut(BaseModel):
    """The decision behind an order: features and action values as they were recorded."""

    decision_id: str
    kind: Literal["agent", "person"]
    action: str
    features_sha256: str
    features: list[str]
    q_values: list[str]
    decided_at: datetime


class OrderDetailOut(OrderOut):
    """An order with its decision and the receipt of the on-chain rules."""

    decision: DecisionOut
    compliance: dict[str, Any] | None


class PositionOut(BaseModel):
    """Shares of an instrument; USD a share paid and at the last close, value in USD."""

    instrument: str
    quantity: Decimal
    average_cost: Decimal
    price: Decimal | None
    value: Decimal | None


class PositionsOut(BaseModel):
    """What an account has: cash and equity in USD."""

    cash: Decimal
    equity: Decimal | None
    positions: list[PositionOut]
