"""The queries of the tree: its state, entries, nodes and checkpoints; the transaction is the caller's."""

import secrets
from collections.abc import Iterable, Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import CheckpointRow, EntryRow, LogStateRow, NodeRow, RecordRow
from backend.audit.types import LogCheckpoint, LogState, Pending
from backend.kernel.canonical import encode_bytes
from backend.kit.db import insert_once

STATE = "log"
HASH_BYTES = 32
KEYS_A_QUERY = 500


async def system_account(session: AsyncSession) -> str:
    """Return the pseudonym of the deployment's system account, drawn at its first use."""
    query = select(LogStateRow.system_account).where(LogStateRow.name == STATE)
    found = await session.scalar(query)
    if found is None:
        pseudonym = encode_bytes(secrets.token_bytes(HASH_BYTES))
        await session.execute(
            insert_once(session, LogStateRow).values(
                name=STATE, system_account=pseudonym, size=0, frontier=b"", holder="", lease_until=""
            )
        )
        found = (await session.execute(query)).scalar_one()
    return found


async def lock_state(session: AsyncSession) -> LogState:
    """Return what the sequencer goes on from, locked until the transaction ends."""
    await system_account(session)
    query = (
        select(LogStateRow.size, LogStateRow.frontier, LogStateRow.holder, LogStateRow.lease_until)
        .where(LogStateRow.name == STATE)
        .with_for_update()
    )
    size, frontier, holder, lease_until = (await session.execute(query)).one()
    hashes = tuple(frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES))
    return LogState(size, hashes, holder, lease_until)


async def save_state(session: AsyncSession, **values: object) -> None:
    """Change columns of the state row."""
    await session.execute(update(LogStateRow).where(LogStateRow.name == STATE).values(**values))


async def pending(session: AsyncSession, limit: int) -> list[Pending]:
    """Return the oldest durable records without an index.

    A record that commits late under a smaller id is found by a later call: an account's ids follow its seq all the
    same, since its row stays locked from the one to the other.
    """
    query = (
        select(RecordRow.id, RecordRow.event, RecordRow.commitment)
        .where(RecordRow.entry_index.is_(None))
        .order_by(RecordRow.id)
        .limit(limit)
    )
    return [Pending(*row) for row in await session.execute(query)]


async def count_pending(session: AsyncSession) -> int:
    """Return how many durable records wait for their index."""
    query = select(func.count()).select_from(RecordRow).where(RecordRow.entry_index.is_(None))
    return (await session.execute(query)).scalar_one()


async def add_entries(session: AsyncSession, start: int, entries: Sequence[tuple[int, str]]) -> None:
    """Write entries (record id, text) from index `start` on, and tell their records."""
    await session.execute(
        insert(EntryRow),
        [{"index": index, "entry": text, "record_id": record} for index, (record, text) in enumerate(entries, start)],
    )
    given = select(EntryRow.index).where(EntryRow.record_id == RecordRow.id).scalar_subquery()
    records = select(EntryRow.record_id).where(EntryRow.index >= start)
    await session.execute(
        update(RecordRow)
        .where(RecordRow.id.in_(records))
        .values(entry_index=given)
        .execution_options(synchronize_session=False)
    )


async def add_nodes(session: AsyncSession, nodes: Iterable[tuple[int, bytes]]) -> None:
    """Write completed nodes (position, hash)."""
    await session.execute(insert(NodeRow), [{"position": position, "hash": digest} for position, digest in nodes])


async def add_checkpoint(session: AsyncSession, checkpoint: LogCheckpoint) -> None:
    """Write a signed checkpoint."""
    await session.execute(
        insert(CheckpointRow).values(
            size=checkpoint.size, root=checkpoint.root, note=checkpoint.note, signed_at=checkpoint.signed_at
        )
    )


async def latest_checkpoint(session: AsyncSession) -> LogCheckpoint | None:
    """Return the checkpoint over the whole log."""
    return await _checkpoint(session, None)


async def checkpoint_of(session: AsyncSession, size: int) -> LogCheckpoint | None:
    """Return the checkpoint that was signed at a size."""
    return await _checkpoint(session, size)


async def entries_between(session: AsyncSession, start: int, end: int) -> list[str]:
    """Return the entries with start <= index < end."""
    query = select(EntryRow.entry).where(EntryRow.index >= start, EntryRow.index < end).order_by(EntryRow.index)
    return list((await session.scalars(query)).all())


async def entries_at(session: AsyncSession, indices: Sequence[int]) -> dict[int, str]:
    """Return the entries at the indices."""
    found = {}
    for at in range(0, len(indices), KEYS_A_QUERY):
        query = select(EntryRow.index, EntryRow.entry).where(EntryRow.index.in_(indices[at : at + KEYS_A_QUERY]))
        found.update({row[0]: row[1] for row in await session.execute(query)})
    return found


async def nodes_at(session: AsyncSession, positions: Iterable[int]) -> dict[int, bytes]:
    """Return the stored hashes at the positions."""
    wanted, found = sorted(set(positions)), {}
    for at in range(0, len(wanted), KEYS_A_QUERY):
        query = select(NodeRow.position, NodeRow.hash).where(NodeRow.position.in_(wanted[at : at + KEYS_A_QUERY]))
        found.update({row.position: row.hash for row in await session.execute(query)})
    return found


async def _checkpoint(session: AsyncSession, size: int | None) -> LogCheckpoint | None:
    query = select(CheckpointRow.size, CheckpointRow.root, CheckpointRow.note, CheckpointRow.signed_at)
    chosen = (
        query.order_by(CheckpointRow.size.desc()).limit(1) if size is None else query.where(CheckpointRow.size == size)
    )
    row = (await session.execute(chosen)).one_or_none()
    return LogCheckpoint(*row) if row else None
