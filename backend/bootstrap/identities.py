"""Onboarding put together: who looks at people, where what is known of them is sealed, and the job."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service.erasure import Forget
from backend.audit.types import Erasing
from backend.bootstrap.adapters import Outside
from backend.compliance.service import CapService, CredentialService
from backend.kernel.canonical import parse_time
from backend.kit.db import Database
from backend.kit.queue import Handler, Jobs
from backend.onboarding.engine.sealing import KEY_BYTES, SealingKeys
from backend.onboarding.service import Onboarding, OnboardingJob, Organisations
from backend.onboarding.service.ledger import CaseLedger
from backend.onboarding.tasks import handlers as onboarding_handlers
from backend.onboarding.types import SubjectScreening, Terms
from backend.ports.identity_provider import IdentityProvider
from backend.ports.journal import Journal
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Identities:
    """The services of onboarding and the adapter to close."""

    credentials: CredentialService
    cases: Onboarding
    organisations: Organisations
    job: OnboardingJob
    provider: IdentityProvider

    def services(self) -> Sequence[object]:
        """Return what endpoints and verbs ask for."""
        return self.credentials, self.cases, self.organisations, self.job


def make_identity_provider(settings: Settings) -> IdentityProvider:
    """Return who looks at people and organisations."""
    match settings.identity_provider:
        case "reviewer":
            from backend.adapters.identity_provider.reviewer import ReviewerProvider

            return ReviewerProvider()
        case "webhook":
            from backend.adapters.identity_provider.webhook import WebhookProvider

            secrets = settings.identity_provider_secrets.get_secret_value()
            return WebhookProvider(
                settings.identity_provider_url,
                settings.identity_provider_api_key.get_secret_value(),
                [secret.strip() for secret in secrets.split(",") if secret.strip()],
            )
        case _:
            assert_never(settings.identity_provider)


def sealing_keys(settings: Settings) -> SealingKeys:
    """Return the keys that applicants are sealed with; without a configured one a local one is made once and kept."""
    given = settings.onboarding_key.get_secret_value()
    return SealingKeys.parsed(given or _kept_key(settings.state_dir / "onboarding_key"))


def identities(
    settings: Settings,
    outside: Outside,
    database: Database,
    journal: Journal,
    jobs: Jobs,
    handlers: dict[str, Handler],
    screening: SubjectScreening,
) -> Identities:
    """Return onboarding put together; its jobs are added to the handlers."""
    terms = Terms(settings.credential_lifetime, settings.renewal_notice, settings.organisations_need_two)
    clock, provider, keys = outside.clock, make_identity_provider(settings), sealing_keys(settings)
    ledger = CaseLedger(journal, clock, jobs, terms, screening)
    credentials = CredentialService(outside.chain, journal, CapService(outside.chain).open, screening.names)
    job = OnboardingJob(database, ledger, provider, screening, credentials, keys, clock, terms)
    handlers |= onboarding_handlers(job)
    return Identities(
        credentials,
        Onboarding(ledger, provider, keys, journal, clock, outside.limiter, terms),
        Organisations(ledger),
        job,
        provider,
    )


def forgetting(cases: Onboarding) -> Forget:
    """Return what an erasure of an account's records takes with it: its cases that had ended by then."""

    async def forget(session: AsyncSession, erasing: Erasing) -> None:
        last = max(parse_time(record["ts_event"]) for record in erasing.records)
        await cases.forget(session, erasing.account, last)

    return forget


def _kept_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.urlsafe_b64encode(os.urandom(KEY_BYTES)))
    return path.read_text()
