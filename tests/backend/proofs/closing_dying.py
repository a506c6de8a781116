"""A job that is killed between two accounts of a day: `python -m tests.backend.proofs.closing_dying DATABASE`."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.db import Base, Database
from backend.migrations.run import metadata
from tests.backend.proofs.world import DAY, OWNER, World, account, closing_job


async def die(url: str) -> None:
    """Close the days before, then be killed at the second account."""
    metadata()
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    world = World(database)
    world.directory.accounts = (account(3), account(2), OWNER)
    await closing_job(world).run_once()
    world.clock.advance(business=timedelta(microseconds=1))
    honest = world.holdings.at_close

    async def deadly(session: AsyncSession, account_id: int, moment: datetime) -> Mapping[str, int]:
        if account_id == 2 and moment.date() == DAY:
            os.kill(os.getpid(), signal.SIGKILL)
        return await honest(session, account_id, moment)

    world.holdings.at_close = deadly  # type: ignore[method-assign]
    await closing_job(world).run_once()


if __name__ == "__main__":
    asyncio.run(die(sys.argv[1]))
