"""Screening put together: who compares, what follows from a block, and how onboarding asks."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncSession

from backend.bootstrap.adapters import Outside
from backend.bootstrap.identities import Identities, identities, sealing_keys
from backend.compliance.service import CredentialService
from backend.compliance.types import CredentialType
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.kit.queue import Handler, Jobs
from backend.onboarding.service import OnboardingJob, Organisations
from backend.onboarding.types import Screened
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import Outcome, Screening, ScreeningResult, ScreeningSubject
from backend.screening.engine import Fingerprints
from backend.screening.service import (
    AccountWallets,
    ScreeningLists,
    ScreeningReviews,
    ScreeningService,
    ScreeningSweep,
    WalletBlocks,
)
from backend.screening.service.blocking import OnBlock, OnSettled
from backend.screening.service.forgetting import erase, forget
from backend.screening.tasks import handlers as screening_handlers
from backend.settings import Settings

CASE = "case:"
# What the sealing keys are turned into: they themselves only seal.
FINGERPRINT = "refi/screening/fingerprint/v1"


class CaseScreening:
    """Screens onboarding's cases; a case is known here by its number only."""

    def __init__(self, screening: ScreeningService) -> None:
        self._screening = screening

    async def names(self, wallet: str) -> bool:
        """Return whether a list in force names a wallet; where none is in force none does."""
        return await self._screening.names(wallet)

    async def screen(self, case_id: int, subject: ScreeningSubject) -> Screened:
        """Return what is found now; Unavailable where no list is in force."""
        result = await self._screening.screen(f"{CASE}{case_id}", subject)
        return Screened(result.decided, named(result))

    async def forget(self, session: AsyncSession, case_id: int) -> None:
        """Let go of what tells who a case's subject was."""
        await forget(session, f"{CASE}{case_id}")

    async def erase(self, session: AsyncSession, case_id: int) -> None:
        """Delete what is kept of a case's screening, all but what blocks."""
        await erase(session, f"{CASE}{case_id}")

    async def lists(self) -> str:
        """Return the hash of the lists in force."""
        return await self._screening.lists_key()


@dataclass(frozen=True, slots=True)
class Screenings:
    """The services of screening, and how onboarding asks."""

    lists: ScreeningLists
    screening: ScreeningService
    reviews: ScreeningReviews
    sweep: ScreeningSweep
    blocks: WalletBlocks
    cases: CaseScreening

    def services(self) -> Sequence[object]:
        """Return what endpoints and verbs ask for."""
        return self.lists, self.screening, self.reviews, self.sweep, self.blocks


def people(
    settings: Settings,
    outside: Outside,
    database: Database,
    journal: Journal,
    jobs: Jobs,
    handlers: dict[str, Handler],
) -> tuple[Screenings, Identities]:
    """Return screening and onboarding put together: each hears of the other's decisions."""
    made = screenings(settings, outside, database, journal, handlers)
    onboarding = identities(settings, outside, database, journal, jobs, handlers, made.cases)
    made.blocks.on_settled.append(looking_again(onboarding.job))
    return made, onboarding


def make_screening(settings: Settings) -> Screening:
    """Return who compares subjects with lists."""
    match settings.screening:
        case "list_files":
            from backend.adapters.screening.list_files import ListFiles

            return ListFiles(settings.state_dir / "screening", threshold=settings.screening_threshold)
        case _:
            assert_never(settings.screening)


def screenings(
    settings: Settings, outside: Outside, database: Database, journal: Journal, handlers: dict[str, Handler]
) -> Screenings:
    """Return screening put together; its jobs are added to the handlers."""
    adapter, clock = make_screening(settings), outside.clock
    lists = ScreeningLists(database, adapter, journal, clock, settings.screening_max_age)
    fingerprints = Fingerprints(sealing_keys(settings).derived(FINGERPRINT))
    screening = ScreeningService(database, adapter, lists, journal, clock, fingerprints)
    blocks = WalletBlocks(
        database, outside.chain, journal, [revoking(database, CredentialService(outside.chain, journal))]
    )
    sweep = ScreeningSweep(database, lists, screening, [AccountWallets()], blocks, clock)
    handlers |= screening_handlers(sweep, blocks)
    reviews = ScreeningReviews(journal, clock, of_a_case)
    return Screenings(lists, screening, reviews, sweep, blocks, CaseScreening(screening))


def looking_again(job: OnboardingJob) -> OnSettled:
    """Return what tells a case that a reviewer has decided on its hits."""

    async def hear(reference: str, _outcome: Outcome) -> None:
        if reference.startswith(CASE):
            await job.look_again(int(reference.removeprefix(CASE)))

    return hear


async def of_a_case(session: AsyncSession, reference: str, wallet: str) -> bool:
    """Return whether a wallet is one of the organisation whose case a reference names."""
    if not reference.startswith(CASE):
        return False
    return await Organisations.holds(session, int(reference.removeprefix(CASE)), wallet)


def revoking(database: Database, credentials: CredentialService) -> OnBlock:
    """Return what takes a blocked wallet's credentials off the chain; the rules of orders ask for KYC or KYB."""

    async def take(wallet: str) -> None:
        for kind in (CredentialType.KYC, CredentialType.KYB, CredentialType.AML):
            with suppress(NotFound):
                await credentials.revoke(database, wallet, kind, actor=SYSTEM_ACCOUNT)

    return take


def named(result: ScreeningResult) -> str:
    """Return a hash that names a result in the log: its outcome, the lists' versions and the entries found."""
    told: Mapping[str, object] = {
        "outcome": result.decided.value,
        "lists": sorted([known.name, known.version] for known in result.lists),
        "hits": sorted([hit.list_name, hit.entry_id, hit.content_sha256] for hit in result.hits),
    }
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
