"""The audit log and the order path on SQLite: proofs from stored nodes, appends, whole orders."""

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.audit.models import EntryRow, RecordRow
from backend.audit.repository import tree
from backend.audit.service import OWN_FIELDS, AuditJournal, LogReader, Sequencer
from backend.audit.types import LogCheckpoint
from backend.decisions.service import PersonIntent
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Base, Database, execute_many
from backend.pipeline.stages import Submission, run
from tests.backend.pipeline.rooms import House
from tests.benchmarks.engines import record_of
from tests.benchmarks.harness import Benchmark, Meaningless, Pair, Side
from tests.conftest import import_every_model
from tests.fakes import FakeClock, FakeSigner

ORIGIN = "refi.trading/benchmark"
ACCOUNT = encode_bytes(bytes(range(32)))
FIELDS = record_of(16)  # the journal adds nine of its own
# A row of the kind that every record's own transaction writes beside it.
PROJECTION = "CREATE TABLE benchmark_rows (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, quantity TEXT NOT NULL)"
PROJECT = "INSERT INTO benchmark_rows VALUES (?, ?, ?)"


@contextmanager
def opened(runner: asyncio.Runner, folder: Path) -> Iterator[Database]:
    """Yield a SQLite database with every table, in WAL mode with synchronous=FULL as everywhere."""
    import_every_model()
    database = Database(f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}")

    async def create() -> None:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    runner.run(create())
    try:
        yield database
    finally:
        runner.run(database.close())


@contextmanager
def place() -> Iterator[tuple[asyncio.Runner, Database, Path]]:
    """Yield an event loop, a database and the folder around it."""
    with TemporaryDirectory() as name, asyncio.Runner() as runner, opened(runner, Path(name)) as database:
        yield runner, database, Path(name)


@contextmanager
def inclusion(size: int) -> Iterator[Pair]:
    """Yield one inclusion proof: read from the nodes in the database, and recomputed from every leaf in memory."""
    leaves = [sha256(b"%d" % number).digest() for number in range(size)]
    wanted = size // 3

    async def keep(database: Database) -> None:
        async with database.transaction() as session:
            grown = await tree.extend(session, await tree.lock_state(session), [], leaves)
            await tree.add_checkpoint(session, LogCheckpoint(size, merkle.join(grown.frontier), "", ""))

    async def read(database: Database) -> list[bytes]:
        async with database.reading() as session:
            return await LogReader().inclusion(session, wanted, size)

    with place() as (runner, database, _folder):
        runner.run(keep(database))
        yield Pair(
            Side("stored nodes, SQLite", lambda: runner.run(read(database))),
            Side("from all leaves, memory", lambda: merkle.inclusion_path(leaves, wanted)),
            1,
            lambda mine, theirs: bool(mine == theirs),
        )


@contextmanager
def inclusion_check(size: int) -> Iterator[Pair]:
    """Yield the check that a leaf is in a tree: by its path, and by recomputing the root."""
    leaves = [sha256(b"%d" % number).digest() for number in range(size)]
    index, root = size // 3, merkle.root(leaves)
    path = merkle.inclusion_path(leaves, index)
    yield Pair(
        Side("verify_inclusion", lambda: merkle.verify_inclusion(leaves[index], index, size, path, root)),
        Side("root of all leaves", lambda: merkle.root(leaves) == root),
        1,
        lambda mine, theirs: bool(mine and theirs),
    )


async def count(database: Database, model: type[Base]) -> int:
    """Return a table's rows."""
    async with database.reading() as session:
        return (await session.execute(select(func.count()).select_from(model))).scalar_one()


class PlainTable:
    """The same private bytes in one SQLite table, without chain, commitment or tree."""

    def __init__(self, connection: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes, str]]) -> None:
        self._connection = connection
        self._rows = rows
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, commitment BLOB NOT NULL, salt BLOB NOT NULL, fields TEXT)"
        )

    def append(self, batch: int) -> int:
        """Insert every row, `batch` a transaction, and return how many there were."""
        before = self._count()
        for at in range(0, len(self._rows), batch):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO plain (commitment, salt, fields) VALUES (?, ?, ?)", self._rows[at : at + batch]
            )
            self._connection.execute("COMMIT")
        return self._count() - before

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM plain").fetchone()[0])


def project(session: Session, rows: Sequence[tuple[int, int, str]]) -> None:
    """Write the rows that show what was recorded."""
    execute_many(session.connection(), PROJECT, rows)


async def append(database: Database, journal: AuditJournal, sequencer: Sequencer, total: int, batch: int) -> int:
    """Record `total` records, `batch` a transaction, integrate them, and return by how many the log grew."""
    before = await count(database, EntryRow)
    for _ in range(total // batch):
        async with database.transaction() as session:
            made = [
                await journal.record(session, ACCOUNT, "order.filled", FIELDS, actor="benchmark", policy="1")
                for _ in range(batch)
            ]
            projected = [(one.record_id, one.seq, str(one.seq)) for one in made]
            await session.run_sync(partial(project, rows=projected))
    await sequencer.integrate()
    return await count(database, EntryRow) - before


async def stored(database: Database) -> list[tuple[bytes, bytes, str]]:
    """Return the private bytes of every record."""
    async with database.reading() as session:
        rows = await session.execute(select(RecordRow.commitment, RecordRow.salt, RecordRow.fields))
        return [(commitment, salt, fields) for commitment, salt, fields in rows]


@contextmanager
def appends(total: int, batch: int) -> Iterator[Pair]:
    """Yield appends from projection row to signed checkpoint, and plain inserts; both reach the disk a commit."""
    clock = FakeClock()
    journal = AuditJournal(clock)
    with place() as (runner, database, folder):
        with closing(sqlite3.connect(folder / "refi.sqlite3")) as connection:
            connection.execute(PROJECTION)
        sequencer = Sequencer(database, FakeSigner(), clock, ORIGIN)

        def ours() -> int:
            return runner.run(append(database, journal, sequencer, total, batch))

        ours()
        with closing(sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)) as connection:
            plain = PlainTable(connection, runner.run(stored(database)))
            yield Pair(
                Side("journal + sequencer", ours),
                Side("plain SQLite insert", lambda: plain.append(batch)),
                total,
                lambda mine, theirs: bool(mine == theirs == total),
            )


@contextmanager
def order_path(total: int) -> Iterator[Pair]:
    """Yield whole orders through every stage, one a transaction, and the bare journal record of the same fields."""
    with place() as (runner, database, folder):
        house = House(database, folder / "models")
        journal = AuditJournal(house.clock)
        stages = dataclasses.replace(house.stages, journal=journal)
        # A pseudonym is 32 bytes in base64url, whose last digit has two unused bits: 4, not 1.
        trader = runner.run(house.trader(4))
        made = iter(range(1 << 62))

        async def order(session: AsyncSession) -> None:
            number = next(made)
            intent = PersonIntent("AAPL", "sell" if number % 2 else "buy", Decimal("1.5"))
            outcome = await run(Submission(session, trader, f"key-{number}", intent), stages)
            if outcome.state != "filled":
                raise Meaningless(f"the order was {outcome.state}: {outcome.refused}")

        async def orders() -> int:
            before = await count(database, RecordRow)
            for _ in range(total):
                async with database.transaction() as session:
                    await order(session)
            return await count(database, RecordRow) - before

        runner.run(orders())
        fields = _recorded_fields(runner.run(stored(database)))

        async def records() -> int:
            before = await count(database, RecordRow)
            for _ in range(total):
                async with database.transaction() as session:
                    await journal.record(session, ACCOUNT, "order.filled", fields, actor="benchmark", policy="1")
            return await count(database, RecordRow) - before

        yield Pair(
            Side("every stage", lambda: runner.run(orders())),
            Side("journal record alone", lambda: runner.run(records())),
            total,
            lambda mine, theirs: bool(mine == theirs == total),
        )


def _recorded_fields(rows: Sequence[tuple[bytes, bytes, str]]) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(rows[-1][2])
    return {name: value for name, value in whole.items() if name not in OWN_FIELDS}


BENCHMARKS = (
    Benchmark("inclusion-100k", "proof", partial(inclusion, 100_000)),
    Benchmark("inclusion-check-100k", "check", partial(inclusion_check, 100_000)),
    Benchmark("append-1", "record", partial(appends, 200, 1)),
    Benchmark("append-100", "record", partial(appends, 1_000, 100)),
    Benchmark("order-path", "order", partial(order_path, 50)),
)
