"""The queries of anchoring; the transaction is the caller's."""

from collections.abc import Sequence
from dataclasses import replace as changed

from sqlalchemy import ColumnElement, Select, Update, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.models import AnchorRequestRow, AnchorRow
from backend.anchoring.types import FINAL, ON_CHAIN, WAITING, Anchor, AnchorHead, AnchorState
from backend.audit.models import EntryRow, RecordRow
from backend.kit.db import insert_once

EPOCH_CLOSED = "epoch.closed"


async def anchors(session: AsyncSession, log_id: bytes) -> list[Anchor]:
    """Return a log's anchors, oldest first."""
    return await _listed(session, _of(log_id))


async def anchor(session: AsyncSession, log_id: bytes, index: int) -> Anchor | None:
    """Return one anchor."""
    row = await session.scalar(_of(log_id).where(AnchorRow.index == index))
    return _anchor(row) if row else None


async def last_mined(session: AsyncSession, log_id: bytes) -> Anchor | None:
    """Return the newest anchor that is on chain."""
    return await _last(session, log_id, ON_CHAIN)


async def last_final(session: AsyncSession, log_id: bytes) -> Anchor | None:
    """Return the newest anchor that is final."""
    return await _last(session, log_id, FINAL)


async def unsettled(session: AsyncSession, log_id: bytes) -> list[Anchor]:
    """Return the anchors that may still change, oldest first."""
    return await _listed(session, _of(log_id).where(AnchorRow.state.not_in(FINAL)))


async def waiting(session: AsyncSession, log_id: bytes) -> bool:
    """Tell whether an anchor is written that the chain does not hold."""
    return await session.scalar(_of(log_id).where(AnchorRow.state.in_(WAITING)).limit(1)) is not None


async def final_unproven(session: AsyncSession, log_id: bytes, indices: Sequence[int]) -> list[Anchor]:
    """Return those of the named anchors that are final and not known to be proven on L1."""
    query = _of(log_id).where(AnchorRow.state == AnchorState.FINALIZED, AnchorRow.index.in_(indices))
    return await _listed(session, query)


async def first_unproven(session: AsyncSession, log_id: bytes) -> int | None:
    """Return the first final anchor that is not known to be proven on L1."""
    query = select(func.min(AnchorRow.index)).where(
        AnchorRow.log_id == log_id, AnchorRow.state == AnchorState.FINALIZED
    )
    return await session.scalar(query)


async def furthest_over(session: AsyncSession, log_id: bytes, entry: int) -> Anchor | None:
    """Return, of the anchors that hold an entry, the one that has come furthest, the first of equals."""
    above = _of(log_id).where(AnchorRow.size > entry)
    for state in reversed(AnchorState):
        row = await session.scalar(above.where(AnchorRow.state == state).order_by(AnchorRow.index).limit(1))
        if row is not None:
            return _anchor(row)
    return None


async def add_once(session: AsyncSession, new: Anchor) -> None:
    """Write an anchor unless its index is taken."""
    await session.execute(insert_once(session, AnchorRow).values(**_values(new)))


async def replace(session: AsyncSession, new: Anchor) -> None:
    """Write an anchor over whatever its index held."""
    await session.execute(delete(AnchorRow).where(AnchorRow.log_id == new.log_id, AnchorRow.index == new.index))
    await session.execute(insert(AnchorRow).values(**_values(new)))


async def place(session: AsyncSession, known: Anchor, state: AnchorState, tx_hash: str, block_number: int) -> None:
    """Move an anchor that is not final to where the chain shows it; gas belongs to its transaction."""
    moved = changed(
        known,
        state=state,
        tx_hash=tx_hash,
        block_number=block_number,
        gas_used=known.gas_used if known.tx_hash == tx_hash else None,
    )
    await session.execute(_exactly(known.log_id, known.index, not_final=True).values(**_values(moved)))


async def submit(session: AsyncSession, waits: Anchor) -> bool:
    """Note that a waiting anchor is about to be sent; tell whether it still waits."""
    query = _exactly(waits.log_id, waits.index).where(AnchorRow.state.in_(WAITING), AnchorRow.root == waits.head.root)
    found = await session.scalar(query.values(state=AnchorState.SUBMITTED.value).returning(AnchorRow.index))
    return found is not None


async def note_gas(session: AsyncSession, log_id: bytes, tx_hash: str, gas_used: int) -> None:
    """Write what an anchor's transaction cost."""
    await session.execute(
        update(AnchorRow).where(AnchorRow.log_id == log_id, AnchorRow.tx_hash == tx_hash).values(gas_used=gas_used)
    )


async def note_timestamp(session: AsyncSession, log_id: bytes, index: int, tx_hash: str) -> None:
    """Write which transaction gave an anchor's word to the attestation service."""
    await session.execute(_exactly(log_id, index).values(eas_tx_hash=tx_hash))


async def prove(session: AsyncSession, log_id: bytes, index: int) -> None:
    """Note that a final anchor is proven on L1."""
    found = _exactly(log_id, index).where(AnchorRow.state == AnchorState.FINALIZED)
    await session.execute(found.values(state=AnchorState.L1_PROVEN.value))


async def withdraw_from(session: AsyncSession, log_id: bytes, index: int, size: int) -> None:
    """Take back what the chain does not hold: from `index` on; what is not above `size` is of no use any more."""
    above = (AnchorRow.log_id == log_id, AnchorRow.index >= index, AnchorRow.state.not_in(FINAL))
    await session.execute(delete(AnchorRow).where(*above, AnchorRow.size <= size))
    await session.execute(
        update(AnchorRow)
        .where(*above, AnchorRow.state.not_in(WAITING))
        .values(state=AnchorState.RECORDED.value, tx_hash=None, block_number=None, gas_used=None, eas_tx_hash=None)
    )


async def add_request(session: AsyncSession, log_id: bytes, actor: str, requested_at: str, record_id: int) -> None:
    """Write that somebody asks for an anchor, and the record of it."""
    await session.execute(
        insert(AnchorRequestRow).values(
            log_id=log_id, actor=actor, requested_at=requested_at, record_id=record_id, served_by=None
        )
    )


async def asks(session: AsyncSession, log_id: bytes) -> bool:
    """Tell whether a request is open whose record has its place in the log."""
    query = select(AnchorRequestRow.id).where(*_open_below(log_id, None)).limit(1)
    return await session.scalar(query) is not None


async def serve_requests(session: AsyncSession, made: Anchor) -> None:
    """Close the open requests whose record an anchor holds."""
    await session.execute(
        update(AnchorRequestRow)
        .where(*_open_below(made.log_id, made.head.size))
        .values(served_by=made.index)
        .execution_options(synchronize_session=False)
    )


async def day_ended(session: AsyncSession, size: int) -> bool:
    """Tell whether a trading day was closed in the log behind its first `size` entries."""
    query = select(RecordRow.id).where(RecordRow.entry_index >= size, RecordRow.event == EPOCH_CLOSED).limit(1)
    return await session.scalar(query) is not None


async def has_entry(session: AsyncSession, index: int) -> bool:
    """Tell whether the log has an entry."""
    return await session.scalar(select(EntryRow.index).where(EntryRow.index == index)) is not None


def _open_below(log_id: bytes, size: int | None) -> tuple[ColumnElement[bool], ...]:
    record = select(RecordRow.id).where(RecordRow.id == AnchorRequestRow.record_id)
    placed = record.where(RecordRow.entry_index.is_not(None) if size is None else RecordRow.entry_index < size)
    # A journal that keeps no records has none to wait for.
    return (
        AnchorRequestRow.log_id == log_id,
        AnchorRequestRow.served_by.is_(None),
        exists(placed) | ~exists(record),
    )


def _of(log_id: bytes) -> Select[AnchorRow]:
    return select(AnchorRow).where(AnchorRow.log_id == log_id).execution_options(populate_existing=True)


async def _listed(session: AsyncSession, query: Select[AnchorRow]) -> list[Anchor]:
    return [_anchor(row) for row in await session.scalars(query.order_by(AnchorRow.index))]


async def _last(session: AsyncSession, log_id: bytes, states: Sequence[AnchorState]) -> Anchor | None:
    query = _of(log_id).where(AnchorRow.state.in_(states)).order_by(AnchorRow.index.desc()).limit(1)
    row = await session.scalar(query)
    return _anchor(row) if row else None


def _exactly(log_id: bytes, index: int, *, not_final: bool = False) -> Update:
    query = update(AnchorRow).where(AnchorRow.log_id == log_id, AnchorRow.index == index)
    return query.where(AnchorRow.state.not_in(FINAL)) if not_final else query


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
        eas_tx_hash=row.eas_tx_hash,
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
        "eas_tx_hash": made.eas_tx_hash,
    }
