"""A worker that is killed when its proof is about to be sent: `python -m tests.backend.proofs.dying DATABASE`."""

import asyncio
import os
import signal
import sys

from backend.kit.db import Base, Database
from backend.migrations.run import metadata
from tests.backend.proofs.world import World


async def die(url: str) -> None:
    """Prove, keep the proof, and be killed where it is sent."""
    metadata()
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    world = World(database)
    await world.prepare()
    world.chain.answer("VarAttestor", "attest", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    await world.attest()


if __name__ == "__main__":
    asyncio.run(die(sys.argv[1]))
