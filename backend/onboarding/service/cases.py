"""A wallet's case from its start to a decision: what its owner, operators and the provider do."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.kernel.errors import Conflict, Forbidden, NotFound, TooMany
from backend.kit.limits import Limiter
from backend.kit.pagination import Page, PageRequest, page_of
from backend.onboarding import repository
from backend.onboarding.engine.sealing import SealingKeys
from backend.onboarding.models import OnboardingCase
from backend.onboarding.service.ledger import CARRY_JOB, CaseLedger, case_of, is_due
from backend.onboarding.types import (
    Act,
    Case,
    CaseState,
    Member,
    MemberState,
    OwnCase,
    Personal,
    Reason,
    Standing,
    Terms,
    Verdict,
)
from backend.ports.clock import Clock
from backend.ports.identity_provider import CaseKind, IdentityProvider, ProviderEvent
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import Outcome

__all__ = ["CARRY_JOB", "Onboarding", "reference_hash"]

log = structlog.get_logger(__name__)

MINUTE = timedelta(minutes=1)
# Stands for no set of lists: the case is screened again.
RESEALED = "resealed"


class Onboarding:
    """Cases; the caller owns the transaction, and nothing outside is asked within it."""

    def __init__(
        self,
        ledger: CaseLedger,
        provider: IdentityProvider,
        keys: SealingKeys,
        journal: Journal,
        clock: Clock,
        limiter: Limiter,
        terms: Terms,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._keys = keys
        self._journal = journal
        self._clock = clock
        self._limiter = limiter
        self._terms = terms

    async def admit(self, purpose: str, client: str, a_minute: int) -> None:
        """Take one of a client's attempts; raise TooMany when they are used up, Unavailable when nobody counts."""
        if not await self._limiter.allow(f"onboarding:{purpose}:{client}", a_minute, MINUTE):
            raise TooMany("too many attempts; wait a minute", retry_after=60)

    async def start(self, session: AsyncSession, caller: Caller, kind: CaseKind, personal: Personal) -> Case:
        """Open a case for the caller's wallet, or a new review of the one whose credentials end."""
        member = await repository.lock_member(session, caller.address)
        # An invitation binds nobody: anybody could send one to keep a wallet out.
        if member is not None and member.state != MemberState.INVITED:
            raise Conflict("this wallet is an organisation's")
        row = await repository.lock_open_case(session, caller.account_id)
        if row is not None:
            await self._renew(session, row, kind, personal, caller)
            return case_of(row)
        row = await repository.add_case(session, **self._fresh(caller, kind))
        if row is None:
            raise Conflict("this wallet's case is being opened; try again")
        row.sealed = self._keys.seal(row.id, personal)
        await session.flush()
        await self._ledger.record(session, row, "onboarding.started", caller.pseudonym)
        await self._ledger.carry_soon(session, row)
        return case_of(row)

    async def own(self, session: AsyncSession, caller: Caller) -> OwnCase:
        """Return the caller's newest case; NotFound when there is none."""
        row = await repository.newest_case(session, caller.account_id)
        if row is None:
            raise NotFound("this wallet has no case")
        waiting = row.state in {CaseState.STARTED, CaseState.PENDING} and row.sealed
        redirect_url = self._keys.open(row.id, row.sealed).redirect_url if waiting else ""
        members = [
            Member(one.address, one.signatory, MemberState(one.state))
            for one in await repository.members_of(session, row.id)
        ]
        return OwnCase(case_of(row), redirect_url, members)

    async def withdraw(self, session: AsyncSession, caller: Caller) -> Case:
        """End the caller's case: what is known of the applicant is erased, what was issued is taken."""
        row = await repository.lock_open_case(session, caller.account_id)
        if row is None:
            raise NotFound("this wallet has no open case")
        await self._ledger.move(session, row, Act.WITHDRAW, caller.pseudonym)
        return case_of(row)

    async def queue(self, session: AsyncSession, request: PageRequest) -> Page[Case]:
        """Return the cases that wait for an operator, newest first."""
        page = page_of(await repository.queue_page(session, request), request, lambda row: row.id)
        return Page(tuple(case_of(row) for row in page.items), page.next_before)

    async def view(self, session: AsyncSession, case_id: int) -> Case:
        """Return a case by its id, nothing of who the applicant is."""
        row = await repository.case_by_id(session, case_id)
        if row is None:
            raise NotFound("no such case")
        return case_of(row)

    async def disclose(self, session: AsyncSession, caller: Caller, case_id: int) -> Personal:
        """Return who the applicant is to an operator who reviews the case; that it was looked at is recorded."""
        row = await self._locked(session, case_id)
        await self._require_another(session, row, caller)
        if not row.sealed:
            raise NotFound("nothing is kept of this applicant")
        personal = self._keys.open(row.id, row.sealed)
        # The account's own chain, too, would tell its owner: whoever is investigated must not learn of it.
        fields = {"case_id": row.id}
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "onboarding.disclosed", fields, actor=caller.pseudonym, policy="onboarding:1"
        )
        return personal

    async def decide(
        self, session: AsyncSession, caller: Caller, case_id: int, verdict: Verdict, reason: Reason
    ) -> Case:
        """Approve or reject a case that waits for it; nobody decides their own."""
        row = await self._locked(session, case_id)
        await self._require_another(session, row, caller)
        if verdict is Verdict.REJECT:
            await self._ledger.move(session, row, Act.REJECT, caller.pseudonym, reason)
            return case_of(row)
        if row.state != CaseState.NEEDS_REVIEW:
            # Says which state it is in.
            await self._ledger.move(session, row, Act.APPROVE, caller.pseudonym, reason)
        _require_clear(row)
        if self._second_needed(row, caller):
            row.first_approval_by = caller.pseudonym
            await session.flush()
            await self._ledger.record(session, row, "onboarding.seconding", caller.pseudonym)
            return case_of(row)
        await self._ledger.move(session, row, Act.APPROVE, caller.pseudonym, reason)
        return case_of(row)

    def verified(self, headers: Mapping[str, str], body: bytes) -> ProviderEvent:
        """Return what a webhook says once its signature is good; the wall clock says whether it is fresh."""
        return self._provider.event(headers, body, self._clock.wall())

    async def hear(self, session: AsyncSession, event: ProviderEvent) -> bool:
        """Take a verified webhook up once; False for one that was heard before or is older than what is known."""
        name, reference = self._provider.name, reference_hash(event.reference)
        row = await repository.lock_case_of_reference(session, name, reference)
        if row is None:
            raise NotFound("no such review")
        if not await repository.hear(session, name, event.event_id, row.id, self._clock.wall()):
            return False
        if row.provider_at is not None and event.occurred_at <= row.provider_at:
            return False
        row.provider_at = event.occurred_at
        await self._ledger.find(session, row, event.finding, f"provider:{name}")
        await session.flush()
        return True

    async def forget(self, session: AsyncSession, account: str, until: datetime) -> None:
        """Let go of what an account's cases that ended up to a business time still hold, their screenings too."""
        await self._ledger.erase_ended(session, account, until)

    async def reseal(self, session: AsyncSession, after: int = 0) -> tuple[int, int | None]:
        """Seal a few cases anew with the newest key; return how many, and the id to go on after (None at the end)."""
        rows = await repository.sealed_cases(session, after)
        old = [row for row in rows if self._keys.outdated(row.sealed)]
        for row in old:
            row.sealed = self._keys.seal(row.id, self._keys.open(row.id, row.sealed))
            # The job's next round screens it again, and what names its subject there is under the newest key.
            row.screened_lists = RESEALED
        await session.flush()
        return len(old), rows[-1].id if rows else None

    async def _renew(
        self, session: AsyncSession, row: OnboardingCase, kind: CaseKind, personal: Personal, caller: Caller
    ) -> None:
        if row.state == CaseState.APPROVED and not is_due(row, self._clock.business(), self._terms):
            raise Conflict("this wallet's case is approved, and its renewal is not due")
        if row.kind != kind:
            raise Conflict(f"this wallet's case is of a kind that stays: {row.kind}")
        # Before the move: its record shows the new round.
        if row.state in {CaseState.APPROVED, CaseState.EXPIRED}:
            row.round += 1
            row.review_key, row.reference_sha256 = secrets.token_hex(16), None
            row.finding, row.screening, row.screening_reference, row.screened_lists = "", "", "", ""
            row.provider_at, row.first_approval_by = None, ""
            row.sealed = self._keys.seal(row.id, personal)
        await self._ledger.move(session, row, Act.RENEW, caller.pseudonym)

    def _fresh(self, caller: Caller, kind: CaseKind) -> Mapping[str, object]:
        return {
            "account_id": caller.account_id,
            "open_for": caller.account_id,
            "account": caller.pseudonym,
            "address": caller.address,
            "kind": kind.value,
            "state": CaseState.STARTED.value,
            "round": 1,
            "provider": self._provider.name,
            "review_key": secrets.token_hex(16),
            "finding": "",
            "screening": "",
            "screening_reference": "",
            "screened_lists": "",
            "sealed": b"",
            "reason": "",
            "first_approval_by": "",
            "renewal_due": False,
            "ccid": "",
            "opened_at": self._clock.business(),
            "standing": Standing.NONE.value,
        }

    async def _locked(self, session: AsyncSession, case_id: int) -> OnboardingCase:
        row = await repository.lock_case(session, case_id)
        if row is None:
            raise NotFound("no such case")
        return row

    async def _require_another(self, session: AsyncSession, row: OnboardingCase, caller: Caller) -> None:
        mine = row.account_id == caller.account_id or row.address == caller.address
        if mine or any(one.address == caller.address for one in await repository.members_of(session, row.id)):
            raise Forbidden("nobody looks at or decides their own case")

    def _second_needed(self, row: OnboardingCase, caller: Caller) -> bool:
        if not self._terms.four_eyes or row.kind != CaseKind.ORGANISATION:
            return False
        if row.first_approval_by == caller.pseudonym:
            raise Conflict("an organisation needs the approval of a second operator")
        return not row.first_approval_by


def reference_hash(reference: str) -> str:
    """Return what stands for a provider's reference: its SHA-256 in hex."""
    return hashlib.sha256(reference.encode()).hexdigest()


def _require_clear(row: OnboardingCase) -> None:
    match row.screening:
        case Outcome.CLEAR:
            return
        case "":
            raise Conflict("this case is not screened yet")
        case _:
            raise Conflict(f"the screening is not clear: {row.screening}")
