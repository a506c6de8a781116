"""Background jobs: a row in the caller's transaction, run at least once, ended exactly once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol
from uuid import uuid4

import structlog
from sqlalchemy import CursorResult, event, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.kernel.errors import Conflict, NotFound, RefiError, TooMany
from backend.kit.db import Database, insert_once
from backend.kit.models import Job

log = structlog.get_logger("jobs")

State = Literal["queued", "running", "done", "failed", "cancelled"]
HEARTBEAT = timedelta(seconds=1)
# A runner that has not been heard of for this long is dead, and its job is taken over.
LEASE = timedelta(seconds=10)
MAX_ATTEMPTS = 5
MAX_OPEN = 8


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as its owner sees it; progress runs from 0 to 1."""

    id: str
    name: str
    account_id: int | None
    state: State
    progress: float
    result: Mapping[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that is not over; running: somebody is at it who was heard of lately."""

    id: str
    running: bool
    payload: Mapping[str, Any]


class JobContext:
    """What a handler gets: the payload, and ways to report and to notice that it is no longer wanted.

    A handler may run twice after a crash: its effects need a key of their own, such as `job_id`.
    """

    def __init__(self, database: Database, job_id: str, payload: Mapping[str, Any], attempt: int) -> None:
        self.job_id = job_id
        self.payload = payload
        self.attempt = attempt
        self._database = database
        self._cancelled = False

    async def report(self, progress: float) -> None:
        """Store how far the work is, from 0 to 1."""
        await self._update(progress=min(max(progress, 0.0), 1.0))

    async def beat(self) -> None:
        """Say that the runner lives."""
        await self._update()

    async def cancelled(self) -> bool:
        """Return whether somebody cancelled the job or another runner took it over."""
        if not self._cancelled:
            async with self._database.reading() as session:
                job = await session.get(Job, self.job_id)
                self._cancelled = job is None or job.state != "running" or job.attempts != self.attempt
        return self._cancelled

    async def _update(self, **values: float) -> None:
        async with self._database.transaction() as session:
            await session.execute(
                update(Job)
                .where(Job.id == self.job_id, Job.attempts == self.attempt, Job.state == "running")
                .values(heartbeat_at=_now(), **values)
            )


Handler = Callable[[JobContext], Awaitable[dict[str, Any]]]
Handlers = Mapping[str, Handler]
Chore = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class WorkerRuntime:
    """What a worker needs: the database and the handlers by name.

    `lease` is how long a silent runner keeps its job; `chores` are done again and again, in order.
    """

    database: Database
    handlers: Handlers
    lease: timedelta = LEASE
    chores: Sequence[Chore] = ()


class Jobs(Protocol):
    """Takes background work."""

    async def enqueue(
        self,
        session: AsyncSession,
        name: str,
        payload: Mapping[str, Any],
        *,
        key: str | None = None,
        account_id: int | None = None,
    ) -> str:
        """Queue a job in the session's transaction and return its id; a known key returns the job that has it."""
        ...

    async def run(self) -> None:
        """Keep queued work moving until cancelled."""
        ...


class JobBoard:
    """Looks at jobs and cancels them."""

    async def view(self, session: AsyncSession, job_id: str, account_id: int | None = None) -> JobView:
        """Return a job; raise NotFound when it belongs to another account than the one given."""
        job = await session.get(Job, job_id)
        if job is None or (account_id is not None and job.account_id != account_id):
            raise NotFound("no such job")
        return view_of(job)

    async def cancel(self, session: AsyncSession, job_id: str, account_id: int | None = None) -> JobView:
        """Cancel a job that is not over; raise Conflict when it is."""
        job = await session.get(Job, job_id, with_for_update=True)
        if job is None or (account_id is not None and job.account_id != account_id):
            raise NotFound("no such job")
        if job.state not in {"queued", "running"}:
            raise Conflict(f"the job is {job.state}")
        job.state, job.finished_at = "cancelled", _now()
        await session.flush()
        return view_of(job)


async def add_job(
    session: AsyncSession, name: str, payload: Mapping[str, Any], key: str | None, account_id: int | None
) -> str:
    """Insert a queued job; a known key returns the job that has it.

    Raises TooMany when the account then has more than MAX_OPEN jobs that are not over: the others' must not wait.
    """
    values = {
        "id": uuid4().hex,
        "name": name,
        "payload": dict(payload),
        "key": key,
        "account_id": account_id,
        "state": "queued",
        "progress": 0.0,
        "attempts": 0,
        "queued_at": _now(),
    }
    added: str | None = await session.scalar(insert_once(session, Job).values(**values).returning(Job.id))
    if added is not None:
        await _require_room(session, account_id)
        return added
    known = await session.scalar(select(Job.id).where(Job.key == key))
    if known is None:
        raise Conflict("the job is being queued; try again")
    return known


async def _require_room(session: AsyncSession, account_id: int | None) -> None:
    if account_id is None:
        return
    still_open = (Job.account_id == account_id) & Job.state.in_(("queued", "running"))
    if (await session.scalar(select(func.count()).select_from(Job).where(still_open)) or 0) > MAX_OPEN:
        raise TooMany(f"{MAX_OPEN} of your jobs are not over yet")


def after_commit(session: AsyncSession, action: Callable[[], None]) -> None:
    """Call once the session's transaction is durable; never when it is rolled back."""
    actions = [action]

    def committed(whole: Session) -> None:
        # A savepoint's release announces itself the same way.
        if actions and not whole.in_nested_transaction():
            actions.pop()()

    event.listen(session.sync_session, "after_commit", committed)


async def waiting_jobs(
    database: Database, *, older_than: timedelta = timedelta(0), lease: timedelta = LEASE, limit: int = 100
) -> list[str]:
    """Return the ids of jobs that nobody runs, oldest first: queued ones, and those whose runner is silent."""
    now = _now()
    async with database.reading() as session:
        query = (
            select(Job.id)
            .where(
                or_(
                    (Job.state == "queued") & (Job.queued_at <= now - older_than),
                    (Job.state == "running") & (Job.heartbeat_at < now - lease),
                )
            )
            .order_by(Job.queued_at, Job.id)
            .limit(limit)
        )
        return list((await session.scalars(query)).all())


async def open_jobs(session: AsyncSession, name: str, field: str, value: str) -> Sequence[OpenJob]:
    """Return the jobs of a name that are not over and whose payload says this of a field."""
    about = Job.payload[field].as_string() == value
    query = select(Job).where(Job.name == name, Job.state.in_(("queued", "running")), about)
    silent = _now() - LEASE
    return [
        OpenJob(
            job.id, job.state == "running" and job.heartbeat_at is not None and job.heartbeat_at >= silent, job.payload
        )
        for job in await session.scalars(query)
    ]


async def ends_of(session: AsyncSession, keys: Sequence[str]) -> Sequence[datetime | None]:
    """Return when the jobs ended that were queued under these keys, None for each that is not over."""
    return list((await session.scalars(select(Job.finished_at).where(Job.key.in_(keys)))).all())


async def run_job(database: Database, handlers: Handlers, job_id: str, lease: timedelta = LEASE) -> bool:
    """Run a job if nobody else does; False when it is in living hands and may have to be asked for again."""
    job = await _claim(database, job_id, lease)
    if job is None:
        async with database.reading() as session:
            known = await session.get(Job, job_id)
        return known is None or known.state != "running"
    context = JobContext(database, job.id, job.payload, job.attempts)
    handler = handlers.get(job.name)
    if handler is None or job.attempts > MAX_ATTEMPTS:
        reason = "no handler for this job" if handler is None else f"gave up after {MAX_ATTEMPTS} attempts"
        await _finish(database, context, "failed", error=reason)
        return True
    work = asyncio.ensure_future(handler(context))
    beat = asyncio.create_task(_keep_alive(context, work))
    try:
        await asyncio.wait([work])
    finally:
        # Reached with work undone only when the runner itself is stopped: the job is queued again.
        beat.cancel()
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await _requeue(database, context)
        await asyncio.gather(beat, return_exceptions=True)
    await _settle(database, context, work)
    return True


class EmbeddedJobs:
    """Runs jobs in this process, a few at a time; what a crash interrupts is run again at the next start."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        parallel: int = 2,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._parallel = parallel
        self._poll = poll
        self._wake = asyncio.Event()
        self._active: dict[str, asyncio.Task[bool]] = {}

    async def enqueue(
        self,
        session: AsyncSession,
        name: str,
        payload: Mapping[str, Any],
        *,
        key: str | None = None,
        account_id: int | None = None,
    ) -> str:
        """Queue a job; it starts as soon as the transaction is durable."""
        job_id = await add_job(session, name, payload, key, account_id)
        after_commit(session, self._wake.set)
        return job_id

    async def run(self) -> None:
        """Start queued jobs until cancelled; running ones are then stopped and run again later."""
        try:
            while True:
                self._wake.clear()
                await self._start_waiting()
                # Not wait_for: Python 3.11's loses a cancellation that meets the wake-up.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll.total_seconds()):
                        await self._wake.wait()
        finally:
            for task in self._active.values():
                task.cancel()
            await asyncio.gather(*self._active.values(), return_exceptions=True)

    async def _start_waiting(self) -> None:
        free = self._parallel - len(self._active)
        if free <= 0:
            return
        for job_id in await waiting_jobs(self._database, limit=self._parallel * 2):
            if job_id in self._active or len(self._active) >= self._parallel:
                continue
            task = asyncio.create_task(run_job(self._database, self._handlers, job_id))
            self._active[job_id] = task
            task.add_done_callback(partial(self._ended, job_id))

    def _ended(self, job_id: str, task: asyncio.Task[bool]) -> None:
        del self._active[job_id]
        # Retrieved here so that the loop does not complain; run_job has logged it.
        if not task.cancelled():
            task.exception()
        self._wake.set()


def view_of(job: Job) -> JobView:
    """Return what an owner may see of a job."""
    state: State = job.state  # type: ignore[assignment]
    return JobView(job.id, job.name, job.account_id, state, job.progress, job.result, job.error)


async def _claim(database: Database, job_id: str, lease: timedelta) -> Job | None:
    now = _now()
    free = or_(Job.state == "queued", (Job.state == "running") & (Job.heartbeat_at < now - lease))
    async with database.transaction() as session:
        result = await session.execute(
            update(Job)
            .where(Job.id == job_id, free)
            .values(state="running", attempts=Job.attempts + 1, heartbeat_at=now)
        )
        claimed = isinstance(result, CursorResult) and result.rowcount == 1
        return await session.get(Job, job_id) if claimed else None


async def _settle(database: Database, context: JobContext, work: "asyncio.Future[dict[str, Any]]") -> None:
    if work.cancelled():
        await _finish(database, context, "cancelled")
        return
    error = work.exception()
    if error is None:
        await _finish(database, context, "done", result=work.result())
    elif isinstance(error, RefiError):
        await _finish(database, context, "failed", error=error.detail)
    else:
        # The fault's own text stays in the log: it may hold what the job's owner must not see.
        log.error("job.fault", job_id=context.job_id, exc_info=error)
        await _finish(database, context, "failed", error="an internal fault")


async def _requeue(database: Database, context: JobContext) -> None:
    async with database.transaction() as session:
        await session.execute(
            update(Job)
            .where(Job.id == context.job_id, Job.attempts == context.attempt, Job.state == "running")
            .values(state="queued")
        )


async def _finish(
    database: Database,
    context: JobContext,
    state: State,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    values: dict[str, Any] = {"state": state, "result": result, "error": error, "finished_at": _now()}
    if state == "done":
        values["progress"] = 1.0
    async with database.transaction() as session:
        await session.execute(
            update(Job)
            .where(Job.id == context.job_id, Job.attempts == context.attempt, Job.state == "running")
            .values(**values)
        )


async def _keep_alive(
    context: JobContext, work: "asyncio.Future[dict[str, Any]]", every: timedelta = HEARTBEAT
) -> None:
    while not work.done():
        await asyncio.sleep(every.total_seconds())
        # A beat that a busy database swallows must not be the last one: another runner would take the job over.
        with suppress(DBAPIError, RefiError, OSError):
            if await context.cancelled():
                work.cancel()
                return
            await context.beat()


def _now() -> datetime:
    return datetime.now(UTC)
