"""The processes that a fault run kills: one records, one integrates, both say on a pipe what they acknowledged."""

import asyncio
import os
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from backend.adapters.clock.system import SystemClock
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Base, Database
from backend.ports.signer import Signer

ORIGIN = "refi.trading/chaos"
ACCOUNTS = tuple(encode_bytes(bytes([number]) * 32) for number in (1, 2, 3))
BATCH = 7

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Log:
    """The log under fault: where it is, who signs it, and whether it asks the disk to sync."""

    path: Path
    signer: Signer
    synchronous: str = "FULL"

    def database(self) -> Database:
        """Open the log's database."""
        database = Database(f"sqlite+aiosqlite:///{self.path}")
        if self.synchronous != "FULL":
            event.listen(database.engine.sync_engine, "connect", self._weaken)
        return database

    def sequencer(self, database: Database) -> Sequencer:
        """Return a sequencer of small batches."""
        return Sequencer(
            database, self.signer, SystemClock(), ORIGIN, batch=BATCH, lease=timedelta(milliseconds=1)
        )  # fmt: skip

    def _weaken(self, connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous={self.synchronous}")
        cursor.close()


async def create(log: Log) -> None:
    """Make the tables."""
    database = log.database()
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await database.close()


async def record(log: Log, say: Say) -> None:
    """Record without end, up to three at once."""
    database, journal = log.database(), AuditJournal(SystemClock())
    while True:
        account = random.choice(ACCOUNTS)  # noqa: S311 - a load, not a secret
        async with database.transaction() as session:
            made = [
                await journal.record(session, account, "order.filled", {}, actor="chaos", policy="1")
                for _ in range(random.randint(1, 3))  # noqa: S311
            ]
        for one in made:
            say(f"record {account} {one.seq} {encode_bytes(one.commitment)}")


async def integrate(log: Log, say: Say) -> None:
    """Integrate without end."""
    database = log.database()
    sequencer = log.sequencer(database)
    while True:
        await sequencer.integrate()
        async with database.reading() as session:
            found = await LogReader().latest(session)
        if found:
            say(f"checkpoint {found.size} {encode_bytes(found.root)}")
        await asyncio.sleep(0.005)


async def both(log: Log, say: Say) -> None:
    """Record and integrate in one process."""
    await asyncio.gather(record(log, say), integrate(log, say))


def child(work: Callable[[Log, Say], Awaitable[None]], log: Log, pipe: int, prepare: Callable[[], object]) -> int:
    """Start a process that works until it is killed, and return its id."""
    if pid := os.fork():
        return pid
    try:
        keep = prepare()
        random.seed()
        asyncio.run(_forever(work(log, lambda line: _write(pipe, line))))
        del keep
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Whatever ends a child must not run its parent's code.
        os._exit(1)


async def _forever(work: Awaitable[None]) -> None:
    await work


def _write(pipe: int, line: str) -> None:
    # Short lines reach a pipe whole: two processes may share it.
    os.write(pipe, line.encode() + b"\n")
