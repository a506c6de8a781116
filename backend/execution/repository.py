"""Every query on orders, positions and cash."""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.execution.models import CashRow, OrderRow, PositionRow
from backend.execution.types import Holdings, Order, OrderState, Position
from backend.kernel.fixed import (
    NOTIONAL_DECIMALS,
    PRECISION,
    PRICE_DECIMALS,
    QUANTITY_DECIMALS,
    from_units,
    to_units,
)
from backend.kit.db import insert_once
from backend.kit.pagination import PageRequest
from backend.ports.broker import Side

CASH_DECIMALS = QUANTITY_DECIMALS + PRICE_DECIMALS


async def lock_cash(session: AsyncSession, account_id: int, initial_units: int) -> CashRow:
    """Return an account's cash, locked until the transaction ends, made when there is none."""
    await session.execute(insert_once(session, CashRow).values(account_id=account_id, units=initial_units))
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


def holdings(cash: int, held: dict[str, Position]) -> Holdings:
    """Return cash and positions as amounts."""
    return Holdings(from_units(cash, CASH_DECIMALS), held)


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
    state: OrderState = "filled" if row.state == "filled" else "refused" if row.state == "refused" else "unknown"
    return Order(
        id=row.id,
        order_id=row.order_id,
        instrument=row.instrument,
        side=side,
        quantity=from_units(row.quantity_units, QUANTITY_DECIMALS),
        state=state,
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
