"""Routes of background jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from backend.accounts.endpoints import SignedIn
from backend.accounts.types import Caller, Role
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.queue import JobBoard, JobView, State
from backend.ports.journal import Journal

router = APIRouter(tags=["jobs"])

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Board = Annotated[JobBoard, Depends(provided(JobBoard))]
Log = Annotated[Journal, Depends(provided(Journal))]
POLICY = "jobs:1"


class JobOut(BaseModel):
    """How far a background job is."""

    id: str
    name: str
    state: State
    progress: float
    result: dict[str, Any] | None
    error: str | None


@router.get("/jobs/{job_id}")
async def get_job(job_id: JobId, board: Board, session: Reading, caller: SignedIn) -> JobOut:
    """Return a job of the caller's."""
    return _out(await board.view(session, job_id, _owner(caller)), caller)


@router.delete("/jobs/{job_id}")
async def cancel_job(job_id: JobId, board: Board, journal: Log, caller: SignedIn, session: Transaction) -> JobOut:
    """Cancel a job of the caller's that is not over."""
    job = await board.cancel(session, job_id, _owner(caller))
    who = caller.pseudonym
    await journal.record(session, who, "job.cancelled", {"job": job.id, "name": job.name}, actor=who, policy=POLICY)
    return _out(job, caller)


def _owner(caller: Caller) -> int | None:
    # Operators see every job: they answer for the queue.
    return None if caller.roles & {Role.OPERATOR, Role.ADMIN} else caller.account_id


def _out(job: JobView, caller: Caller) -> JobOut:
    # What came out is its owner's alone: a VaR is in it.
    result = dict(job.result) if job.result is not None and job.account_id == caller.account_id else None
    return JobOut(id=job.id, name=job.name, state=job.state, progress=job.progress, result=result, error=job.error)
