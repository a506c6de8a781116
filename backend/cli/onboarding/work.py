"""What the verbs of onboarding do on the deployment."""

from dataclasses import asdict
from typing import Any

import structlog

from backend.accounts.types import Caller
from backend.cli.halts import OPERATOR
from backend.cli.session import with_platform
from backend.kernel.errors import RefiError
from backend.kit.pagination import PageRequest
from backend.onboarding.service import Onboarding, OnboardingJob
from backend.onboarding.types import Case, Reason, Verdict

log = structlog.get_logger(__name__)


def queued() -> list[dict[str, Any]]:
    """Return every case that waits, newest first."""

    async def work(platform: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        before: int | None = None
        async with platform.database.reading() as session:
            while True:
                page = await platform.service(Onboarding).queue(session, PageRequest(200, before))
                found += [shown(case) for case in page.items]
                if (before := page.next_before) is None:
                    return found

    return with_platform(work)


def viewed(case_id: int) -> dict[str, Any]:
    """Return one case."""

    async def work(platform: Any) -> dict[str, Any]:
        async with platform.database.reading() as session:
            return shown(await platform.service(Onboarding).view(session, case_id))

    return with_platform(work)


def disclosed(case_id: int) -> dict[str, Any]:
    """Return who a case's applicant is."""

    async def work(platform: Any) -> dict[str, Any]:
        async with platform.database.transaction() as session:
            personal = await platform.service(Onboarding).disclose(session, OPERATOR, case_id)
        told = asdict(personal)
        told.pop("redirect_url")
        return told

    return with_platform(work)


def decided(case_id: int, verdict: Verdict, reason: Reason, by: Caller = OPERATOR) -> dict[str, Any]:
    """Decide on a case and carry it out; what the chain does not take now follows later."""

    async def work(platform: Any) -> dict[str, Any]:
        job: OnboardingJob = platform.service(OnboardingJob)
        cases: Onboarding = platform.service(Onboarding)
        if verdict is Verdict.APPROVE:
            await job.look_again(case_id)
        async with platform.database.transaction() as session:
            await cases.decide(session, by, case_id, verdict, reason)
        try:
            await job.carry_out(case_id)
        except RefiError as fault:
            # The decision is committed.
            log.warning("onboarding.put_off", case_id=case_id, reason=fault.code)
        async with platform.database.reading() as session:
            return shown(await cases.view(session, case_id))

    return with_platform(work)


def carried() -> list[int]:
    """Do what is due."""

    async def work(platform: Any) -> list[int]:
        return list(await platform.service(OnboardingJob).run_once())

    return with_platform(work)


def resealed() -> int:
    """Seal everybody anew with the newest key; return how many were sealed with another."""

    async def work(platform: Any) -> int:
        count = 0
        after: int | None = 0
        while after is not None:
            async with platform.database.transaction() as session:
                done, after = await platform.service(Onboarding).reseal(session, after)
            count += done
        return count

    return with_platform(work)


def shown(case: Case) -> dict[str, Any]:
    """Return a case for JSON."""
    return asdict(case)
