"""The queries of anchoring; the transaction is the caller's."""

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.models import AnchorRequestRow, AnchorRow
from backend.anchoring.types import Anchor, AnchorHead, AnchorState
from backend.kit.db import insert_once


async def anchors(session: AsyncSession, log_id: bytes) -> list[Anchor]:
    """Return a log's anchors, oldest first."""
    return [_anchor(row) for row in await session.scalars(_of(log_id).order_by(AnchorRow.index))]


async def anchor(session: AsyncSession, log_id: bytes, index: int) -> Anchor | None:
    """Return one anchor."""
    row = await session.scalar(_of(log_id).where(AnchorRow.index == index))
    return _anchor(row) if row else None


async def last_mined(session: AsyncSession, log_id: bytes) -> Anchor | None:
    """Return the newest anchor that is on chain."""
    query = _of(log_id).where(AnchorRow.state == AnchorState.MINED).order_by(AnchorRow.index.desc()).limit(1)
    row = await session.scalar(query)
    return _anchor(row) if row else None


async def add_once(session: AsyncSession, new: Anchor) -> None:
    """Write an anchor unless its index is taken."""
    await session.execute(insert_once(session, AnchorRow).values(**_values(new)))


async def replace(session: AsyncSession, new: Anchor) -> None:
    """Write an anchor over whatever its index held."""
    await session.execute(delete(AnchorRow).where(AnchorRow.log_id == new.log_id, AnchorRow.index == new.index))
    await session.execute(insert(AnchorRow).values(**_values(new)))


async def set_state(
    session: AsyncSession,
    log_id: bytes,
    index: int,
    state: AnchorState,
    *,
    tx_hash: str | None = None,
    block_number: int | None = None,
    gas_used: int | None = None,
) -> None:
    """Move an anchor to a state, with what is known about its transaction."""
    await session.execute(
        update(AnchorRow)
        .where(AnchorRow.log_id == log_id, AnchorRow.index == index)
        .values(state=state.value, tx_hash=tx_hash, block_number=block_number, gas_used=gas_used)
    )


async def withdraw_from(session: AsyncSession, log_id: bytes, index: int, size: int) -> None:
    """Take back what the chain does not hold: from `index` on; what is not above `size` is of no use any more."""
    above = (AnchorRow.log_id == log_id, AnchorRow.index >= index)
    await session.execute(delete(AnchorRow).where(*above, AnchorRow.size <= size))
    await session.execute(
        update(AnchorRow)
        .where(*above, AnchorRow.state == AnchorState.MINED)
        .values(state=AnchorState.RECORDED.value, tx_hash=None, block_number=None, gas_used=None)
    )


async def add_request(session: AsyncSession, log_id: bytes, actor: str, requested_at: str) -> None:
    """Write that somebody asks for an anchor."""
    await session.execute(
        insert(AnchorRequestRow).values(log_id=log_id, actor=actor, requested_at=requested_at, served_by=None)
    )


async def last_request(session: AsyncSession, log_id: bytes) -> int:
    """Return the newest open request's id, zero for none."""
    query = select(func.max(AnchorRequestRow.id)).where(
        AnchorRequestRow.log_id == log_id, AnchorRequestRow.served_by.is_(None)
    )
    return await session.scalar(query) or 0


async def serve_requests(session: AsyncSession, log_id: bytes, up_to: int, index: int) -> None:
    """Close the open requests that were there before an anchor was made."""
    await session.execute(
        update(AnchorRequestRow)
        .where(AnchorRequestRow.log_id == log_id, AnchorRequestRow.served_by.is_(None), AnchorRequestRow.id <= up_to)
        .values(served_by=index)
    )


def _of(log_id: bytes) -> Select[AnchorRow]:
    return select(AnchorRow).where(AnchorRow.log_id == log_id).execution_options(populate_existing=True)


def _anchor(row: AnchorRow) -> Anchor:
    return Anchor(
        log_id=row.log_id,
        index=row.index,
        head=AnchorHead(row.size, row.root, row.heads_root),
        state=AnchorState(row.state),
        recorded_at=row.recorded_at,
        tx_hash=row.tx_hash,
        block_number=row.block_number,
        gas_used=row.gas_used,
    )


def _values(made: Anchor) -> dict[str, object]:
    return {
        "log_id": made.log_id,
        "index": made.index,
        "size": made.head.size,
        "root": made.head.root,
        "heads_root": made.head.heads_root,
        "state": made.state.value,
        "recorded_at": made.recorded_at,
        "tx_hash": made.tx_hash,
        "block_number": made.block_number,
        "gas_used": made.gas_used,
    }
