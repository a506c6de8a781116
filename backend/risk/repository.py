"""Every query on limits, switches and risk decisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.db import insert_once
from backend.risk.models import AccountLimits, HaltRow, RiskDecision, Switch
from backend.risk.types import Halt, HaltScope, SwitchState

PLATFORM = "platform"


def account_switch(account_id: int) -> str:
    """Return the name of an account's switch."""
    return f"account:{account_id}"


async def lock_limits(session: AsyncSession, account_id: int) -> AccountLimits:
    """Return an account's limits, locked until the transaction ends."""
    await session.execute(insert_once(session, AccountLimits).values(account_id=account_id))
    query = select(AccountLimits).where(AccountLimits.account_id == account_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def limits_of(session: AsyncSession, account_id: int) -> AccountLimits | None:
    """Return an account's limits, None while nothing is special about it."""
    return await session.get(AccountLimits, account_id)


async def switch_state(session: AsyncSession, name: str) -> tuple[SwitchState, int]:
    """Return a switch's state and version as they are in the database now."""
    query = select(Switch.state, Switch.version).where(Switch.name == name)
    found = (await session.execute(query)).one_or_none()
    return (SwitchState.ARMED, 0) if found is None else (SwitchState(found.state), found.version)


async def hold_switch(session: AsyncSession, name: str) -> tuple[SwitchState, int]:
    """Return what `switch_state` does and keep the switch from moving until the transaction ends."""
    query = select(Switch.state, Switch.version).where(Switch.name == name).with_for_update(read=True)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        fresh = {"name": name, "state": SwitchState.ARMED.value, "version": 0}
        await session.execute(insert_once(session, Switch).values(**fresh))
        found = (await session.execute(query)).one()
    return SwitchState(found.state), found.version


async def lock_switch(session: AsyncSession, name: str) -> Switch:
    """Return a switch, locked until the transaction ends."""
    fresh = {"name": name, "state": SwitchState.ARMED.value, "version": 0}
    await session.execute(insert_once(session, Switch).values(**fresh))
    query = select(Switch).where(Switch.name == name).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def add_halt(
    session: AsyncSession, account_id: int | None, subject: str, reason: str, by_system: bool, now: datetime
) -> HaltRow:
    """Store a trip."""
    scope = HaltScope.PLATFORM if account_id is None else HaltScope.ACCOUNT
    row = HaltRow(
        scope=scope.value,
        account_id=account_id,
        subject=subject,
        state=SwitchState.TRIPPED.value,
        reason=reason,
        by_system=by_system,
        tripped_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def halt_row(session: AsyncSession, halt_id: int) -> HaltRow | None:
    """Return a halt by its id."""
    return await session.get(HaltRow, halt_id)


async def open_halts(session: AsyncSession, account_id: int) -> Sequence[HaltRow]:
    """Return the halts that stop an account, the platform's included."""
    query = (
        select(HaltRow)
        .where(HaltRow.state != SwitchState.ARMED.value)
        .where((HaltRow.account_id == account_id) | HaltRow.account_id.is_(None))
        .order_by(HaltRow.id)
    )
    return (await session.scalars(query)).all()


async def open_platform_halt(session: AsyncSession) -> HaltRow | None:
    """Return the halt that stops everybody, if there is one."""
    query = select(HaltRow).where(HaltRow.state != SwitchState.ARMED.value, HaltRow.account_id.is_(None))
    return await session.scalar(query.order_by(HaltRow.id).limit(1))


async def figures_of(session: AsyncSession, risk_decision: str) -> Mapping[str, str]:
    """Return the figures that an answer was based on, none for an unknown one."""
    return await session.scalar(select(RiskDecision.figures).where(RiskDecision.id == risk_decision)) or {}


async def add_decision(
    session: AsyncSession,
    risk_decision: str,
    decision_id: str,
    account_id: int,
    rule: str,
    figures: Mapping[str, str],
) -> bool:
    """Store an answer; False when the decision was answered before."""
    values = {
        "id": risk_decision,
        "decision_id": decision_id,
        "account_id": account_id,
        "rule": rule,
        "figures": dict(figures),
        "used": False,
    }
    return _changed(await session.execute(insert_once(session, RiskDecision).values(**values))) == 1


async def use_decision(session: AsyncSession, risk_decision: str) -> bool:
    """Use an approval up; True exactly once."""
    query = (
        update(RiskDecision)
        .where(RiskDecision.id == risk_decision, RiskDecision.rule == "", RiskDecision.used.is_(False))
        .values(used=True)
    )
    return _changed(await session.execute(query)) == 1


def halt_of(row: HaltRow) -> Halt:
    """Return a halt as a value."""
    return Halt(
        row.id,
        HaltScope(row.scope),
        row.subject,
        SwitchState(row.state),
        row.reason,
        row.by_system,
        row.tripped_at,
    )


def _changed(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
