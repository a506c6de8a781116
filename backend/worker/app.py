"""The Celery worker: runs jobs by their id, and wakes the ones that were left behind."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from celery import Celery, Task
from sqlalchemy.exc import DBAPIError

from backend.kernel.errors import RefiError
from backend.kit.celery_jobs import REDRIVE_EVERY, RUN_JOB, VISIBILITY_TIMEOUT, CeleryJobs, celery_app
from backend.kit.queue import WorkerRuntime, run_job

REDRIVE = "refi.redrive"
CHORES = "refi.chores"
CHORES_EVERY = timedelta(seconds=30)


Runtime = Callable[[], AbstractAsyncContextManager[WorkerRuntime]]


def worker_app(broker_url: str, runtime: Runtime, visibility_timeout: timedelta = VISIBILITY_TIMEOUT) -> Celery:
    """Return the worker's application; each task opens a runtime of its own, in a loop of its own."""
    app = celery_app(broker_url, visibility_timeout)

    @app.task(name=RUN_JOB, bind=True, max_retries=None)  # type: ignore[untyped-decorator]
    def run(task: "Task[Any, Any]", job_id: str) -> None:
        """Run one job."""
        settled, lease = asyncio.run(_run(runtime, job_id))
        if not settled:
            # Somebody else has it: look again when their lease would be over.
            raise task.retry(countdown=lease.total_seconds())

    @app.task(name=REDRIVE)  # type: ignore[untyped-decorator]
    def redrive() -> None:
        """Send the jobs again that nobody works on."""
        asyncio.run(_redrive(runtime, app))

    @app.task(name=CHORES)  # type: ignore[untyped-decorator]
    def chores() -> None:
        """Do what is done again and again."""
        asyncio.run(_chores(runtime))

    app.conf.beat_schedule = {
        name: {
            "task": name,
            "schedule": every.total_seconds(),
            # Behind a busy worker the next one is as good: they must not pile up.
            "options": {"expires": every.total_seconds()},
        }
        for name, every in ((REDRIVE, REDRIVE_EVERY), (CHORES, CHORES_EVERY))
    }
    return app


async def _run(runtime: Runtime, job_id: str) -> tuple[bool, timedelta]:
    async with runtime() as parts:
        return await run_job(parts.database, parts.handlers, job_id, parts.lease), parts.lease


async def _redrive(runtime: Runtime, app: Celery) -> None:
    async with runtime() as parts:
        await CeleryJobs(parts.database, app).redrive()


async def _chores(runtime: Runtime) -> None:
    faults: list[RefiError | DBAPIError | OSError] = []
    async with runtime() as parts:
        for chore in parts.chores:
            try:
                await chore()
            except (RefiError, DBAPIError, OSError) as fault:
                # The others' turn comes all the same.
                faults.append(fault)
    if faults:
        raise faults[0]
