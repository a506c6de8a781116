"""A process whose files may grow to so many bytes and no further: it says which records it acknowledged."""

import asyncio
import resource
import signal
import sys

from backend.audit.service import AuditJournal, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Base, Database
from tests.fakes import FakeClock, FakeSigner

ACCOUNT = encode_bytes(bytes(range(32)))


async def main(url: str) -> None:
    """Record and integrate for ever."""
    clock = FakeClock()
    database, journal = Database(url), AuditJournal(clock)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sequencer = Sequencer(database, FakeSigner(), clock, "refi.trading/full")
    while True:
        async with database.transaction() as session:
            made = await journal.record(session, ACCOUNT, "order.filled", {}, actor="x", policy="1")
        sys.stdout.write(f"record {made.account} {made.seq} {encode_bytes(made.commitment)}\n")
        sys.stdout.flush()
        await sequencer.integrate()


if __name__ == "__main__":
    # The system's signal would kill the process: ignored, the write fails instead.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    asyncio.run(main(sys.argv[1]))
