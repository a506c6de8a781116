"""A job's result is its owner's; operators see how far it is."""

import pytest
from sqlalchemy import update

from backend.accounts.types import Caller, Role
from backend.api.jobs import get_job
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import JobBoard, add_job


def caller(account_id: int, *roles: Role) -> Caller:
    return Caller(account_id, f"0x{account_id:040x}", f"{account_id:043d}", frozenset({Role.TRADER, *roles}))


async def test_a_result_is_shown_to_its_owner_only(database: Database) -> None:
    async with database.transaction() as session:
        job_id = await add_job(session, "proofs.attest", {}, None, 7)
        await session.execute(update(Job).values(state="done", result={"value": "1234.5"}))
    async with database.reading() as session:
        own = await get_job(job_id, JobBoard(), session, caller(7))
        seen = await get_job(job_id, JobBoard(), session, caller(8, Role.ADMIN))
        with pytest.raises(NotFound):
            await get_job(job_id, JobBoard(), session, caller(9, Role.REGULATOR))
    assert own.result == {"value": "1234.5"}
    assert (seen.state, seen.result) == ("done", None)
