"""The queries of an erasure: what of an account may go, and what is left of it; the transaction is the caller's."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, RecordRow
from backend.audit.types import Erasable
from backend.kernel.canonical import canonical_json

NOBODY_BUSY = 0
CHECKPOINT_WAIT_SECONDS = 2.0


async def lock_chain(session: AsyncSession, account: str) -> bool:
    """Tell whether an account has a chain, and let its writers wait until the transaction ends."""
    query = select(AccountRow.seq).where(AccountRow.account == account).with_for_update()
    return await session.scalar(query) is not None


async def erasable(session: AsyncSession, account: str, until: int, limit: int) -> list[Erasable]:
    """Return an account's oldest records that happened before the epoch `until` and are not erased yet."""
    query = (
        select(RecordRow.id, RecordRow.seq, RecordRow.salt, RecordRow.fields)
        .where(*_whole(account), RecordRow.epoch < until)
        .order_by(RecordRow.seq)
        .limit(limit)
    )
    return [Erasable(row.id, row.seq, row.salt, json.loads(row.fields)) for row in await session.execute(query)]


async def count_whole(
    session: AsyncSession, account: str, *, from_epoch: int = 0, before_epoch: int | None = None
) -> int:
    """Return how many of an account's records of some epochs are not erased."""
    query = select(func.count()).select_from(RecordRow).where(*_whole(account), RecordRow.epoch >= from_epoch)
    if before_epoch is not None:
        query = query.where(RecordRow.epoch < before_epoch)
    return (await session.execute(query)).scalar_one()


async def erase(session: AsyncSession, retained: Iterable[tuple[int, Mapping[str, Mapping[str, Any]]]]) -> None:
    """Leave of each record (by id) the disclosures of its retained fields, and nothing else that is private."""
    rows = [
        {
            "id": record_id,
            "salt": b"",
            "fields": canonical_json({name: one["value"] for name, one in kept.items()}).decode(),
            "retained": canonical_json(kept).decode(),
            "erased": True,
        }
        for record_id, kept in retained
    ]
    await session.execute(update(RecordRow), rows)


def empty_write_ahead_log(path: str) -> bool:
    """Bring a SQLite database's write-ahead log into the file and cut it off; False while a reader is in the way.

    Until then the log holds pages as they were before the erasure.
    """
    with closing(sqlite3.connect(path, timeout=CHECKPOINT_WAIT_SECONDS)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy == NOBODY_BUSY)


def _whole(account: str) -> tuple[ColumnElement[bool], ...]:
    return RecordRow.account == account, RecordRow.erased.is_(False)
