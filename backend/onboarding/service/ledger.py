"""How a case moves: state, record and what is to be done outside, in one transaction."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.queue import Jobs
from backend.onboarding import repository
from backend.onboarding.engine.states import OVER, act_of, after
from backend.onboarding.models import OnboardingCase
from backend.onboarding.types import Act, Case, CaseState, Reason, Screened, Standing, SubjectScreening, Terms
from backend.ports.clock import Clock
from backend.ports.identity_provider import CaseKind, Finding
from backend.ports.journal import Journal
from backend.ports.screening import Outcome

POLICY = "onboarding:1"
CARRY_JOB = "onboarding.carry"


class CaseLedger:
    """Moves cases; what must be asked of chain or provider is queued in the transaction and done after it."""

    def __init__(self, journal: Journal, clock: Clock, jobs: Jobs, terms: Terms, screening: SubjectScreening) -> None:
        self._journal = journal
        self._clock = clock
        self._jobs = jobs
        self._terms = terms
        self._screening = screening

    async def move(self, session: AsyncSession, row: OnboardingCase, act: Act, actor: str, reason: str = "") -> None:
        """Move a locked case and record it; Conflict names an act that its state does not allow."""
        row.state = state = after(CaseState(row.state), act)
        row.reason = reason
        if state is not CaseState.APPROVED and row.standing == Standing.DUE:
            # What is not on chain yet is not put there any more; what may stand there all the same is taken.
            row.standing = Standing.LEAVING.value
        match state:
            case CaseState.APPROVED:
                self._approve(row)
            case CaseState.REJECTED | CaseState.WITHDRAWN | CaseState.EXPIRED:
                self._end(row, over=state in OVER)
                await self._screening.forget(session, row.id)
            case _:
                pass
        await session.flush()
        await self.record(session, row, f"onboarding.{state}", actor)
        if state in {CaseState.STARTED, CaseState.APPROVED, *OVER} or row.standing == Standing.LEAVING:
            await self.carry_soon(session, row)

    async def find(self, session: AsyncSession, row: OnboardingCase, finding: Finding, actor: str) -> None:
        """Take a provider's newest finding up, and move the case if it does."""
        row.finding = finding.value
        screening = Outcome(row.screening) if row.screening else None
        act = act_of(CaseState(row.state), CaseKind(row.kind), finding, screening)
        if act is not None:
            verified = Reason.DOCUMENTS_VERIFIED if act is Act.ACCEPT else ""
            await self.move(session, row, act, actor, verified)

    async def screened(
        self, session: AsyncSession, row: OnboardingCase, screened: Screened, lists: str, actor: str
    ) -> None:
        """Take a screening up: what an approved case's lists now say puts it before a person, a block suspends it."""
        changed = (row.screening, row.screening_reference) != (screened.outcome.value, screened.reference)
        row.screening, row.screening_reference = screened.outcome.value, screened.reference
        row.screened_lists = lists
        if screened.outcome is Outcome.BLOCKED and row.standing in {Standing.DUE, Standing.ISSUED}:
            # Not a decision, a stop: the credentials come back with an approval.
            row.standing = Standing.LEAVING.value
            await self.carry_soon(session, row)
        if screened.outcome is not Outcome.CLEAR and row.state == CaseState.APPROVED:
            await self.move(session, row, Act.REFER, actor, Reason.SANCTIONS_HIT)
        elif changed and row.state != CaseState.STARTED:
            await self.record(session, row, "onboarding.screened", actor)
        await session.flush()

    async def record(self, session: AsyncSession, row: OnboardingCase, event: str, actor: str) -> None:
        """Record what a case is now on its account's chain; nothing of who the applicant is."""
        fields: dict[str, Any] = {
            "case_id": row.id,
            "kind": row.kind,
            "state": row.state,
            "round": row.round,
            "provider": row.provider,
            "reference_sha256": row.reference_sha256 or "",
            "finding": row.finding,
            "screening": row.screening,
            "screening_reference": row.screening_reference,
            "reason": row.reason,
            "expires_at": "" if row.expires_at is None else row.expires_at.isoformat(),
        }
        await self._journal.record(session, row.account, event, fields, actor=actor, policy=POLICY)

    async def record_member(
        self, session: AsyncSession, row: OnboardingCase, event: str, address: str, actor: str
    ) -> None:
        """Record what becomes of an organisation's further wallet, on the organisation's chain."""
        fields = {"case_id": row.id, "subject": address}
        await self._journal.record(session, row.account, event, fields, actor=actor, policy=POLICY)

    async def erase_ended(self, session: AsyncSession, account: str, until: datetime) -> None:
        """Let go of what an account's cases that ended up to a business time still hold, their screenings too.

        What is open or approved stays, and so does a block. The bare rows say that there was a case, and how it ended.
        """
        for row in await repository.ended_cases(session, account, until):
            row.sealed, row.review_key, row.reference_sha256, row.first_approval_by = b"", "", None, ""
            await repository.forget_webhooks(session, row.id)
            await self._screening.erase(session, row.id)
        await session.flush()

    async def carry_soon(self, session: AsyncSession, row: OnboardingCase) -> None:
        """Queue what chain or provider are to be asked; where the queue forgets it the round of the job does it."""
        row.retry_at = None
        key = f"onboarding/{row.id}/{row.round}/{row.state}/{row.standing}"
        await self._jobs.enqueue(session, CARRY_JOB, {"case_id": row.id}, key=key)

    def _approve(self, row: OnboardingCase) -> None:
        now = self._clock.business()
        row.decided_at, row.expires_at = now, now + self._terms.lifetime
        row.standing, row.renewal_due, row.first_approval_by = Standing.DUE.value, False, ""
        # Fixed before anything is sent: a second try asks for the same identity.
        row.ccid = row.ccid or "0x" + secrets.token_bytes(32).hex()

    def _end(self, row: OnboardingCase, *, over: bool) -> None:
        row.sealed, row.renewal_due, row.first_approval_by = b"", False, ""
        if over:
            row.open_for, row.decided_at = None, self._clock.business()
        # What expired has ended on chain by itself.
        if over and row.standing == Standing.ISSUED:
            row.standing = Standing.LEAVING.value


def case_of(row: OnboardingCase) -> Case:
    """Return a case as a value."""
    return Case(
        id=row.id,
        address=row.address,
        kind=CaseKind(row.kind),
        state=CaseState(row.state),
        round=row.round,
        provider=row.provider,
        reference_sha256=row.reference_sha256 or "",
        finding=Finding(row.finding) if row.finding else None,
        screening=Outcome(row.screening) if row.screening else None,
        reason=row.reason,
        issued=row.standing == Standing.ISSUED,
        renewal_due=row.renewal_due,
        seconded=bool(row.first_approval_by),
        opened_at=row.opened_at,
        decided_at=row.decided_at,
        expires_at=row.expires_at,
    )


def is_due(row: OnboardingCase, now: datetime, terms: Terms) -> bool:
    """Return whether an approved case's renewal is due."""
    return row.expires_at is not None and row.expires_at <= now + terms.notice
