"""Fills orders at the replayed day's closing price, with slippage and a fee; nothing leaves the process."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from backend.kernel.fixed import NOTIONAL_DECIMALS, PRICE_DECIMALS
from backend.ports.broker import Accepted, Rejected, Unknown, VenueOrder
from backend.ports.clock import Clock

PRICE_TICK = Decimal(1).scaleb(-PRICE_DECIMALS)
FEE_TICK = Decimal(1).scaleb(-NOTIONAL_DECIMALS)


@dataclass(frozen=True, slots=True)
class PaperRates:
    """Costs as shares of the notional: slippage against the order, fee on top."""

    slippage: Decimal
    fee: Decimal


class PaperBroker:
    """Answers every client_order_id once, and again with the same answer."""

    def __init__(self, price: Callable[[str], Decimal | None], rates: PaperRates, clock: Clock) -> None:
        self._price = price
        self._rates = rates
        self._clock = clock
        self._answers: dict[str, tuple[VenueOrder, Accepted]] = {}

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Fill one order in full at today's close, moved against it by the slippage rate."""
        if order.client_order_id in self._answers:
            asked, answer = self._answers[order.client_order_id]
            return answer if asked == order else Rejected("client_order_id was used for another order")
        close = self._price(order.instrument)
        if close is None:
            return Rejected(f"{order.instrument} has no price today")
        if order.quantity <= 0:
            return Rejected("quantity must be positive")
        answer = self._fill(order, close)
        self._answers[order.client_order_id] = (order, answer)
        return answer

    def _fill(self, order: VenueOrder, close: Decimal) -> Accepted:
        sign = 1 if order.side == "buy" else -1
        price = (close * (1 + sign * self._rates.slippage)).quantize(PRICE_TICK, rounding=ROUND_HALF_EVEN)
        fee = (price * order.quantity * self._rates.fee).quantize(FEE_TICK, rounding=ROUND_HALF_EVEN)
        return Accepted(venue_order_id(order.client_order_id), order.quantity, price, fee, self._clock.business())


def venue_order_id(client_order_id: str) -> str:
    """Return the id that the paper venue gives an order: always the same for the same client order id."""
    return "PAPER-" + hashlib.sha256(b"refi/paper/v1\x00" + client_order_id.encode()).hexdigest()[:24]
