"""What the worker runs for onboarding."""

from collections.abc import Mapping
from typing import Any

from backend.kit.queue import Handler, JobContext
from backend.onboarding.service import CARRY_JOB, OnboardingJob


def handlers(job: OnboardingJob) -> Mapping[str, Handler]:
    """Return the jobs of this domain by name."""

    async def handle(context: JobContext) -> dict[str, Any]:
        await job.carry_out(int(context.payload["case_id"]))
        return {}

    return {CARRY_JOB: handle}
