"""Sends approved orders to the venue, once, and books what comes back."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.service import ComplianceGate
from backend.decisions.service import DecisionService
from backend.execution import repository
from backend.execution.engine import bookable, fill_fields, kept_fields, order_fields, order_id_of, told_reason
from backend.execution.repository import CASH_DECIMALS
from backend.execution.types import Fill, Holdings, InFlight, Order, OrderState
from backend.kernel.canonical import JsonValue
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kernel.fixed import PRICE_DECIMALS, QUANTITY_DECIMALS, to_units
from backend.kernel.refusal import Refused
from backend.kit.pagination import Page, PageRequest, page_of
from backend.ports.broker import Accepted, Broker, Rejected, Side, Unknown, VenueOrder
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.risk.service import RiskGate
from backend.risk.types import ApprovedOrder

POLICY = "execution:1"
CANCEL = "cancelled by its owner"
NO_FILL = "the venue answered with a fill that is not one of this order"


class ExecutionService:
    """Executes, books, settles orders of unknown fate, and answers what an account has."""

    def __init__(
        self,
        broker: Broker,
        compliance: ComplianceGate,
        risk: RiskGate,
        decisions: DecisionService,
        journal: Journal,
        initial_cash: Decimal,
    ) -> None:
        self._broker = broker
        self._compliance = compliance
        self._risk = risk
        self._decisions = decisions
        self._journal = journal
        self._initial_units = to_units(initial_cash, CASH_DECIMALS)

    async def lock(self, session: AsyncSession, account_id: int) -> Holdings:
        """Return what an account has and keep its other orders waiting until the transaction ends."""
        cash = await repository.lock_cash(session, account_id, self._initial_units)
        return await self._holdings(session, account_id, cash.units)

    async def at(self, session: AsyncSession, account_id: int) -> Mapping[str, int]:
        """Return instrument -> signed quantity (1e-6) of what an account holds now."""
        held = await repository.positions(session, account_id)
        return {name: to_units(position.quantity, QUANTITY_DECIMALS) for name, position in held.items()}

    async def at_close(self, session: AsyncSession, account_id: int, moment: datetime) -> Mapping[str, int]:
        """Return what `at` does as of a moment, without the orders that were given after it.

        The account's orders are through then; later ones wait for the transaction's end.
        """
        await repository.lock_cash(session, account_id, self._initial_units)
        held = dict(await self.at(session, account_id))
        for instrument, units in (await repository.filled_after(session, account_id, moment)).items():
            held[instrument] = held.get(instrument, 0) - units
        return held

    async def holdings(self, session: AsyncSession, account_id: int) -> Holdings:
        """Return what an account has."""
        units = await repository.cash_units(session, account_id)
        return await self._holdings(session, account_id, self._initial_units if units is None else units)

    async def execute(self, session: AsyncSession, approved: ApprovedOrder) -> Fill | InFlight | Refused:
        """Use the approval up, fill the order at the venue and book it."""
        refused = await self._risk.consume(session, approved)
        refused = refused or await self._compliance.hold(session, approved.cleared)
        if refused is not None:
            return refused
        decision = approved.cleared.decision
        order_id = order_id_of(decision.decision_id)
        if decision.side == "hold":
            raise Conflict("there is nothing to execute")
        side, venue = decision.side, self._broker.venue
        answer = await self._broker.submit(
            VenueOrder(order_id, decision.account, decision.instrument, side, decision.quantity)
        )
        match answer:
            case Rejected(reason):
                return Refused("execution", "venue_rejected", told_reason(reason))
            case Unknown(reason):
                await self._compliance.count(session, approved.cleared)
                return InFlight(approved, order_id, venue, told_reason(reason))
            case Accepted():
                await self._compliance.count(session, approved.cleared)
                if not bookable(answer, decision.quantity):
                    return InFlight(approved, order_id, venue, NO_FILL)
                await self._book(session, approved.cleared.account_id, decision.instrument, side, answer)
                return Fill(approved, order_id, venue, answer)

    async def cancel(self, session: AsyncSession, caller: Caller, order_id: str) -> Order:
        """Withdraw an order of unknown fate and return what became of it: it may have been filled before.

        Raises Conflict for an order that is over, Unavailable when the venue does not say.
        """
        await self.lock(session, caller.account_id)
        order = await self.order(session, caller.account_id, order_id)
        if order.state != "unknown":
            raise Conflict(f"the order is {order.state}")
        answer = await self._broker.cancel(order_id)
        if isinstance(answer, Unknown) or (isinstance(answer, Accepted) and not bookable(answer, order.quantity)):
            raise Unavailable("the venue does not say what became of the order: it stays unknown")
        refused = Refused("execution", "cancelled", CANCEL)
        return await self.settle(session, caller, order, answer if isinstance(answer, Accepted) else refused)

    async def settle(
        self,
        session: AsyncSession,
        owner: Caller,
        order: Order,
        answer: Accepted | Refused,
        reconciliation: str = "",
    ) -> Order:
        """Book what became of an order of unknown fate and record it on its owner's chain."""
        decision = await self._decisions.find(session, order.decision_id)
        judged = await self._compliance.judged(session, order.compliance_receipt, order.model)
        figures = await self._risk.figures(session, order.risk_decision)
        found: dict[str, JsonValue] = dict(kept_fields(order, judged, figures))
        found |= {"venue": self._broker.venue, "reconciliation": reconciliation}
        state: OrderState = "filled"
        if isinstance(answer, Accepted):
            await self._book(session, owner.account_id, order.instrument, order.side, answer)
            found |= fill_fields(self._broker.venue, answer)
        else:
            state = "cancelled" if answer.rule == "cancelled" else "refused"
            found |= {"gate": answer.gate, "rule": answer.rule, "reason": answer.reason}
        recorded = await self._journal.record(
            session,
            owner.pseudonym,
            f"order.{state}",
            order_fields(decision, owner, **found),
            actor=SYSTEM_ACCOUNT if reconciliation else owner.pseudonym,
            policy=POLICY,
        )
        return await repository.settle_order(session, order.order_id, state, answer, recorded)

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

    async def _holdings(self, session: AsyncSession, account_id: int, cash_units: int) -> Holdings:
        held = await repository.positions(session, account_id)
        return repository.holdings(cash_units, held, await repository.unknown_orders(session, account_id))

    async def _book(self, session: AsyncSession, account_id: int, instrument: str, side: Side, fill: Accepted) -> None:
        cash = await repository.lock_cash(session, account_id, self._initial_units)
        position = await repository.position_row(session, account_id, instrument)
        quantity = to_units(fill.quantity, QUANTITY_DECIMALS)
        value = quantity * to_units(fill.price, PRICE_DECIMALS)
        cash.units -= to_units(fill.fee, CASH_DECIMALS)
        if side == "buy":
            cash.units -= value
            position.quantity_units += quantity
            position.cost_units += value
        else:
            left = position.quantity_units - quantity
            cash.units += value
            position.cost_units = position.cost_units * left // position.quantity_units
            position.quantity_units = left
        await session.flush()
