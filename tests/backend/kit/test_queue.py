"""Background jobs in this process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from backend.kernel.errors import Conflict, Invalid, NotFound, TooMany, Unavailable
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import (
    MAX_OPEN,
    EmbeddedJobs,
    Handler,
    JobBoard,
    JobContext,
    JobView,
    _keep_alive,
    after_commit,
    run_job,
    waiting_jobs,
)

BOARD = JobBoard()


@asynccontextmanager
async def running(jobs: EmbeddedJobs) -> AsyncIterator[None]:
    """Keep the jobs moving for a while."""
    task = asyncio.create_task(jobs.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def queue(database: Database, jobs: EmbeddedJobs, name: str = "work", **options: Any) -> str:
    """Queue a job in a transaction of its own."""
    async with database.transaction() as session:
        return await jobs.enqueue(session, name, {"n": 2}, **options)


async def view(database: Database, job_id: str) -> JobView:
    """Look at a job."""
    async with database.reading() as session:
        return await BOARD.view(session, job_id)


async def until(database: Database, job_id: str, wanted: Callable[[JobView], bool]) -> JobView:
    """Wait until a job looks as wanted."""
    async with asyncio.timeout(10):
        while True:
            seen = await view(database, job_id)
            if wanted(seen):
                return seen
            await asyncio.sleep(0.01)


def over(job: JobView) -> bool:
    """Whether nothing more will happen."""
    return job.state in {"done", "failed", "cancelled"}


async def double(context: JobContext) -> dict[str, Any]:
    """Do the work."""
    await context.report(0.5)
    return {"twice": 2 * context.payload["n"]}


async def test_a_job_runs_as_soon_as_its_transaction_is_durable(database: Database) -> None:
    jobs = EmbeddedJobs(database, {"work": double}, poll=timedelta(seconds=60))
    async with running(jobs):
        await asyncio.sleep(0.05)
        seen = await until(database, await queue(database, jobs), over)
    assert (seen.state, seen.progress, seen.result, seen.error) == ("done", 1.0, {"twice": 4}, None)


async def test_a_job_of_a_transaction_that_failed_never_was(database: Database) -> None:
    jobs = EmbeddedJobs(database, {"work": double})
    queued = []

    async def fail() -> None:
        async with database.transaction() as session:
            queued.append(await jobs.enqueue(session, "work", {"n": 2}))
            raise Invalid("changed my mind")

    with pytest.raises(Invalid):
        await fail()
    with pytest.raises(NotFound):
        await view(database, queued[0])


async def test_a_job_is_announced_with_its_transaction_and_not_with_a_savepoint(database: Database) -> None:
    announced: list[str] = []
    async with database.transaction() as session:
        async with session.begin_nested():
            after_commit(session, lambda: announced.append("durable"))
        assert announced == []
    assert announced == ["durable"]


class MissedBeat(JobContext):
    """Finds the database busy at its first beat."""

    beats = 0
    went_on: asyncio.Event

    async def beat(self) -> None:
        """Fail once."""
        self.beats += 1
        if self.beats == 1:
            raise Unavailable("the database is busy")
        await super().beat()
        self.went_on.set()


async def test_a_runner_that_misses_a_beat_goes_on_beating(database: Database) -> None:
    job_id = await queue(database, EmbeddedJobs(database, {}))
    async with database.transaction() as session:
        await session.execute(update(Job).values(state="running", attempts=1))
    context, work = MissedBeat(database, job_id, {}, 1), asyncio.get_running_loop().create_future()
    context.went_on = asyncio.Event()
    beating = asyncio.create_task(_keep_alive(context, work, every=timedelta(milliseconds=5)))
    await asyncio.wait_for(context.went_on.wait(), 5)
    work.set_result({})
    await beating


async def test_a_known_key_returns_the_job_that_has_it(database: Database) -> None:
    jobs = EmbeddedJobs(database, {})
    assert await queue(database, jobs, key="one") == await queue(database, jobs, key="one")
    assert await queue(database, jobs) != await queue(database, jobs)


async def refused(_context: JobContext) -> dict[str, Any]:
    """Meet a fault that the platform knows."""
    raise Conflict("the state does not allow it")


async def broken(context: JobContext) -> dict[str, Any]:
    """Meet a fault that nobody thought of."""
    return {"x": context.payload["secret-canary"]}


@pytest.mark.parametrize(
    ("handler", "error"),
    [(refused, "the state does not allow it"), (broken, "an internal fault"), (None, "no handler for this job")],
)
async def test_a_fault_ends_the_job_and_says_no_more_than_it_should(
    database: Database, handler: Handler | None, error: str
) -> None:
    jobs = EmbeddedJobs(database, {"work": handler} if handler else {})
    async with running(jobs):
        seen = await until(database, await queue(database, jobs), over)
    assert (seen.state, seen.error, seen.result) == ("failed", error, None)


def stuck(began: asyncio.Event) -> Callable[[JobContext], Awaitable[dict[str, Any]]]:
    """Return a handler that never ends by itself."""

    async def handler(_context: JobContext) -> dict[str, Any]:
        began.set()
        await asyncio.Event().wait()
        return {}

    return handler


async def test_a_cancelled_job_stops(database: Database) -> None:
    began = asyncio.Event()
    jobs = EmbeddedJobs(database, {"work": stuck(began)})
    async with running(jobs):
        job_id = await queue(database, jobs)
        await began.wait()
        async with database.transaction() as session:
            await BOARD.cancel(session, job_id)
        async with asyncio.timeout(5):
            await asyncio.wait(set(jobs._active.values()))
    assert (await view(database, job_id)).state == "cancelled"


async def test_a_job_that_is_over_cannot_be_cancelled(database: Database) -> None:
    jobs = EmbeddedJobs(database, {"work": double})
    async with running(jobs):
        job_id = await queue(database, jobs)
        await until(database, job_id, over)
    with pytest.raises(Conflict):
        async with database.transaction() as session:
            await BOARD.cancel(session, job_id)


async def test_stopping_queues_unfinished_work_again(database: Database) -> None:
    began = asyncio.Event()
    first = EmbeddedJobs(database, {"work": stuck(began)})
    async with running(first):
        job_id = await queue(database, first)
        await began.wait()
    assert (await view(database, job_id)).state == "queued"
    async with running(EmbeddedJobs(database, {"work": double})):
        assert (await until(database, job_id, over)).state == "done"


async def test_a_job_is_taken_over_only_from_a_silent_runner(database: Database) -> None:
    jobs = EmbeddedJobs(database, {})
    job_id = await queue(database, jobs)
    await pretend_running(database, job_id, silent_for=timedelta(seconds=3))
    assert await waiting_jobs(database) == []
    assert not await run_job(database, {"work": double}, job_id)
    assert (await view(database, job_id)).state == "running"
    await pretend_running(database, job_id, silent_for=timedelta(seconds=11))
    assert await waiting_jobs(database) == [job_id]
    assert await run_job(database, {"work": double}, job_id)
    assert (await view(database, job_id)).state == "done"


async def test_two_runners_of_one_job_do_the_work_once(database: Database) -> None:
    done = []

    async def count(context: JobContext) -> dict[str, Any]:
        done.append(context.job_id)
        await asyncio.sleep(0.01)
        return {}

    job_id = await queue(database, EmbeddedJobs(database, {}))
    await asyncio.gather(*(run_job(database, {"work": count}, job_id) for _ in range(5)))
    assert done == [job_id]


async def test_a_runner_that_lost_its_job_cannot_end_it(database: Database) -> None:
    async def overtaken(context: JobContext) -> dict[str, Any]:
        async with database.transaction() as session:
            await session.execute(update(Job).where(Job.id == context.job_id).values(attempts=2))
        return {"stale": 1}

    job_id = await queue(database, EmbeddedJobs(database, {}))
    await run_job(database, {"work": overtaken}, job_id)
    seen = await view(database, job_id)
    assert (seen.state, seen.result) == ("running", None)


async def test_a_job_is_given_up_after_its_attempts(database: Database) -> None:
    job_id = await queue(database, EmbeddedJobs(database, {}))
    async with database.transaction() as session:
        await session.execute(update(Job).where(Job.id == job_id).values(attempts=5))
    await run_job(database, {"work": double}, job_id)
    assert (await view(database, job_id)).error == "gave up after 5 attempts"


async def test_a_job_is_shown_to_its_owner_only(database: Database) -> None:
    job_id = await queue(database, EmbeddedJobs(database, {}), account_id=7)
    async with database.reading() as session:
        assert (await BOARD.view(session, job_id, 7)).account_id == 7
        with pytest.raises(NotFound):
            await BOARD.view(session, job_id, 8)


async def test_one_account_cannot_fill_the_queue(database: Database) -> None:
    jobs = EmbeddedJobs(database, {})
    for _ in range(MAX_OPEN):
        first = await queue(database, jobs, account_id=7)
    with pytest.raises(TooMany):
        await queue(database, jobs, account_id=7)
    assert await queue(database, jobs, account_id=8)
    async with database.transaction() as session:
        await BOARD.cancel(session, first, 7)
    assert await queue(database, jobs, account_id=7)


async def pretend_running(database: Database, job_id: str, silent_for: timedelta) -> None:
    """Leave a job as a runner does that was heard of a while ago."""
    async with database.transaction() as session:
        heard = datetime.now(UTC) - silent_for
        await session.execute(update(Job).where(Job.id == job_id).values(state="running", heartbeat_at=heard))
