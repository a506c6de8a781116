"""Where approved orders go to be filled."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

Side = Literal["buy", "sell"]


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue sees it; `client_order_id` makes a repeat harmless."""

    client_order_id: str
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


class Broker(Protocol):
    """Executes orders; a repeated client_order_id returns the first answer."""

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Execute one order at the venue."""
        ...
