"""The queries of the records and of the accounts that they belong to; the transaction is the caller's."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, RecordRow
from backend.audit.types import GENESIS, Head, StoredRecord
from backend.kit.db import execute_many, fetch, insert_once
from backend.kit.deferred import BESIDE, defer, deferred_in

Row = tuple[Any, ...]
ACCOUNTS_A_PAGE = 1_000
_INSERT = """
INSERT INTO audit_records
    (id, account, seq, event, commitment, prev, salt, fields, ts_recorded, epoch, erased)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_MOVE_HEAD = "UPDATE audit_accounts SET seq = ?, head = ?, ts_recorded = ? WHERE account = ?"
_HEADS = """
SELECT ends.account, ended.seq, ended.commitment FROM (
    SELECT page.account AS account, (
        SELECT max(entry_index) FROM audit_records WHERE account = page.account AND entry_index < ?
    ) AS place
    FROM (SELECT account FROM audit_accounts WHERE account > ? ORDER BY account LIMIT ?) AS page
) AS ends LEFT JOIN audit_records AS ended ON ended.entry_index = ends.place ORDER BY ends.account
"""
_ACCOUNT = inspect(AccountRow).local_table
# No record of an account waits before its head is read.
_HEAD = select(_ACCOUNT.c.account, _ACCOUNT.c.seq, _ACCOUNT.c.head, _ACCOUNT.c.ts_recorded).execution_options(
    **{BESIDE: True}
)
_LAST_ID = select(func.coalesce(func.max(RecordRow.id), 0))
_NEXT_ID = text("SELECT nextval(pg_get_serial_sequence('audit_records', 'id'))")


class Chains:
    """The chains that a session's transaction holds, and the records that it adds to them."""

    tables = (AccountRow.__tablename__, RecordRow.__tablename__)

    def __init__(self, heads: Mapping[str, Head], changed: Iterable[str] = (), rows: Iterable[Row] = ()) -> None:
        self.heads = dict(heads)
        self.next_id: int | None = None
        self.system_account: str | None = None
        self._changed = set(changed)
        self._rows = list(rows)

    def add(self, head: Head, record: Row) -> None:
        """Let a record wait that ends its account's chain."""
        self.heads[head.account] = head
        self._changed.add(head.account)
        self._rows.append(record)

    def copy(self) -> Self:
        """Return the same as of now."""
        same = type(self)(self.heads, self._changed, self._rows)
        same.next_id, same.system_account = self.next_id, self.system_account
        return same

    def write(self, connection: Connection) -> None:
        """Write the records that wait, and the accounts' new ends."""
        rows, changed = self._rows, self._changed
        self._rows, self._changed = [], set()
        heads = [self.heads[account] for account in sorted(changed)]
        try:
            execute_many(connection, _INSERT, rows)
            execute_many(
                connection, _MOVE_HEAD, [(head.seq, head.commitment, head.ts_recorded, head.account) for head in heads]
            )
        except BaseException:
            # Whoever survives this must not commit without what could not be written.
            self._rows, self._changed = rows, changed
            raise


async def chains_of(session: AsyncSession) -> Chains:
    """Return the chains that the session's transaction holds."""
    found: Chains | None = deferred_in(session.sync_session)
    if found is None:
        found = Chains({})
        await session.connection()
        defer(session.sync_session, found)
    return found


async def lock_head(session: AsyncSession, chains: Chains, account: str) -> Head:
    """Return where the account's chain stands, its row locked until the transaction ends; start an account at zero."""
    if account in chains.heads:
        return chains.heads[account]
    query = _HEAD.where(_ACCOUNT.c.account == account).with_for_update()
    row = (await session.execute(query)).one_or_none()
    if row is None:
        await session.execute(
            insert_once(session, AccountRow)
            .values(account=account, seq=0, head=GENESIS, ts_recorded="")
            .execution_options(**{BESIDE: True})
        )
        row = (await session.execute(query)).one()
    chains.heads[account] = Head(*row)
    return chains.heads[account]


async def next_record_id(session: AsyncSession, chains: Chains) -> int:
    """Return the id of the record to come, above every one that its account has."""
    if session.get_bind().dialect.name == "postgresql":
        return int((await session.execute(_NEXT_ID)).scalar_one())
    # The one writer of SQLite holds the lock: nobody else counts meanwhile.
    if chains.next_id is None:
        chains.next_id = (await session.execute(_LAST_ID)).scalar_one()
    chains.next_id += 1
    return chains.next_id


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


async def heads_at(session: AsyncSession, size: int) -> AsyncIterator[list[tuple[str, int, bytes]]]:
    """Yield (account, seq, commitment) of every account's last record among the first `size` entries, in pages."""
    after = ""
    while page := await fetch(session, _HEADS, (size, after, ACCOUNTS_A_PAGE)):
        yield [(account, seq, commitment) for account, seq, commitment in page if seq is not None]
        after = page[-1][0]
        # On SQLite a statement never waits: whoever else is served must get a turn.
        await asyncio.sleep(0)


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
