"""A transaction on SQLite is durable when it ends, and neither a cancelled task nor a full disk leaves half of one."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.kit.sqlite import LOG_BYTES

Rows = Callable[[], list[int]]


@pytest.fixture
async def opened(tmp_path: Path) -> Database:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'some.sqlite3'}")
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE kept (number INTEGER PRIMARY KEY, content BLOB)")
    return database


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return how another process sees the table."""

    def read() -> list[int]:
        with closing(sqlite3.connect(tmp_path / "some.sqlite3")) as stranger:
            return [number for (number,) in stranger.execute("SELECT number FROM kept ORDER BY number")]

    return read


async def keep(database: Database, number: int, content: bytes = b"") -> None:
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO kept VALUES (:number, :content)"), {"number": number, "content": content}
        )


async def test_what_a_transaction_wrote_is_seen_by_another_process_as_soon_as_it_ends(
    opened: Database, rows: Rows
) -> None:
    async with opened.transaction() as session:
        await session.execute(text("INSERT INTO kept (number) VALUES (1)"))
        assert rows() == []
    assert rows() == [1]
    await opened.close()


async def test_every_connection_writes_through_to_the_disk(opened: Database) -> None:
    async with opened.transaction() as session:
        assert await session.scalar(text("PRAGMA synchronous")) == 2
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
    async with opened.reading() as session:
        assert await session.scalar(text("PRAGMA synchronous")) == 2
    await opened.close()


async def test_a_reader_is_refused_to_write(opened: Database) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        async with opened.reading() as session:
            await session.execute(text("INSERT INTO kept (number) VALUES (1)"))
    await opened.close()


async def test_a_reader_keeps_one_view_while_others_write(opened: Database) -> None:
    count = text("SELECT count(*) FROM kept")
    async with opened.reading() as session:
        assert await session.scalar(count) == 0
        await keep(opened, 1)
        assert await session.scalar(count) == 0
    async with opened.reading() as session:
        assert await session.scalar(count) == 1
    await opened.close()


async def test_the_loop_goes_on_while_a_writer_waits_for_another_process(
    opened: Database, rows: Rows, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "some.sqlite3", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(keep(opened, 1))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not writing.done()
        async with opened.reading() as session:
            assert await session.scalar(text("SELECT count(*) FROM kept")) == 0
        stranger.execute("INSERT INTO kept (number) VALUES (7)")
        stranger.execute("COMMIT")
    await asyncio.wait_for(writing, 5)
    assert rows() == [1, 7]
    await opened.close()


async def test_a_writer_that_is_cancelled_while_it_waits_leaves_no_lock_behind(
    opened: Database, rows: Rows, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "some.sqlite3", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(keep(opened, 1))
        await asyncio.sleep(0.05)
        writing.cancel()
        await asyncio.sleep(0.05)
        stranger.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await writing
        stranger.execute("BEGIN IMMEDIATE")
        stranger.execute("ROLLBACK")
    await keep(opened, 2)
    assert rows() == [2]
    await opened.close()


async def test_tasks_cancelled_at_any_moment_leave_whole_transactions_and_a_free_lock(
    opened: Database, rows: Rows
) -> None:
    acknowledged: set[int] = set()

    async def write(number: int) -> None:
        await keep(opened, number)
        acknowledged.add(number)

    for number in range(60):
        task = asyncio.create_task(write(number))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        # What goes on after the cancellation finds every connection free.
        async with opened.reading() as session:
            await session.scalar(text("SELECT count(*) FROM kept"))
    await keep(opened, 1_000)
    assert acknowledged <= set(rows())
    assert 1_000 in rows()
    await opened.close()


async def test_a_full_disk_is_an_error_and_no_acknowledgement(opened: Database, rows: Rows) -> None:
    await keep(opened, 1)
    async with opened.engine.connect() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OperationalError, match="full"):
        await keep(opened, 2, bytes(100_000))
    assert rows() == [1]
    async with opened.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    await keep(opened, 3, bytes(100_000))
    assert rows() == [1, 3]
    await opened.close()


async def test_after_a_transaction_was_undone_by_sqlite_itself_no_statement_stands_alone(
    opened: Database, rows: Rows
) -> None:
    async def go_on_all_the_same() -> None:
        async with opened.transaction() as session:
            await session.execute(text("INSERT INTO kept (number) VALUES (1)"))
            with pytest.raises(IntegrityError):
                await session.execute(text("INSERT OR ROLLBACK INTO kept (number) VALUES (1)"))
            with pytest.raises(OperationalError, match="undone"):
                await session.execute(text("INSERT INTO kept (number) VALUES (2)"))

    with pytest.raises(OperationalError, match="undone"):
        await go_on_all_the_same()
    assert rows() == []
    await keep(opened, 3)
    assert rows() == [3]
    await opened.close()


async def test_a_database_that_stays_busy_is_unavailable(opened: Database, tmp_path: Path) -> None:
    impatient = Database(f"sqlite+aiosqlite:///{tmp_path / 'some.sqlite3'}", lock_wait_ms=50)
    with closing(sqlite3.connect(tmp_path / "some.sqlite3", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await keep(impatient, 1)
    await keep(impatient, 1)
    await impatient.close()
    await opened.close()


async def test_the_log_that_a_slow_reader_let_grow_is_given_back(opened: Database, tmp_path: Path) -> None:
    log = tmp_path / "some.sqlite3-wal"
    async with opened.reading() as session:
        await session.scalar(text("SELECT count(*) FROM kept"))
        for number in range(8):
            await keep(opened, number, bytes(5_000_000))
        assert log.stat().st_size > 2 * LOG_BYTES
    for number in range(8, 12):
        await keep(opened, number)
    assert log.stat().st_size <= LOG_BYTES
    await opened.close()
