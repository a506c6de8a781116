"""What execution makes of an approved order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from backend.decisions.types import Decision
from backend.ports.broker import Accepted, Side
from backend.risk.types import ApprovedOrder, Portfolio

OrderState = Literal["filled", "refused", "unknown", "cancelled"]


@dataclass(frozen=True, slots=True)
class Fill:
    """An order that was executed in full, and the venue's answer."""

    approved: ApprovedOrder
    order_id: str
    venue: str
    answer: Accepted


@dataclass(frozen=True, slots=True)
class InFlight:
    """An order whose fate at the venue is not known: it stays so until it is cancelled or reconciled."""

    approved: ApprovedOrder
    order_id: str
    venue: str
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
class Reserved:
    """What orders of unknown fate may have taken: bought shares and their notional in USD, sold shares."""

    notional: Decimal = Decimal(0)
    bought: Mapping[str, Decimal] = field(default_factory=dict)
    sold: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holdings:
    """An account's cash in USD, its positions by instrument, and what orders of unknown fate reserve of both."""

    cash: Decimal
    positions: Mapping[str, Position] = field(default_factory=dict)
    reserved: Reserved = field(default_factory=Reserved)
    unknown: Sequence[Order] = ()

    def is_reduced_by(self, decision: Decision) -> bool:
        """Return whether a decision only sells of what is held, beyond what orders of unknown fate may have sold."""
        position, reserved = self.positions.get(decision.instrument), self.reserved.sold.get(decision.instrument)
        held = Decimal(0) if position is None else position.quantity - (reserved or Decimal(0))
        return decision.side == "sell" and decision.quantity <= held

    def portfolio(self) -> Portfolio:
        """Return what the risk gate looks at."""
        held = {name: position.quantity for name, position in self.positions.items()}
        return Portfolio(self.cash, held, self.reserved.notional, self.reserved.bought, self.reserved.sold)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our fills of an account and a day beside the venue's: how many, and the order ids on which they differ."""

    ours: int
    theirs: int
    matched: int
    missing_here: tuple[str, ...] = ()
    missing_there: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    def differences(self) -> int:
        """Return on how many orders the books differ."""
        return len({*self.missing_here, *self.missing_there, *self.differing, *self.repeated})


@dataclass(frozen=True, slots=True)
class Reconciled:
    """An account's day after its reconciliation; resolved orders were of unknown fate, unresolved ones still are.

    account is the pseudonym, account_id None for a name that the venue knows and we do not. fresh: the last look at
    this day came to something else.
    """

    day: date
    account: str
    account_id: int | None
    subject: str
    comparison: Comparison
    resolved: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    fresh: bool = True

    def agrees(self) -> bool:
        """Return whether both books tell the same and nothing is left open."""
        return not self.comparison.differences() and not self.unresolved


@dataclass(frozen=True, slots=True)
class Rebate:
    """An order's fee and what of it was given back, 1e-6 USD."""

    fee: int
    given: int


@dataclass(frozen=True, slots=True)
class DaySummary:
    """A day's reconciliation over every account, as anybody may see it."""

    day: date
    venue: str
    accounts: int
    ours: int
    theirs: int
    matched: int
    differences: int
    unresolved: int
    reconciled_at: datetime
    id: int = 0
