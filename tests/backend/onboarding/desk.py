"""Onboarding over a real database, with fakes where the outside begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

from backend.accounts.types import Caller, Role
from backend.compliance.service import CredentialService, type_id
from backend.compliance.types import CredentialType
from backend.kernel.errors import NotFound, Unavailable
from backend.kit.db import Database
from backend.kit.limits import MemoryLimiter
from backend.kit.queue import EmbeddedJobs
from backend.onboarding.engine.sealing import SealingKeys
from backend.onboarding.models import OnboardingCase
from backend.onboarding.service import Onboarding, OnboardingJob, Organisations
from backend.onboarding.service.ledger import CaseLedger
from backend.onboarding.types import Case, Personal, Reason, Screened, Terms, Verdict
from backend.ports.chain import Reverted
from backend.ports.identity_provider import Applicant, CaseKind, Finding, ProviderEvent, StartedReview
from backend.ports.journal import Journal
from backend.ports.screening import Outcome, ScreeningSubject
from tests.fakes import FakeChain, FakeClock, FakeJournal

YEAR = timedelta(days=365)
TERMS = Terms(lifetime=YEAR, notice=timedelta(days=30), four_eyes=True)
NAME = "Wilhelmina Quarterbridge"
KEYS = SealingKeys([b"k" * 32])
NOBODY = bytes(32)


def caller(number: int, *roles: Role) -> Caller:
    """Return an account by its number."""
    return Caller(number, f"0x{number:040x}", f"pseudonym-{number}", frozenset(roles or {Role.TRADER}))


APPLICANT, OTHER, FIRM = caller(1), caller(2), caller(3)
OPERATOR, SECOND = caller(8, Role.OPERATOR), caller(9, Role.OPERATOR)
PERSON = Personal(NAME, date(1980, 5, 17), "NL")
COMPANY = Personal("Quarterbridge Holding", None, "NL")


class Registries:
    """IdentityRegistry and CredentialRegistry with their contracts' refusals."""

    def __init__(self, chain: FakeChain) -> None:
        self.identities: dict[str, bytes] = {}
        self.credentials: dict[tuple[bytes, bytes], tuple[int, bytes]] = {}
        self.sent: list[str] = []
        self.lost: set[str] = set()
        self.silent: set[tuple[bytes, bytes]] = set()
        answers: dict[str, dict[str, Callable[..., Any]]] = {
            "IdentityRegistry": {
                "getIdentity": lambda wallet: self.identities.get(wallet, NOBODY),
                "registerIdentity": self._identify,
                "removeIdentity": self._unidentify,
            },
            "CredentialRegistry": {
                "registerCredential": self._register,
                "renewCredential": self._renew,
                "removeCredential": self._remove,
            },
        }
        for contract, functions in answers.items():
            for function, answer in functions.items():
                chain.answer(contract, function, answer)

    def held(self, wallet: str) -> dict[str, int]:
        """Return a wallet's credentials by name, each with its end."""
        ccid = self.identities.get(wallet, NOBODY)
        ends = {kind: self.credentials.get((ccid, type_id(kind))) for kind in CredentialType}
        return {kind.value: end[0] for kind, end in ends.items() if end is not None}

    def _identify(self, ccid: bytes, wallet: str, _context: bytes) -> None:
        if wallet in self.identities:
            raise Reverted("IdentityAlreadyRegistered", (ccid, wallet))
        self.identities[wallet] = ccid
        self._sent("registerIdentity")

    def _unidentify(self, ccid: bytes, wallet: str, _context: bytes) -> None:
        if self.identities.get(wallet) != ccid:
            raise Reverted("IdentityNotFound", (ccid, wallet))
        del self.identities[wallet]
        self._sent("removeIdentity")

    def _register(self, ccid: bytes, kind: bytes, end: int, data: bytes, _context: bytes) -> None:
        if (ccid, kind) in self.credentials:
            raise Reverted("CredentialAlreadyRegistered", (ccid, kind))
        self.credentials[ccid, kind] = (end, data)
        self._sent("registerCredential")

    def _renew(self, ccid: bytes, kind: bytes, end: int, _context: bytes) -> None:
        self.credentials[ccid, kind] = (end, self.credentials[ccid, kind][1])
        self._sent("renewCredential")

    def _remove(self, ccid: bytes, kind: bytes, _context: bytes) -> None:
        if (ccid, kind) in self.silent:
            raise Unavailable("the RPC does not answer")
        if self.credentials.pop((ccid, kind), None) is None:
            raise Reverted("CredentialNotFound", (ccid, kind))
        self._sent("removeCredential")

    def _sent(self, function: str) -> None:
        self.sent.append(function)
        if function in self.lost:
            # Mined, and the answer never came.
            self.lost.discard(function)
            raise Unavailable("the RPC did not answer")


@dataclass(slots=True)
class FakeProvider:
    """A hosted provider whose findings a test sets."""

    name: str = "webhook"
    finding: Finding = Finding.PENDING
    down: bool = False
    started: list[Applicant] = field(default_factory=list)
    events: dict[bytes, ProviderEvent] = field(default_factory=dict)

    async def start(self, applicant: Applicant) -> StartedReview:
        """Begin a review."""
        if self.down:
            raise Unavailable("the identity provider does not answer")
        self.started.append(applicant)
        return StartedReview(f"ref-{applicant.key}", f"https://id.example/{applicant.key}", self.finding)

    async def status(self, reference: str) -> Finding:
        """Return the finding."""
        del reference
        if self.down:
            raise Unavailable("the identity provider does not answer")
        return self.finding

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Return what a test put there."""
        del headers, now
        if body not in self.events:
            raise NotFound("nothing")
        return self.events[body]

    async def close(self) -> None:
        """Hold nothing."""


@dataclass(slots=True)
class FakeScreening:
    """Lists whose outcome a test sets, by name or for all."""

    outcome: Outcome = Outcome.CLEAR
    version: str = "a" * 64
    down: bool = False
    seen: list[ScreeningSubject] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    forgotten: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)

    async def screen(self, case_id: int, subject: ScreeningSubject) -> Screened:
        """Return the outcome."""
        del case_id
        if self.down:
            raise Unavailable("no list is in force")
        self.seen.append(subject)
        return Screened(self.outcome, sha256(f"{self.outcome}{self.version}".encode()).hexdigest())

    async def forget(self, session: Any, case_id: int) -> None:
        """Remember that it was asked for."""
        del session
        self.forgotten.append(case_id)

    async def erase(self, session: Any, case_id: int) -> None:
        """Remember that it was asked for."""
        del session
        self.erased.append(case_id)

    async def names(self, wallet: str) -> bool:
        """Return whether a test has the wallet named."""
        return wallet in self.named

    async def lists(self) -> str:
        """Return the version."""
        if self.down:
            raise Unavailable("no list is in force")
        return self.version


class Desk:
    """The services, and what happens at them."""

    def __init__(
        self,
        database: Database,
        journal: Journal | None = None,
        provider: Any = None,
        chain: Any = None,
        screening: Any = None,
        keys: SealingKeys = KEYS,
        clock: FakeClock | None = None,
    ) -> None:
        self.database = database
        self.clock = clock or FakeClock()
        self.journal = FakeJournal()
        self.chain = FakeChain()
        self.registries = Registries(self.chain)
        self.provider = provider or FakeProvider()
        self.screening = screening or FakeScreening()
        self.jobs = EmbeddedJobs(database, {})
        told = journal or self.journal
        self.ledger = CaseLedger(told, self.clock, self.jobs, TERMS, self.screening)
        self.cases = Onboarding(self.ledger, self.provider, keys, told, self.clock, MemoryLimiter(), TERMS)
        self.organisations = Organisations(self.ledger)
        credentials = CredentialService(chain or self.chain, told)
        self.job = OnboardingJob(
            database, self.ledger, self.provider, self.screening, credentials, keys, self.clock, TERMS
        )

    async def start(self, who: Caller = APPLICANT, personal: Personal = PERSON) -> int:
        """Open a case, or a new review of it, and have the provider asked."""
        kind = CaseKind.PERSON if personal.birth_date else CaseKind.ORGANISATION
        async with self.database.transaction() as session:
            case = await self.cases.start(session, who, kind, personal)
        await self.job.run_once()
        return case.id

    async def decide(
        self, case_id: int, verdict: Verdict = Verdict.APPROVE, by: Caller = OPERATOR, *, carried: bool = True
    ) -> Case:
        """Decide as an operator; what follows on chain is done unless a test wants to see it undone."""
        reason = Reason.DOCUMENTS_VERIFIED if verdict is Verdict.APPROVE else Reason.DOCUMENTS_INVALID
        if verdict is Verdict.APPROVE:
            await self.job.look_again(case_id)
        async with self.database.transaction() as session:
            case = await self.cases.decide(session, by, case_id, verdict, reason)
        if carried:
            await self.job.run_once()
        return case

    async def withdraw(self, who: Caller = APPLICANT, *, carried: bool = True) -> None:
        """End a case."""
        async with self.database.transaction() as session:
            await self.cases.withdraw(session, who)
        if carried:
            await self.job.run_once()

    async def approved(self, who: Caller = APPLICANT, personal: Personal = PERSON) -> int:
        """Bring a case to its credentials."""
        self.provider.finding = Finding.REFERRED
        case_id = await self.start(who, personal)
        await self.decide(case_id)
        if personal.birth_date is None:
            await self.decide(case_id, by=SECOND)
        return case_id

    async def hear(self, event_id: str, case_id: int, finding: Finding, minutes: float = 0) -> bool:
        """Hear a webhook about a case's present review, made some minutes from now."""
        reference = KEYS.open(case_id, (await self.row(case_id)).sealed).reference
        event = ProviderEvent(event_id, reference, finding, self.clock.wall() + timedelta(minutes=minutes))
        async with self.database.transaction() as session:
            return await self.cases.hear(session, event)

    async def case(self, case_id: int) -> Case:
        """Return a case."""
        async with self.database.reading() as session:
            return await self.cases.view(session, case_id)

    async def row(self, case_id: int) -> OnboardingCase:
        """Return a case's row."""
        async with self.database.reading() as session:
            row = await session.get(OnboardingCase, case_id)
        assert row is not None
        return row
