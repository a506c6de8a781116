"""The queries of the records and of the accounts that they belong to; the transaction is the caller's."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, RecordRow
from backend.audit.types import GENESIS, Head, StoredRecord
from backend.kit.db import insert_once


async def lock_head(session: AsyncSession, account: str) -> Head:
    """Return where the account's chain stands, its row locked until the transaction ends; start an account at zero."""
    query = (
        select(AccountRow.account, AccountRow.seq, AccountRow.head, AccountRow.ts_recorded)
        .where(AccountRow.account == account)
        .with_for_update()
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        await session.execute(
            insert_once(session, AccountRow).values(account=account, seq=0, head=GENESIS, ts_recorded="")
        )
        row = (await session.execute(query)).one()
    return Head(*row)


async def append(session: AsyncSession, head: Head, record: Mapping[str, Any]) -> int:
    """Add a record at the end of its account's chain and return its id."""
    row = (await session.execute(insert(RecordRow).values(**record, erased=False).returning(RecordRow.id))).scalar_one()
    await session.execute(
        update(AccountRow)
        .where(AccountRow.account == head.account)
        .values(seq=head.seq, head=head.commitment, ts_recorded=head.ts_recorded)
    )
    return row


async def record_at(session: AsyncSession, index: int) -> StoredRecord | None:
    """Return the record behind an entry."""
    row = await session.scalar(select(RecordRow).where(RecordRow.entry_index == index))
    return _record(row) if row else None


async def chain_of(
    session: AsyncSession, account: str, first_seq: int, size: int, limit: int | None = None
) -> list[StoredRecord]:
    """Return an account's records from a seq on that are among the log's first `size` entries, in order of seq."""
    query = (
        select(RecordRow)
        .where(RecordRow.account == account, RecordRow.seq >= first_seq, RecordRow.entry_index < size)
        .order_by(RecordRow.seq)
        .limit(limit)
    )
    return [_record(row) for row in await session.scalars(query)]


async def heads_at(session: AsyncSession, size: int) -> list[tuple[str, int, bytes]]:
    """Return (account, seq, commitment) of every account's last record among the first `size` entries."""
    last = (
        select(func.max(RecordRow.entry_index))
        .where(RecordRow.account == AccountRow.account, RecordRow.entry_index < size)
        .scalar_subquery()
    )
    lasts = select(last.label("last")).select_from(AccountRow).subquery()
    query = select(RecordRow.account, RecordRow.seq, RecordRow.commitment).join(
        lasts, RecordRow.entry_index == lasts.c.last
    )
    return [(account, seq, commitment) for account, seq, commitment in await session.execute(query)]


def _record(kept: RecordRow) -> StoredRecord:
    return StoredRecord(
        id=kept.id,
        account=kept.account,
        seq=kept.seq,
        event=kept.event,
        commitment=kept.commitment,
        prev=kept.prev,
        salt=kept.salt,
        fields=json.loads(kept.fields),
        epoch=kept.epoch,
        index=kept.entry_index,
        erased=kept.erased,
        retained=json.loads(kept.retained) if kept.retained else {},
    )
