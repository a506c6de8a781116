"""The log keeps its promises on PostgreSQL too, where writers and sequencers really run side by side."""

import asyncio

from sqlalchemy import func, select

from backend.audit.models import EntryRow, RecordRow
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT
from tests.fakes import FakeClock, FakeSigner

ACCOUNTS = [encode_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
WRITERS, RECORDS = 6, 15


async def write(database: Database, journal: AuditJournal, first: int) -> None:
    for number in range(first, first + RECORDS):
        async with database.transaction() as session:
            account = ACCOUNTS[number % len(ACCOUNTS)]
            await journal.record(session, account, "order.filled", {"n": number}, actor="x", policy="1")
            await journal.record(session, SYSTEM_ACCOUNT, "admin.changed", {}, actor="x", policy="1")


async def integrate(sequencer: Sequencer) -> None:
    for _ in range(20):
        await sequencer.integrate()
        await asyncio.sleep(0.01)


async def test_parallel_writers_and_sequencers_leave_one_gapless_log(postgres_database: Database) -> None:
    database = postgres_database
    journal, clock, signer = AuditJournal(FakeClock()), FakeClock(), FakeSigner()
    sequencers = [Sequencer(database, signer, clock, "refi.trading/test", batch=7) for _ in range(3)]
    await asyncio.gather(
        *[write(database, journal, writer) for writer in range(WRITERS)], *[integrate(one) for one in sequencers]
    )
    await sequencers[0].integrate()
    await check(database)


async def test_a_reader_keeps_one_view_over_several_statements(postgres_database: Database) -> None:
    database, count = postgres_database, select(func.count()).select_from(RecordRow)
    async with database.reading() as session:
        assert await session.scalar(count) == 0
        await write(database, AuditJournal(FakeClock()), 0)
        assert await session.scalar(count) == 0
    async with database.reading() as session:
        assert await session.scalar(count) == 2 * RECORDS


async def check(database: Database) -> None:
    async with database.reading() as session:
        records = list(await session.scalars(select(RecordRow).order_by(RecordRow.seq)))
        entries = list(await session.scalars(select(EntryRow).order_by(EntryRow.index)))
        checkpoint = await LogReader().checkpoint(session)
        heads = await LogReader().heads(session, checkpoint.size)
    assert len(records) == checkpoint.size == 2 * WRITERS * RECORDS
    assert [row.index for row in entries] == list(range(checkpoint.size))
    assert merkle.root([merkle.leaf_hash(row.entry.encode()) for row in entries]) == checkpoint.root
    for head in heads:
        chain = [row for row in records if row.account == encode_bytes(head.id)]
        assert [row.seq for row in chain] == list(range(1, head.count + 1))
        assert [row.prev for row in chain[1:]] == [row.commitment for row in chain[:-1]]
        places = [row.entry_index or 0 for row in chain]
        assert places == sorted(places)
    assert sum(head.count for head in heads) == checkpoint.size
