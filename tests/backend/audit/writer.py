"""A process that records and integrates until it is killed, and says on stdout what it acknowledged."""

import asyncio
import random
import sys
from datetime import UTC, datetime, timedelta

from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Base, Database
from tests.fakes import FakeClock, FakeSigner

ORIGIN = "refi.trading/crash"
ACCOUNTS = [encode_bytes(bytes([number]) * 32) for number in (1, 2, 3)]


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


async def record(database: Database, journal: AuditJournal) -> None:
    while True:
        account = random.choice(ACCOUNTS)
        async with database.transaction() as session:
            made = [
                await journal.record(session, account, "order.filled", {}, actor="x", policy="1")
                for _ in range(random.randint(1, 3))
            ]
        for one in made:
            say("record", account, one.seq, encode_bytes(one.commitment))


async def integrate(database: Database, sequencer: Sequencer) -> None:
    while True:
        await sequencer.integrate()
        async with database.reading() as session:
            found = await LogReader().latest(session)
        if found:
            say("checkpoint", found.size, encode_bytes(found.root))
        await asyncio.sleep(0.01)


async def main(url: str) -> None:
    clock = FakeClock(wall=datetime.now(UTC))
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sequencer = Sequencer(database, FakeSigner(), clock, ORIGIN, batch=7, lease=timedelta(milliseconds=1))
    await asyncio.gather(record(database, AuditJournal(clock)), integrate(database, sequencer))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
