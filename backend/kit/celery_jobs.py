"""Jobs carried out by Celery workers: the row is the truth, the message only wakes somebody up."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.kit.queue import add_job, after_commit, waiting_jobs

log = structlog.get_logger("jobs")

RUN_JOB = "refi.run_job"
REDRIVE_EVERY = timedelta(seconds=10)
# Long enough for a message to be picked up, short enough that one which was lost is not missed.
OVERDUE = timedelta(seconds=15)
VISIBILITY_TIMEOUT = timedelta(seconds=30)


def celery_app(broker_url: str, visibility_timeout: timedelta = VISIBILITY_TIMEOUT) -> Celery:
    """Return an application that loses no message when a worker dies: it is acknowledged after the work."""
    app = Celery("refi", broker=broker_url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            # The broker's default hides a dead worker's message for an hour.
            "visibility_timeout": visibility_timeout.total_seconds(),
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
        },
        timezone="UTC",
    )
    return app


class CeleryJobs:
    """Sends a message for each job once its row is durable, and again for jobs that nobody picked up."""

    def __init__(self, database: Database, app: Celery, *, redrive_every: timedelta = REDRIVE_EVERY) -> None:
        self._database = database
        self._app = app
        self._redrive_every = redrive_every
        self._sending: set[asyncio.Task[None]] = set()

    async def enqueue(
        self,
        session: AsyncSession,
        name: str,
        payload: Mapping[str, Any],
        *,
        key: str | None = None,
        account_id: int | None = None,
    ) -> str:
        """Queue a job; a worker hears of it as soon as the transaction is durable."""
        job_id = await add_job(session, name, payload, key, account_id)
        after_commit(session, partial(self._send_soon, job_id))
        return job_id

    async def run(self) -> None:
        """Send overdue jobs again until cancelled."""
        while True:
            await self.redrive(OVERDUE)
            await asyncio.sleep(self._redrive_every.total_seconds())

    async def redrive(self, older_than: timedelta = OVERDUE) -> int:
        """Send every job again that nobody works on; return how many."""
        waiting = await waiting_jobs(self._database, older_than=older_than)
        for job_id in waiting:
            await self._send(job_id)
        return len(waiting)

    async def close(self) -> None:
        """Let messages that are on their way out leave."""
        await asyncio.gather(*self._sending, return_exceptions=True)
        await asyncio.to_thread(self._app.close)

    def _send_soon(self, job_id: str) -> None:
        task = asyncio.create_task(self._send_or_leave(job_id))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_or_leave(self, job_id: str) -> None:
        try:
            await self._send(job_id)
        except Unavailable:
            # The row is there: it is sent again when the broker answers.
            log.warning("job.not_sent", job_id=job_id)

    async def _send(self, job_id: str) -> None:
        try:
            await asyncio.to_thread(self._app.send_task, RUN_JOB, args=[job_id], retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            raise Unavailable("the job broker does not answer") from error
