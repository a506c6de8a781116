"""Every query on orders, positions and cash."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account
from backend.execution.models import OPEN_FEES, CashRow, OrderRow, PositionRow, ReconciliationRow
from backend.execution.types import DaySummary, Holdings, Order, OrderState, Position, Rebate, Reconciled, Reserved
from backend.kernel.canonical import JsonValue, encode_bytes
from backend.kernel.fixed import (
    NOTIONAL_DECIMALS,
    PRECISION,
    PRICE_DECIMALS,
    QUANTITY_DECIMALS,
    from_units,
    to_units,
)
from backend.kernel.refusal import Refused
from backend.kit.db import insert_once
from backend.kit.pagination import PageRequest
from backend.ports.broker import Accepted, Side
from backend.ports.journal import Recorded

CASH_DECIMALS = QUANTITY_DECIMALS + PRICE_DECIMALS
EVERY_ACCOUNT = ""
STATES: Mapping[str, OrderState] = {
    "filled": "filled",
    "refused": "refused",
    "unknown": "unknown",
    "cancelled": "cancelled",
}


async def lock_cash(session: AsyncSession, account_id: int, initial_units: int) -> CashRow:
    """Return an account's cash, locked until the transaction ends, made when there is none."""
    await session.execute(insert_once(session, CashRow).values(account_id=account_id, units=initial_units))
    query = select(CashRow).where(CashRow.account_id == account_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def lock_own_cash(session: AsyncSession, account_id: int) -> CashRow:
    """Return the cash of an account that has traded, locked until the transaction ends."""
    query = select(CashRow).where(CashRow.account_id == account_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def cash_units(session: AsyncSession, account_id: int) -> int | None:
    """Return an account's cash in 1e-10 USD, None when it never ordered."""
    return await session.scalar(select(CashRow.units).where(CashRow.account_id == account_id))


async def positions(session: AsyncSession, account_id: int) -> dict[str, Position]:
    """Return what an account holds, by instrument."""
    query = (
        select(PositionRow)
        .where(PositionRow.account_id == account_id, PositionRow.quantity_units != 0)
        .order_by(PositionRow.instrument)
    )
    return {row.instrument: _position(row) for row in (await session.scalars(query)).all()}


async def position_row(session: AsyncSession, account_id: int, instrument: str) -> PositionRow:
    """Return an account's position in an instrument, made empty when there is none."""
    found = await session.get(PositionRow, (account_id, instrument))
    if found is None:
        found = PositionRow(account_id=account_id, instrument=instrument, quantity_units=0, cost_units=0)
        session.add(found)
    return found


async def add_order(session: AsyncSession, account_id: int, client_key: str, order: Order) -> Order:
    """Store an order and return it."""
    row = OrderRow(
        order_id=order.order_id,
        account_id=account_id,
        client_key=client_key,
        instrument=order.instrument,
        side=order.side,
        quantity_units=to_units(order.quantity, QUANTITY_DECIMALS),
        state=order.state,
        gate=order.gate,
        rule=order.rule,
        reason=order.reason[:500],
        decision_id=order.decision_id,
        model=order.model,
        compliance_receipt=order.compliance_receipt,
        risk_decision=order.risk_decision,
        venue_order_id=order.venue_order_id,
        price_units=_units(order.price, PRICE_DECIMALS),
        notional_units=_units(order.notional, NOTIONAL_DECIMALS),
        fee_units=_units(order.fee, NOTIONAL_DECIMALS),
        ordered_at=order.ordered_at,
        record_account=order.record_account,
        record_seq=order.record_seq,
        record_commitment=order.record_commitment,
        record_id=order.record_id,
    )
    session.add(row)
    await session.flush()
    return _order(row)


async def order_of(session: AsyncSession, account_id: int, order_id: str) -> Order | None:
    """Return an account's order by its id."""
    query = select(OrderRow).where(OrderRow.order_id == order_id, OrderRow.account_id == account_id)
    row = await session.scalar(query)
    return None if row is None else _order(row)


async def order_of_record(session: AsyncSession, record_id: int) -> Order | None:
    """Return the order that a record of the log is about."""
    row = await session.scalar(select(OrderRow).where(OrderRow.record_id == record_id))
    return None if row is None else _order(row)


async def orders_page(
    session: AsyncSession, account_id: int, request: PageRequest, state: OrderState | None
) -> Sequence[Order]:
    """Return an account's orders newest first, one more than the page holds."""
    query = select(OrderRow).where(OrderRow.account_id == account_id)
    if state is not None:
        query = query.where(OrderRow.state == state)
    if request.before is not None:
        query = query.where(OrderRow.id < request.before)
    rows = await session.scalars(query.order_by(OrderRow.id.desc()).limit(request.limit + 1))
    return [_order(row) for row in rows.all()]


async def unknown_orders(session: AsyncSession, account_id: int) -> list[Order]:
    """Return an account's orders whose fate is not known, oldest first."""
    query = select(OrderRow).where(OrderRow.account_id == account_id, OrderRow.state == "unknown")
    return [_order(row) for row in (await session.scalars(query.order_by(OrderRow.id))).all()]


async def settle_order(
    session: AsyncSession, order_id: str, state: OrderState, answer: Accepted | Refused, recorded: Recorded
) -> Order:
    """Write what became of an order of unknown fate, and where the record of it stands."""
    row = (await session.scalars(select(OrderRow).where(OrderRow.order_id == order_id))).one()
    row.state = state
    if isinstance(answer, Accepted):
        row.gate, row.rule, row.reason = "", "", ""
        row.venue_order_id = answer.venue_order_id
        row.price_units = to_units(answer.price, PRICE_DECIMALS)
        row.fee_units = to_units(answer.fee, NOTIONAL_DECIMALS)
    else:
        row.gate, row.rule, row.reason = answer.gate, answer.rule, answer.reason[:500]
    row.record_seq, row.record_id = recorded.seq, recorded.record_id
    row.record_commitment = encode_bytes(recorded.commitment)
    await session.flush()
    return _order(row)


async def accounts_with_open_fees(session: AsyncSession, before: datetime) -> list[tuple[int, str, str]]:
    """Return (id, wallet, pseudonym) of the accounts with fees of orders before a moment that are not settled."""
    query = (
        select(Account.id, Account.address, Account.pseudonym)
        .where(Account.id.in_(select(OrderRow.account_id).where(open_fee(before))))
        .order_by(Account.id)
    )
    return [(row.id, row.address, row.pseudonym) for row in (await session.execute(query)).all()]


async def settle_fees(session: AsyncSession, account_id: int, before: datetime, rebate_bps: int) -> list[Rebate]:
    """Settle an account's open fees of orders before a moment, and return them.

    One statement finds and writes: no order is paid for that is not marked, none marked that is not paid for.
    """
    # Integer division cuts to 1e-6 USD in both databases, as fees are above zero.
    rebate = OrderRow.fee_units * rebate_bps // 10_000
    query = update(OrderRow).where(OrderRow.account_id == account_id, open_fee(before)).values(rebate_units=rebate)
    settled = await session.execute(
        query.returning(OrderRow.fee_units, OrderRow.rebate_units).execution_options(synchronize_session=False)
    )
    return [Rebate(row.fee_units, row.rebate_units) for row in settled.all()]


async def rebated(session: AsyncSession, account_id: int) -> int:
    """Return what an account was given back in all, 1e-6 USD."""
    total = await session.scalar(select(func.sum(OrderRow.rebate_units)).where(OrderRow.account_id == account_id))
    return int(total or 0)


def open_fee(before: datetime) -> ColumnElement[bool]:
    """Return what marks a filled order before a moment whose fee is not settled."""
    # No plain comparison of the state: a planner would rather go through every order that was ever filled.
    return and_(OPEN_FEES, OrderRow.ordered_at < before, (OrderRow.state + "") == "filled")


async def accounts_to_reconcile(session: AsyncSession, day: date) -> list[str]:
    """Return the pseudonyms of accounts with orders that were filled on a business day or are still unknown."""
    opened = datetime.combine(day, time.min, UTC)
    of_day = (OrderRow.state == "filled") & (OrderRow.ordered_at >= opened)
    of_day &= OrderRow.ordered_at < opened + timedelta(days=1)
    query = select(OrderRow.record_account).where(of_day | (OrderRow.state == "unknown")).distinct()
    return list((await session.scalars(query)).all())


async def filled_on(session: AsyncSession, account_id: int, day: date) -> list[Order]:
    """Return an account's filled orders of a business day."""
    opened = datetime.combine(day, time.min, UTC)
    query = select(OrderRow).where(
        OrderRow.account_id == account_id,
        OrderRow.state == "filled",
        OrderRow.ordered_at >= opened,
        OrderRow.ordered_at < opened + timedelta(days=1),
    )
    return [_order(row) for row in (await session.scalars(query.order_by(OrderRow.id))).all()]


async def filled_after(session: AsyncSession, account_id: int, moment: datetime) -> dict[str, int]:
    """Return instrument -> signed quantity (1e-6) of the fills of orders that an account gave after a moment."""
    signed = case((OrderRow.side == "buy", OrderRow.quantity_units), else_=-OrderRow.quantity_units)
    query = (
        select(OrderRow.instrument, func.sum(signed))
        .where(OrderRow.account_id == account_id, OrderRow.state == "filled", OrderRow.ordered_at > moment)
        .group_by(OrderRow.instrument)
    )
    return {instrument: int(units) for instrument, units in (await session.execute(query)).all()}


async def known_outcome(session: AsyncSession, day: date, account: str) -> Mapping[str, Any] | None:
    """Return what a day's last reconciliation of an account came to, "" for every account's."""
    query = select(ReconciliationRow.outcome).where(ReconciliationRow.day == day, ReconciliationRow.account == account)
    return await session.scalar(query)


async def keep_outcome(
    session: AsyncSession, day: date, account: str, venue: str, outcome: Mapping[str, Any], now: datetime
) -> None:
    """Store what a day's reconciliation of an account came to, in the place of the one before."""
    fresh = {"day": day, "account": account, "venue": venue, "outcome": {}, "differences": 0, "reconciled_at": now}
    await session.execute(insert_once(session, ReconciliationRow).values(**fresh))
    await session.execute(
        update(ReconciliationRow)
        .where(ReconciliationRow.day == day, ReconciliationRow.account == account)
        .values(venue=venue, outcome=dict(outcome), differences=outcome["differences"], reconciled_at=now)
    )


async def summaries(session: AsyncSession, request: PageRequest) -> Sequence[DaySummary]:
    """Return days newest first, one more than the page holds."""
    query = select(ReconciliationRow).where(ReconciliationRow.account == EVERY_ACCOUNT)
    if request.before is not None:
        query = query.where(ReconciliationRow.id < request.before)
    rows = await session.scalars(query.order_by(ReconciliationRow.id.desc()).limit(request.limit + 1))
    return [
        DaySummary(day=row.day, venue=row.venue, reconciled_at=row.reconciled_at, id=row.id, **row.outcome)
        for row in rows.all()
    ]


async def outcomes_of(session: AsyncSession, day: date) -> Sequence[Mapping[str, Any]]:
    """Return what each account's day came to, those that differ first."""
    query = select(ReconciliationRow).where(ReconciliationRow.day == day, ReconciliationRow.account != EVERY_ACCOUNT)
    ordered = query.order_by(ReconciliationRow.differences.desc(), ReconciliationRow.account)
    return [{"account": row.account, **row.outcome} for row in (await session.scalars(ordered)).all()]


def outcome_of(reconciled: Reconciled) -> dict[str, JsonValue]:
    """Return what a reconciliation of an account found, for its record."""
    found = reconciled.comparison
    return {
        "ours": found.ours,
        "theirs": found.theirs,
        "matched": found.matched,
        "differences": found.differences(),
        "missing_here": list(found.missing_here),
        "missing_there": list(found.missing_there),
        "differing": list(found.differing),
        "repeated": list(found.repeated),
        "resolved": list(reconciled.resolved),
        "unresolved": list(reconciled.unresolved),
    }


def holdings(cash: int, held: dict[str, Position], unknown: Sequence[Order]) -> Holdings:
    """Return cash and positions as amounts, and what orders of unknown fate reserve of them."""
    return Holdings(from_units(cash, CASH_DECIMALS), held, _reserved(unknown), tuple(unknown))


def _reserved(unknown: Sequence[Order]) -> Reserved:
    shares: dict[Side, dict[str, Decimal]] = {"buy": {}, "sell": {}}
    notional = Decimal(0)
    with localcontext(prec=PRECISION):
        for order in unknown:
            side = shares[order.side]
            side[order.instrument] = side.get(order.instrument, Decimal(0)) + order.quantity
            if order.side == "buy":
                notional += order.notional or Decimal(0)
    return Reserved(notional, shares["buy"], shares["sell"])


def _position(row: PositionRow) -> Position:
    with localcontext(prec=PRECISION):
        cost = from_units(row.cost_units, CASH_DECIMALS)
        quantity = from_units(row.quantity_units, QUANTITY_DECIMALS)
        return Position(row.instrument, quantity, cost / quantity)


def _units(value: Decimal | None, decimals: int) -> int | None:
    return None if value is None else to_units(value, decimals)


def _amount(units: int | None, decimals: int) -> Decimal | None:
    return None if units is None else from_units(units, decimals)


def _order(row: OrderRow) -> Order:
    side: Side = "buy" if row.side == "buy" else "sell"
    return Order(
        id=row.id,
        order_id=row.order_id,
        instrument=row.instrument,
        side=side,
        quantity=from_units(row.quantity_units, QUANTITY_DECIMALS),
        state=STATES[row.state],
        gate=row.gate,
        rule=row.rule,
        reason=row.reason,
        decision_id=row.decision_id,
        model=row.model,
        compliance_receipt=row.compliance_receipt,
        risk_decision=row.risk_decision,
        venue_order_id=row.venue_order_id,
        price=_amount(row.price_units, PRICE_DECIMALS),
        notional=_amount(row.notional_units, NOTIONAL_DECIMALS),
        fee=_amount(row.fee_units, NOTIONAL_DECIMALS),
        ordered_at=row.ordered_at,
        record_account=row.record_account,
        record_seq=row.record_seq,
        record_commitment=row.record_commitment,
        record_id=row.record_id,
    )
