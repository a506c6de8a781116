"""Jobs on real Celery workers that die."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from backend.kernel.errors import Conflict
from backend.kit.celery_jobs import CeleryJobs, celery_app
from backend.kit.db import Database
from backend.kit.queue import JobBoard

JOBS = 6


@contextmanager
def worker(broker: str, url: str) -> Iterator[Callable[[], None]]:
    """Run a worker in a process group of its own; yield what kills the whole group."""
    command = [sys.executable, "-m", "tests.backend.worker.worker_process", broker, url]
    process = subprocess.Popen(command, start_new_session=True, cwd=Path.cwd())

    def kill() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    try:
        yield kill
    finally:
        kill()


async def count(database: Database, query: str) -> int:
    """Return a figure."""
    async with database.reading() as session:
        return int(await session.scalar(text(query)) or 0)


async def until(database: Database, query: str, wanted: int) -> None:
    """Wait until a figure is reached."""
    while True:
        if await count(database, query) >= wanted:
            return
        await asyncio.sleep(0.05)


async def test_a_killed_worker_loses_no_job_and_every_effect_happens_once(redis_url: str, database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE starts (job TEXT)"))
        await session.execute(text("CREATE TABLE effects (job TEXT PRIMARY KEY)"))
    jobs = CeleryJobs(database, celery_app(redis_url, timedelta(seconds=2)))
    for number in range(JOBS):
        async with database.transaction() as session:
            await jobs.enqueue(session, "effect", {}, key=f"effect-{number}")
    async with asyncio.timeout(25):
        with worker(redis_url, url) as kill:
            await until(database, "SELECT count(*) FROM starts", 2)
            kill()
        assert await count(database, "SELECT count(*) FROM effects") < JOBS
        with worker(redis_url, url):
            while await count(database, "SELECT count(*) FROM jobs WHERE state = 'done'") < JOBS:
                # What the schedule does every few seconds.
                await jobs.redrive(timedelta(seconds=3))
                await asyncio.sleep(0.5)
    assert await count(database, "SELECT count(*) FROM effects") == JOBS
    assert await count(database, "SELECT count(*) FROM starts") > JOBS
    await jobs.close()


async def test_a_job_waits_in_the_database_while_the_broker_is_away(database: Database) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    jobs = CeleryJobs(database, celery_app(f"redis://127.0.0.1:{port}/0"))
    async with database.transaction() as session:
        job_id = await jobs.enqueue(session, "effect", {})
    await jobs.close()
    async with database.reading() as session:
        assert (await JobBoard().view(session, job_id)).state == "queued"


async def test_a_job_of_a_transaction_that_failed_is_never_sent(redis_url: str, database: Database) -> None:
    jobs = CeleryJobs(database, celery_app(redis_url))
    assert await jobs.redrive(timedelta(0)) == 0

    async def fail() -> None:
        async with database.transaction() as session:
            await jobs.enqueue(session, "effect", {})
            raise Conflict("changed my mind")

    with pytest.raises(Conflict):
        await fail()
    assert await jobs.redrive(timedelta(0)) == 0
    await jobs.close()
