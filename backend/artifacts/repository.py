"""Every query on published artifacts."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.artifacts.models import PinRow
from backend.artifacts.types import Pin, PinState
from backend.kernel.cid import PROFILE
from backend.kit.db import insert_once
from backend.kit.pagination import PageRequest


async def promise(session: AsyncSession, cid: str, kind: str, content: bytes, now: datetime) -> Pin:
    """Return the artifact, kept here as pending when it is new."""
    values = {
        "cid": cid,
        "kind": kind,
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
        "state": PinState.PENDING.value,
        "profile": PROFILE,
        "created_at": now,
        "attempts": 0,
        "content": content,
    }
    await session.execute(insert_once(session, PinRow).values(**values))
    row = (await session.scalars(select(PinRow).where(PinRow.cid == cid).with_for_update())).one()
    return _pin(row)


async def by_cid(session: AsyncSession, cid: str) -> Pin | None:
    """Return an artifact."""
    row = await session.scalar(select(PinRow).where(PinRow.cid == cid))
    return _pin(row) if row is not None else None


async def held_content(session: AsyncSession, cid: str) -> bytes | None:
    """Return the bytes that wait for the store."""
    return await session.scalar(select(PinRow.content).where(PinRow.cid == cid))


async def pending_cids(session: AsyncSession, limit: int) -> Sequence[str]:
    """Return the artifacts that the store does not keep yet, least often tried first, then oldest first."""
    query = (
        select(PinRow.cid)
        .where(PinRow.state == PinState.PENDING)
        # One that the store always chokes on must not stand in the others' way.
        .order_by(PinRow.attempts, PinRow.id)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def count_attempt(session: AsyncSession, cid: str) -> None:
    """Note that the store did not take an artifact."""
    query = update(PinRow).where(PinRow.cid == cid).values(attempts=PinRow.attempts + 1)
    await session.execute(query.execution_options(synchronize_session=False))


async def settle(session: AsyncSession, cid: str, state: PinState) -> Pin | None:
    """Leave the pending state; None when another worker did it before."""
    query = (
        update(PinRow)
        .where(PinRow.cid == cid, PinRow.state == PinState.PENDING)
        # What the store keeps need not be kept twice.
        .values(state=state.value, **({"content": None} if state is PinState.PINNED else {}))
        .returning(PinRow.id)
        .execution_options(synchronize_session=False)
    )
    if await session.scalar(query) is None:
        return None
    row = await session.scalar(select(PinRow).where(PinRow.cid == cid).execution_options(populate_existing=True))
    return _pin(row) if row is not None else None


async def page(session: AsyncSession, request: PageRequest, kind: str | None) -> Sequence[Pin]:
    """Return artifacts newest first, one more than the page holds."""
    query = select(PinRow).order_by(PinRow.id.desc()).limit(request.limit + 1)
    if request.before is not None:
        query = query.where(PinRow.id < request.before)
    if kind is not None:
        query = query.where(PinRow.kind == kind)
    return [_pin(row) for row in await session.scalars(query)]


def _pin(row: PinRow) -> Pin:
    return Pin(
        row.id, row.cid, row.kind, row.size, row.sha256, PinState(row.state), row.profile, row.created_at, row.attempts
    )
