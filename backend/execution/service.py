"""Sends approved orders to the venue, once, and books what comes back."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from backend.execution import repository
from backend.execution.repository import CASH_DECIMALS
from backend.execution.types import Fill, Holdings, InFlight, Order, OrderState
from backend.kernel.errors import Conflict, NotFound
from backend.kernel.fixed import PRICE_DECIMALS, QUANTITY_DECIMALS, to_units
from backend.kernel.refusal import Refused
from backend.kit.pagination import Page, PageRequest, page_of
from backend.ports.broker import Accepted, Broker, Rejected, Unknown, VenueOrder
from backend.risk.service import RiskGate
from backend.risk.types import ApprovedOrder


class ExecutionService:
    """Executes, books, and answers what an account has."""

    def __init__(self, broker: Broker, risk: RiskGate, initial_cash: Decimal) -> None:
        self._broker = broker
        self._risk = risk
        self._initial_units = to_units(initial_cash, CASH_DECIMALS)

    async def lock(self, session: AsyncSession, account_id: int) -> Holdings:
        """Return what an account has and keep its other orders waiting until the transaction ends."""
        cash = await repository.lock_cash(session, account_id, self._initial_units)
        return repository.holdings(cash.units, await repository.positions(session, account_id))

    async def at(self, session: AsyncSession, account_id: int) -> Mapping[str, int]:
        """Return instrument -> signed quantity (1e-6) of what an account holds now."""
        held = await repository.positions(session, account_id)
        return {name: to_units(position.quantity, QUANTITY_DECIMALS) for name, position in held.items()}

    async def at_close(self, session: AsyncSession, account_id: int) -> Mapping[str, int]:
        """Return what `at` does, once the account's orders are through; later ones wait for the transaction's end."""
        await repository.lock_cash(session, account_id, self._initial_units)
        return await self.at(session, account_id)

    async def holdings(self, session: AsyncSession, account_id: int) -> Holdings:
        """Return what an account has."""
        units = await repository.cash_units(session, account_id)
        held = await repository.positions(session, account_id)
        return repository.holdings(self._initial_units if units is None else units, held)

    async def execute(self, session: AsyncSession, approved: ApprovedOrder) -> Fill | InFlight | Refused:
        """Use the approval up, fill the order at the venue and book it."""
        refused = await self._risk.consume(session, approved)
        if refused is not None:
            return refused
        decision = approved.cleared.decision
        order_id = order_id_of(decision.decision_id)
        if decision.side == "hold":
            raise Conflict("there is nothing to execute")
        answer = await self._broker.submit(VenueOrder(order_id, decision.instrument, decision.side, decision.quantity))
        match answer:
            case Rejected(reason):
                return Refused("execution", "venue_rejected", reason)
            case Unknown(reason):
                return InFlight(approved, order_id, reason)
            case Accepted():
                await self._book(session, approved, answer)
                return Fill(
                    approved,
                    order_id,
                    answer.venue_order_id,
                    answer.quantity,
                    answer.price,
                    answer.fee,
                    answer.executed_at,
                )

    async def keep(self, session: AsyncSession, account_id: int, client_key: str, order: Order) -> Order:
        """Store what became of an order."""
        return await repository.add_order(session, account_id, client_key, order)

    async def order(self, session: AsyncSession, account_id: int, order_id: str) -> Order:
        """Return one of an account's orders; raise NotFound."""
        found = await repository.order_of(session, account_id, order_id)
        if found is None:
            raise NotFound("no such order")
        return found

    async def order_of_record(self, session: AsyncSession, record_id: int) -> Order | None:
        """Return the order that a record of the log is about, if it is one of an order."""
        return await repository.order_of_record(session, record_id)

    async def orders(
        self, session: AsyncSession, account_id: int, request: PageRequest, state: OrderState | None
    ) -> Page[Order]:
        """Return an account's orders newest first."""
        rows = await repository.orders_page(session, account_id, request, state)
        return page_of(rows, request, lambda order: order.id)

    async def _book(self, session: AsyncSession, approved: ApprovedOrder, fill: Accepted) -> None:
        account_id, decision = approved.cleared.account_id, approved.cleared.decision
        cash = await repository.lock_cash(session, account_id, self._initial_units)
        position = await repository.position_row(session, account_id, decision.instrument)
        quantity = to_units(fill.quantity, QUANTITY_DECIMALS)
        value = quantity * to_units(fill.price, PRICE_DECIMALS)
        cash.units -= to_units(fill.fee, CASH_DECIMALS)
        if decision.side == "buy":
            cash.units -= value
            position.quantity_units += quantity
            position.cost_units += value
        else:
            left = position.quantity_units - quantity
            cash.units += value
            position.cost_units = position.cost_units * left // position.quantity_units
            position.quantity_units = left
        await session.flush()


def order_id_of(decision_id: str) -> str:
    """Return a decision's order id: one decision, one order, one client order id at the venue."""
    return hashlib.sha256(b"refi/order/v1\x00" + decision_id.encode()).hexdigest()[:32]
