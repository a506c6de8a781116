"""The queries of the tree: its state, entries, nodes and checkpoints; the transaction is the caller's."""

import secrets
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.audit.engine.nodes import HASH_BYTES, Grown, StoredTile, grow, open_tiles, place_of
from backend.audit.models import CheckpointRow, EntryRow, LogStateRow, RecordRow
from backend.audit.types import LogCheckpoint, LogState, Pending
from backend.kernel.canonical import encode_bytes
from backend.kernel.merkle import Node
from backend.kit.db import execute_many, fetch, insert_once, rows_of

STATE = "log"
KEYS_A_QUERY = 500
TILES_A_QUERY = 8
# Under no tile's key, a reading of tiles brings the size and root that were signed last.
LATEST = -1
_STATE = "SELECT size, frontier, holder, lease_until FROM audit_state WHERE name = 'log'"
_ADD_ENTRY = 'INSERT INTO audit_entries ("index", entry, record_id) VALUES (?, ?, ?)'
_INDEX_RECORD = "UPDATE audit_records SET entry_index = ? WHERE id = ?"
_KEEP_TILE = """
INSERT INTO audit_tiles (tile, width, hashes) VALUES (?, ?, ?)
ON CONFLICT (tile) DO UPDATE SET width = excluded.width, hashes = excluded.hashes
"""
_TILES = "SELECT tile, width, hashes FROM audit_tiles WHERE tile IN (?, ?, ?, ?, ?, ?, ?, ?)"
_TILES_AND_SIZE = """
SELECT tile, width, hashes FROM audit_tiles WHERE tile IN (?, ?, ?, ?, ?, ?, ?, ?)
UNION ALL SELECT -1, size, root FROM (SELECT size, root FROM audit_checkpoints ORDER BY size DESC LIMIT 1) AS latest
"""
_GROW = "UPDATE audit_state SET size = ?, frontier = ? WHERE name = 'log'"
_LATEST = "SELECT size, root, note, signed_at FROM audit_checkpoints ORDER BY size DESC LIMIT 1"
_SIGNED_AT = "SELECT size, root, note, signed_at FROM audit_checkpoints WHERE size = ?"


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
    locking = " FOR UPDATE" if session.get_bind().dialect.name == "postgresql" else ""
    found = await fetch(session, _STATE + locking)
    if not found:
        await system_account(session)
        found = await fetch(session, _STATE + locking)
    size, frontier, holder, lease_until = found[0]
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


async def extend(
    session: AsyncSession, state: LogState, entries: Sequence[tuple[int, str]], leaf_hashes: Sequence[bytes]
) -> Grown:
    """Write entries (record id, text) and the tree that they grow behind a locked state; return the tree."""
    added = [(index, text, record) for index, (record, text) in enumerate(entries, state.size)]
    lent = open_tiles(state.size, len(leaf_hashes))

    def write(within: Session) -> Grown:
        connection = within.connection()
        grown = grow(state.size, state.frontier, leaf_hashes, _tiles(connection, _TILES, lent) if lent else {})
        execute_many(connection, _ADD_ENTRY, added)
        execute_many(connection, _KEEP_TILE, [(key, tile.width, tile.hashes) for key, tile in grown.tiles.items()])
        execute_many(connection, _GROW, [(grown.size, b"".join(grown.frontier))])
        return grown

    return await session.run_sync(write)


async def tell_records(session: AsyncSession, start: int, records: Sequence[int]) -> None:
    """Give records, by their ids, their indices from `start` on."""
    places = list(enumerate(records, start))
    await session.run_sync(lambda within: execute_many(within.connection(), _INDEX_RECORD, places))


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


async def tiles_at(session: AsyncSession, keys: Iterable[int]) -> dict[int, StoredTile]:
    """Return the stored tiles by their keys."""
    return await session.run_sync(lambda within: _tiles(within.connection(), _TILES, keys))


async def signed_nodes(session: AsyncSession, nodes: Iterable[Node]) -> tuple[int, dict[Node, bytes]]:
    """Return the size that was signed last, and the stored hashes of those nodes (level, index) that are complete."""
    places = {node: place_of(*node) for node in nodes}
    keys = [key for key, _, _ in places.values()]
    tiles = await session.run_sync(lambda within: _tiles(within.connection(), _TILES_AND_SIZE, keys))
    found = {}
    for node, (key, height, place) in places.items():
        digest = tiles[key].node(height, place) if key in tiles else None
        if digest is not None:
            found[node] = digest
    return tiles[LATEST].width if LATEST in tiles else 0, found


def _tiles(connection: Connection, sql: str, keys: Iterable[int]) -> dict[int, StoredTile]:
    wanted, found = sorted(set(keys)) or [LATEST], {}
    for at in range(0, len(wanted), TILES_A_QUERY):
        asked = wanted[at : at + TILES_A_QUERY]
        rows = rows_of(connection, sql, (*asked, *[asked[-1]] * (TILES_A_QUERY - len(asked))))
        found.update({key: StoredTile(width, hashes) for key, width, hashes in rows})
    return found


async def _checkpoint(session: AsyncSession, size: int | None) -> LogCheckpoint | None:
    rows = await (fetch(session, _LATEST) if size is None else fetch(session, _SIGNED_AT, (size,)))
    return LogCheckpoint(*rows[0]) if rows else None
