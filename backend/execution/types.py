"""What execution makes of an approved order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from backend.ports.broker import Side
from backend.risk.types import ApprovedOrder, Portfolio

OrderState = Literal["filled", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Fill:
    """An order that was executed in full: shares, USD a share, fee in USD."""

    approved: ApprovedOrder
    order_id: str
    venue_order_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class InFlight:
    """An order whose fate at the venue is not known: it stays so until it is reconciled."""

    approved: ApprovedOrder
    order_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it is kept; the record is its place in the account's chain."""

    id: int
    order_id: str
    instrument: str
    side: Side
    quantity: Decimal
    state: OrderState
    gate: str
    rule: str
    reason: str
    decision_id: str
    model: str
    compliance_receipt: str
    risk_decision: str
    venue_order_id: str
    price: Decimal | None
    notional: Decimal | None
    fee: Decimal | None
    ordered_at: datetime
    record_account: str
    record_seq: int
    record_commitment: str
    record_id: int


@dataclass(frozen=True, slots=True)
class Position:
    """Shares of one instrument and what they cost, USD a share without fees."""

    instrument: str
    quantity: Decimal
    average_cost: Decimal


@dataclass(frozen=True, slots=True)
class Holdings:
    """An account's cash in USD and its positions by instrument."""

    cash: Decimal
    positions: Mapping[str, Position] = field(default_factory=dict)

    def portfolio(self) -> Portfolio:
        """Return what the risk gate looks at."""
        return Portfolio(self.cash, {name: position.quantity for name, position in self.positions.items()})
