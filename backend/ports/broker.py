"""Where approved orders go to be filled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue sees it; `client_order_id` makes a repeat harmless, `account` says whose it is."""

    client_order_id: str
    account: str
    instrument: str
    side: Side
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue filled it: quantity in shares, price and fee in USD."""

    venue_order_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue refused it for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No clear answer: the order stays in flight until it is reconciled."""

    reason: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill as the venue has it in its books: whose, of which order, shares, USD a share, fee in USD."""

    client_order_id: str
    account: str
    instrument: str
    side: Side
    fill: Accepted


class Broker(Protocol):
    """Executes orders; a repeated client_order_id returns the first answer."""

    @property
    def venue(self) -> str:
        """The venue's name in records: its MIC where it has one."""
        ...

    @property
    def live(self) -> bool:
        """Whether money moves there."""
        ...

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Execute one order at the venue."""
        ...

    async def cancel(self, client_order_id: str) -> Accepted | Rejected | Unknown:
        """Withdraw an order: Accepted when it was filled before, Rejected when it is not filled and never will be."""
        ...

    async def executions(self, day: date) -> Sequence[Execution]:
        """Return every fill of a business day in the venue's books; raise Unavailable when it does not answer."""
        ...
