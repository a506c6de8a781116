"""The HTTP application on a built platform, with its background tasks."""

import asyncio
from functools import partial

import structlog
from fastapi import FastAPI
from sqlalchemy import text

from backend.api.app import create_app
from backend.artifacts.service import ArtifactService
from backend.bootstrap import Platform, build, require_var_policy
from backend.execution.service import Rebates
from backend.governance.service import ModelService
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kit.logging import configure_logging
from backend.migrations import upgrade
from backend.onboarding.service import OnboardingJob
from backend.proofs.service import AttestingJob, ClosingJob
from backend.screening.service import ScreeningSweep
from backend.settings import Settings
from backend.transparency.service import LogBundles

log = structlog.get_logger("api")

# How long it takes to notice that the VaR policy that the settings describe was defined on chain.
VAR_POLICY_SECONDS = 60
# How long a vote or a revocation on chain may go unrecorded.
GOVERNANCE_SECONDS = 15


def application(settings: Settings) -> FastAPI:
    """Return the HTTP application on an up-to-date database, with its background tasks."""
    configure_logging(settings.log_level)
    upgrade(settings.database)
    platform = build(settings)
    artifacts: ArtifactService = platform.service(ArtifactService)
    bundles: LogBundles = platform.service(LogBundles)
    closing: ClosingJob = platform.service(ClosingJob)
    rebates: Rebates = platform.service(Rebates)
    onboarding: OnboardingJob = platform.service(OnboardingJob)
    sweep: ScreeningSweep = platform.service(ScreeningSweep)
    attesting: AttestingJob = platform.service(AttestingJob)

    async def sequence() -> None:
        await platform.load()
        await platform.sequencer.run(asyncio.Event())

    async def catch_up_pins() -> None:
        await artifacts.run(platform.database)

    async def follow_the_dao() -> None:
        models: ModelService = platform.service(ModelService)
        while True:
            await models.follow(platform.database)
            await asyncio.sleep(GOVERNANCE_SECONDS)

    async def database_answers() -> None:
        async with platform.database.reading() as session:
            await session.execute(text("SELECT 1"))

    async def chain_answers() -> None:
        if await platform.outside.chain.chain_id() != settings.chain_id:
            raise Unavailable("the chain has another id than REFI_CHAIN_ID")

    return create_app(
        platform.services,
        tasks={
            "sequencer": sequence,
            "jobs": platform.jobs.run,
            "pins": catch_up_pins,
            "bundles": bundles.run,
            "epochs": closing.run,
            "onboarding": onboarding.run,
            "rebates": rebates.run,
            "screening": sweep.run_forever,
            **({"attestations": attesting.run} if settings.attest == "closed" else {}),
            "governance": follow_the_dao,
            "var policy": partial(_insist_on_the_var_policy, platform),
        },
        checks={"database": database_answers, "chain": chain_answers},
        closers=platform.closers,
    )


async def _insist_on_the_var_policy(platform: Platform) -> None:
    # Nothing can be attested meanwhile, and orders are judged by limits that the chain does not know.
    while True:
        try:
            await require_var_policy(platform)
        except (Conflict, NotFound) as mismatch:
            log.critical("var.policy_mismatch", reason=mismatch.detail)
        except Unavailable as down:
            log.warning("var.policy_unknown", reason=down.detail)
        else:
            return
        await asyncio.sleep(VAR_POLICY_SECONDS)
