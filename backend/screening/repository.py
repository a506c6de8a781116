"""Queries over lists, screenings and hits."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account
from backend.kit.db import Base, insert_once
from backend.kit.pagination import PageRequest
from backend.ports.screening import Outcome
from backend.screening.models import ScreeningHitRow, ScreeningListRow, ScreeningRecord
from backend.screening.types import HitState


async def lists(session: AsyncSession) -> Sequence[ScreeningListRow]:
    """Return the lists in force by name."""
    return list(await session.scalars(select(ScreeningListRow).order_by(ScreeningListRow.name)))


async def list_by_name(session: AsyncSession, name: str) -> ScreeningListRow | None:
    """Return a list in force, locked until the transaction ends."""
    return await session.get(ScreeningListRow, name, with_for_update=True, populate_existing=True)


async def record_of(session: AsyncSession, reference: str) -> ScreeningRecord | None:
    """Return a subject's newest screening, locked until the transaction ends."""
    return await session.get(ScreeningRecord, reference, with_for_update=True, populate_existing=True)


async def add_record(session: AsyncSession, fresh: dict[str, object]) -> ScreeningRecord | None:
    """Return the subject's row, made where there is none, locked until the transaction ends."""
    await session.execute(insert_once(session, ScreeningRecord).values(**fresh))
    return await record_of(session, str(fresh["reference"]))


async def seen_record(session: AsyncSession, reference: str) -> ScreeningRecord | None:
    """Return a subject's newest screening without a lock."""
    return await session.get(ScreeningRecord, reference)


async def hits_of(session: AsyncSession, reference: str) -> Sequence[ScreeningHitRow]:
    """Return every hit there ever was of a subject, oldest first."""
    query = select(ScreeningHitRow).where(ScreeningHitRow.reference == reference).order_by(ScreeningHitRow.id)
    return list(await session.scalars(query))


async def delete(session: AsyncSession, rows: Sequence[Base]) -> None:
    """Delete rows."""
    for row in rows:
        await session.delete(row)
    await session.flush()


async def reference_of(session: AsyncSession, hit_id: int) -> str | None:
    """Return whom a hit is about, without waiting for anybody."""
    return await session.scalar(select(ScreeningHitRow.reference).where(ScreeningHitRow.id == hit_id))


async def hit(session: AsyncSession, hit_id: int) -> ScreeningHitRow | None:
    """Return a hit, locked until the transaction ends."""
    return await session.get(ScreeningHitRow, hit_id, with_for_update=True, populate_existing=True)


async def page(session: AsyncSession, state: HitState | None, request: PageRequest) -> Sequence[ScreeningHitRow]:
    """Return hits newest first, one more than the page holds."""
    query = select(ScreeningHitRow).order_by(ScreeningHitRow.id.desc()).limit(request.limit + 1)
    if state is not None:
        query = query.where(ScreeningHitRow.state == state.value)
    if request.before is not None:
        query = query.where(ScreeningHitRow.id < request.before)
    return list(await session.scalars(query))


async def count_open(session: AsyncSession) -> int:
    """Return how many hits wait for a person."""
    query = select(func.count()).select_from(ScreeningHitRow).where(ScreeningHitRow.state == HitState.OPEN.value)
    return await session.scalar(query) or 0


async def unsettled(session: AsyncSession) -> Sequence[str]:
    """Return the references whose outcome is not carried out yet."""
    query = select(ScreeningRecord.reference).where(ScreeningRecord.unsettled).order_by(ScreeningRecord.reference)
    return list(await session.scalars(query))


async def blocked_records(session: AsyncSession) -> Sequence[ScreeningRecord]:
    """Return the screenings that block."""
    query = select(ScreeningRecord).where(ScreeningRecord.outcome == Outcome.BLOCKED.value)
    return list(await session.scalars(query))


async def unscreened_accounts(
    session: AsyncSession, lists_key: str, after: str, limit: int
) -> Sequence[tuple[str, str]]:
    """Return pseudonym and wallet of accounts not screened against these lists, behind a pseudonym."""
    query = _unscreened(lists_key, Account.pseudonym, Account.address).where(Account.pseudonym > after)
    rows = await session.execute(query.order_by(Account.pseudonym).limit(limit))
    return [(pseudonym, address) for pseudonym, address in rows]


async def count_unscreened_accounts(session: AsyncSession, lists_key: str) -> int:
    """Return how many accounts are not screened against these lists."""
    return await session.scalar(_unscreened(lists_key, func.count())) or 0


def _unscreened(lists_key: str, *columns: Any) -> Select[Any]:
    known = (ScreeningRecord.reference == Account.pseudonym) & (ScreeningRecord.lists_key == lists_key)
    joined = select(*columns).select_from(Account).outerjoin(ScreeningRecord, known)
    return joined.where(ScreeningRecord.reference.is_(None))
