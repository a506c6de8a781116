"""Records wait in memory until their transaction ends: nobody can tell, but for the time that it takes."""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, RecordRow
from backend.audit.service import AuditJournal
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Base, Database
from backend.kit.deferred import BESIDE
from backend.ports.journal import SYSTEM_ACCOUNT, Recorded
from tests.fakes import FakeClock

ROOT = Path(__file__).parents[3]
REFUSE = "CREATE TEMP TRIGGER refuse BEFORE INSERT ON audit_records WHEN NEW.seq = 3 BEGIN SELECT RAISE(ABORT, ''); END"
TRADERS = [encode_bytes(bytes([number]) * 32) for number in (1, 2)]


async def record(session: AsyncSession, account: str = TRADERS[0], **fields: int) -> Recorded:
    return await AuditJournal(FakeClock()).record(session, account, "order.filled", fields, actor="x", policy="1")


@asynccontextmanager
async def lost_savepoint(session: AsyncSession) -> AsyncIterator[None]:
    """Undo what happens inside, and nothing else."""
    savepoint = await session.begin_nested()
    yield
    await savepoint.rollback()


async def chains(database: Database) -> dict[str, list[bytes]]:
    """Return each account's commitments, having checked that they are whole chains that end at their heads."""
    async with database.reading() as session:
        rows = list(await session.scalars(select(RecordRow).order_by(RecordRow.id)))
        heads = list(await session.scalars(select(AccountRow)))
    kept = {}
    for head in heads:
        chain = [row for row in rows if row.account == head.account]
        assert [row.seq for row in chain] == list(range(1, head.seq + 1))
        assert [row.prev for row in chain] == [bytes(32), *[row.commitment for row in chain]][: len(chain)]
        assert head.head == (chain[-1].commitment if chain else bytes(32))
        kept[head.account] = [row.commitment for row in chain]
    assert sum(map(len, kept.values())) == len(rows)
    return kept


async def test_a_savepoint_that_is_rolled_back_takes_its_records_seqs_and_heads_with_it(database: Database) -> None:
    async with database.transaction() as session:
        first = await record(session)
        async with lost_savepoint(session):
            await record(session)
            await record(session, TRADERS[1])
        second = await record(session)
    assert second.seq == 2
    assert await chains(database) == {TRADERS[0]: [first.commitment, second.commitment]}


async def test_what_was_written_inside_a_lost_savepoint_for_records_before_it_is_written_again(
    database: Database,
) -> None:
    async with database.transaction() as session:
        first = await record(session)
        async with lost_savepoint(session):
            assert await session.scalar(select(func.count()).select_from(RecordRow)) == 1
    assert await chains(database) == {TRADERS[0]: [first.commitment]}


@pytest.mark.parametrize(
    "query", [select(func.count()).select_from(RecordRow), text("SELECT max(seq) FROM audit_accounts")]
)
async def test_the_same_transaction_reads_what_it_recorded(database: Database, query: object) -> None:
    async with database.transaction() as session:
        await record(session)
        assert await session.scalar(query) == 1  # type: ignore[call-overload]
        await record(session)
        assert await session.scalar(query) == 2  # type: ignore[call-overload]


async def test_many_records_of_a_transaction_are_written_at_once(database: Database) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement.split(maxsplit=1)[0])

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    async with database.transaction() as session:
        for _ in range(50):
            await record(session)
            await record(session, SYSTEM_ACCOUNT)
    assert statements.count("INSERT") == 3  # two accounts and the log's state; records go to the driver together
    assert statements.count("UPDATE") == 0
    assert {len(chain) for chain in (await chains(database)).values()} == {50}


async def test_a_system_account_that_was_drawn_in_a_lost_savepoint_is_drawn_again(database: Database) -> None:
    async with database.transaction() as session:
        async with lost_savepoint(session):
            await record(session, SYSTEM_ACCOUNT)
        kept = await record(session, SYSTEM_ACCOUNT)
    assert await chains(database) == {kept.account: [kept.commitment]}


TABLES = [Base.metadata.tables[name] for name in ("audit_accounts", "audit_records", "audit_state")]
STEPS = st.lists(st.sampled_from(["first", "second", "system", "open", "keep", "undo", "read"]), max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs=st.lists(STEPS, min_size=1, max_size=3))
def test_any_nesting_of_savepoints_leaves_exactly_the_records_that_were_kept(programs: list[list[str]]) -> None:
    asyncio.run(_run_programs(programs))


async def _run_programs(programs: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{Path(folder) / 'log.sqlite3'}")
        try:
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all, tables=TABLES)
            expected: list[bytes] = []
            for steps in programs:
                async with database.transaction() as session:
                    made, is_kept = await _run(session, iter(steps), len(expected))
                    expected += made if is_kept else []
                    if not is_kept:
                        await session.rollback()
            kept = await chains(database)
            assert sorted(commitment for chain in kept.values() for commitment in chain) == sorted(expected)
        finally:
            await database.close()


async def _run(session: AsyncSession, steps: Iterator[str], before: int) -> tuple[list[bytes], bool]:
    """Follow the steps up to this savepoint's end; return what was recorded and whether to keep it."""
    kept: list[bytes] = []
    accounts = {"first": TRADERS[0], "second": TRADERS[1], "system": SYSTEM_ACCOUNT}
    for step in steps:
        if step in accounts:
            kept.append((await record(session, accounts[step])).commitment)
        elif step == "read":
            counted = await session.scalar(select(func.count()).select_from(RecordRow))
            assert counted == before + len(kept)
        elif step == "open":
            savepoint = await session.begin_nested()
            inner, is_kept = await _run(session, steps, before + len(kept))
            await (savepoint.commit() if is_kept else savepoint.rollback())
            kept += inner if is_kept else []
        else:
            return kept, step == "keep"
    return kept, True


async def test_a_savepoint_that_is_still_open_at_the_end_loses_no_record(database: Database) -> None:
    async with database.transaction() as session:
        first = await record(session)
        await session.begin_nested()
        second = await record(session)
    assert await chains(database) == {TRADERS[0]: [first.commitment, second.commitment]}


async def test_a_session_that_only_reads_takes_no_record(database: Database) -> None:
    async with database.transaction() as session:
        first = await record(session)
    async with database.reading() as session:
        with pytest.raises(TypeError, match="a session that writes"):
            await record(session)
    assert await chains(database) == {TRADERS[0]: [first.commitment]}


async def read_all_the_same(session: AsyncSession) -> None:
    """Have what waits written, and go on whatever comes of it."""
    with pytest.raises(DBAPIError):
        await session.execute(select(RecordRow.id))


async def test_records_that_could_not_be_written_once_are_written_with_the_commit(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text(REFUSE))
        made = [await record(session) for _ in range(4)]
        await read_all_the_same(session)
        await session.execute(text("DROP TRIGGER refuse").execution_options(**{BESIDE: True}))
        await session.execute(text("DELETE FROM audit_records").execution_options(**{BESIDE: True}))
    assert await chains(database) == {TRADERS[0]: [one.commitment for one in made]}


async def test_no_commit_passes_records_that_cannot_be_written(database: Database) -> None:
    async def commit_all_the_same() -> None:
        async with database.transaction() as session:
            await session.execute(text(REFUSE))
            for _ in range(4):
                await record(session)
            await read_all_the_same(session)

    with pytest.raises(DBAPIError):
        await commit_all_the_same()
    assert await chains(database) == {}


async def test_a_transaction_that_a_full_disk_undid_writes_nothing_more(database: Database) -> None:
    async with database.transaction() as session:
        first = await record(session)
    async with database.engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")

    async def commit_all_the_same() -> None:
        async with database.transaction() as session:
            for number in range(300):
                await record(session, number=number)
            await read_all_the_same(session)
            await read_all_the_same(session)

    with pytest.raises(DBAPIError, match="undone"):
        await commit_all_the_same()
    assert await chains(database) == {TRADERS[0]: [first.commitment]}


async def test_records_that_do_not_fit_on_the_disk_are_not_acknowledged(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as session:
        first = await record(session)
    async with database.engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    acknowledged: list[Recorded] = []

    async def fill() -> None:
        async with database.transaction() as session:
            made = [await record(session, number=number) for number in range(500)]
        acknowledged.extend(made)

    with pytest.raises(OperationalError, match="full"):
        await fill()
    assert acknowledged == []
    assert await chains(database) == {TRADERS[0]: [first.commitment]}
    with closing(sqlite3.connect(tmp_path / "refi.sqlite3")) as stranger:
        assert stranger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_writer_that_may_write_no_more_bytes_stops_with_what_it_acknowledged_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "log.sqlite3"
    command = [sys.executable, "-m", "tests.backend.audit.full_disk", f"sqlite+aiosqlite:///{file}", "1000000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    promised = [line.split(" ") for line in done.stdout.splitlines() if line.startswith("record ")]
    assert len(promised) > 10
    with closing(sqlite3.connect(file)) as stranger:
        kept = {
            (account, seq): encode_bytes(commitment)
            for account, seq, commitment in stranger.execute("SELECT account, seq, commitment FROM audit_records")
        }
    assert all(kept[account, int(seq)] == commitment for _, account, seq, commitment in promised)
