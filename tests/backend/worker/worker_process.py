"""A worker in a process of its own: `python -m tests.backend.worker.worker_process BROKER DATABASE`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from backend.kit.db import Database
from backend.kit.queue import JobContext, WorkerRuntime
from backend.worker import worker_app

VISIBILITY = timedelta(seconds=2)
LEASE = timedelta(seconds=2)


def main(broker: str, url: str) -> None:
    """Work until killed."""

    @asynccontextmanager
    async def runtime() -> AsyncIterator[WorkerRuntime]:
        database = Database(url)

        async def effect(context: JobContext) -> dict[str, Any]:
            """Note the start, take a while, have the effect once by its unique key."""
            async with database.transaction() as session:
                await session.execute(text("INSERT INTO starts VALUES (:job)"), {"job": context.job_id})
            await asyncio.sleep(0.3)
            async with database.transaction() as session:
                await session.execute(
                    text("INSERT INTO effects VALUES (:job) ON CONFLICT DO NOTHING"), {"job": context.job_id}
                )
            return {}

        try:
            yield WorkerRuntime(database, {"effect": effect}, LEASE)
        finally:
            await database.close()

    app = worker_app(broker, runtime, VISIBILITY)
    app.worker_main(["worker", "--concurrency", "2", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    main(*sys.argv[1:])
