"""The job that asks provider, screening and chain for what was decided, and watches the ends of credentials."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.service import CredentialService
from backend.compliance.types import CredentialType, IssuedCredential
from backend.kernel.errors import Conflict, NotFound, RefiError
from backend.kit.db import Database
from backend.onboarding import repository
from backend.onboarding.engine.sealing import SealingKeys
from backend.onboarding.engine.states import OVER
from backend.onboarding.models import OnboardingCase
from backend.onboarding.service.cases import reference_hash
from backend.onboarding.service.ledger import CaseLedger, is_due
from backend.onboarding.types import Act, CaseState, MemberState, Personal, Standing, SubjectScreening, Terms
from backend.ports.clock import Clock
from backend.ports.identity_provider import Applicant, CaseKind, Finding, IdentityProvider
from backend.ports.journal import SYSTEM_ACCOUNT
from backend.ports.screening import Outcome, ScreeningSubject, SubjectKind

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=5)
# What failed is asked for again after this, and so is a review of which no webhook came.
PAUSE = timedelta(minutes=1)
GIVES = {
    CaseKind.PERSON: (CredentialType.KYC, CredentialType.AML),
    CaseKind.ORGANISATION: (CredentialType.KYB, CredentialType.AML),
}


class OnboardingJob:
    """Carries out what cases ask for: each step is committed before the next, and asking twice changes nothing.

    No chain, provider or screening is asked within a transaction.
    """

    def __init__(
        self,
        database: Database,
        ledger: CaseLedger,
        provider: IdentityProvider,
        screening: SubjectScreening,
        credentials: CredentialService,
        keys: SealingKeys,
        clock: Clock,
        terms: Terms,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._provider = provider
        self._screening = screening
        self._credentials = credentials
        self._keys = keys
        self._clock = clock
        self._terms = terms
        self._one_at_a_time = asyncio.Lock()

    async def run(self, every: timedelta = EVERY) -> None:
        """Do what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(every.total_seconds())

    async def run_once(self) -> Sequence[int]:
        """Do what is due and return the cases that were looked at; any number of processes may."""
        await self._watch_ends()
        await self._screen_again()
        async with self._database.reading() as session:
            due = await repository.unfinished(session, self._clock.wall())
        for case_id in due:
            try:
                await self.carry_out(case_id)
            except RefiError as fault:
                # The others' turn comes all the same.
                log.warning("onboarding.put_off", case_id=case_id, reason=fault.code)
        return due

    async def carry_out(self, case_id: int) -> None:
        """Do for one case what it asks for; what fails is tried again after a pause."""
        async with self._one_at_a_time:
            try:
                await self._carry_out(case_id)
            except RefiError:
                async with self._database.transaction() as session:
                    row = await repository.lock_case(session, case_id)
                    if row is not None:
                        row.retry_at = self._clock.wall() + PAUSE
                raise

    async def look_again(self, case_id: int) -> None:
        """Screen a case now: lists change, and so does what reviewers said of its hits."""
        row = await self._read(case_id)
        if not row.sealed:
            # Its case ended while its screening was under way.
            await self._forget_again(case_id)
            return
        lists = await self._screening.lists()
        screened = await self._screening.screen(case_id, _subject(row, self._keys.open(case_id, row.sealed)))
        async with self._database.transaction() as session:
            now = await self._locked(session, case_id)
            if (now.round, bool(now.sealed)) == (row.round, True):
                await self._ledger.screened(session, now, screened, lists, SYSTEM_ACCOUNT)
            elif not now.sealed:
                await self._screening.forget(session, case_id)

    async def _forget_again(self, case_id: int) -> None:
        async with self._database.transaction() as session:
            if not (await self._locked(session, case_id)).sealed:
                await self._screening.forget(session, case_id)

    async def _carry_out(self, case_id: int) -> None:
        row = await self._read(case_id)
        if row.standing == Standing.DUE:
            # Decided on what lists said then; what they say now counts, and where none is in force nothing is given.
            await self.look_again(case_id)
            row = await self._read(case_id)
        if row.standing == Standing.LEAVING:
            await self._take(row)
        elif row.standing == Standing.DUE and row.screening == Outcome.CLEAR:
            await self._place(row)
        if row.kind == CaseKind.ORGANISATION:
            await self._settle_members(row)
        match row.state:
            case CaseState.STARTED:
                await self._submit(row)
            case CaseState.PENDING:
                await self._ask(row)
            case _:
                pass

    async def _submit(self, row: OnboardingCase) -> None:
        # Kept before the provider is asked: a block stops a renewal's old credentials whether it answers or not.
        await self.look_again(row.id)
        personal, kind = self._keys.open(row.id, row.sealed), CaseKind(row.kind)
        applicant = Applicant(row.review_key, kind, personal.name, personal.birth_date, personal.country)
        started = await self._provider.start(applicant)
        kept = Personal(personal.name, personal.birth_date, personal.country, started.reference, started.redirect_url)
        actor = f"provider:{self._provider.name}"
        async with self._database.transaction() as session:
            now = await self._locked(session, row.id)
            if (now.state, now.round) != (CaseState.STARTED, row.round):
                return
            now.sealed = self._keys.seal(now.id, kept)
            now.reference_sha256 = reference_hash(started.reference)
            now.retry_at = self._clock.wall() + PAUSE
            await self._ledger.move(session, now, Act.SUBMIT, actor)
            await self._ledger.find(session, now, started.finding, actor)

    async def _ask(self, row: OnboardingCase) -> None:
        """Ask for what a lost webhook would have said."""
        asked_at = self._clock.wall()
        finding = await self._provider.status(self._keys.open(row.id, row.sealed).reference)
        async with self._database.transaction() as session:
            now = await self._locked(session, row.id)
            now.retry_at = asked_at + PAUSE
            # A webhook that came meanwhile knows better.
            unmoved = (now.state, now.round, now.provider_at) == (CaseState.PENDING, row.round, row.provider_at)
            if unmoved and finding is not Finding.PENDING:
                now.provider_at = asked_at
                await self._ledger.find(session, now, finding, f"provider:{self._provider.name}")

    async def _place(self, row: OnboardingCase) -> None:
        data, ccid = bytes.fromhex(row.reference_sha256 or ""), bytes.fromhex(row.ccid[2:])
        placed = [
            await self._credentials.place(row.address, kind, row.expires_at, data=data, ccid=ccid)
            for kind in GIVES[CaseKind(row.kind)]
        ]
        async with self._database.transaction() as session:
            now = await self._locked(session, row.id)
            now.ccid = placed[0].ccid
            if now.standing == Standing.DUE and now.expires_at == row.expires_at:
                now.standing = Standing.ISSUED.value
                await self._record_issued(session, placed)
            elif now.standing in {Standing.LEAVING, Standing.NONE}:
                # Stopped while it was being issued, and perhaps taken before it stood there.
                now.standing, now.retry_at = Standing.LEAVING.value, None
                await self._record_issued(session, placed)

    async def _take(self, row: OnboardingCase) -> None:
        for kind in GIVES[CaseKind(row.kind)]:
            try:
                taken = await self._credentials.take(row.address, kind)
            except NotFound:
                continue
            # One by one: what is gone is not found again when the next one fails.
            async with self._database.transaction() as session:
                await self._credentials.record_revoked(session, taken, actor=SYSTEM_ACCOUNT)
        async with self._database.transaction() as session:
            now = await self._locked(session, row.id)
            if now.standing == Standing.LEAVING:
                now.standing = Standing.NONE.value

    async def _settle_members(self, row: OnboardingCase) -> None:
        async with self._database.reading() as session:
            members = await repository.members_of(session, row.id)
        if not members:
            return
        ccid, over = bytes.fromhex(row.ccid[2:]), CaseState(row.state) in OVER
        for member in members:
            leaves = over or member.state == MemberState.LEAVING
            if leaves:
                await self._credentials.unidentify(member.address, ccid)
            elif member.state == MemberState.ACCEPTED and row.standing != Standing.DUE:
                # One that a list names joins nobody; one that is somebody else already cannot be this organisation's.
                named = await self._screening.names(member.address)
                leaves = named or await self._credentials.join(member.address, ccid) != ccid
            else:
                continue
            await self._settle(row.id, member.address, leaves=leaves)

    async def _settle(self, case_id: int, address: str, *, leaves: bool) -> None:
        async with self._database.transaction() as session:
            row = await self._locked(session, case_id)
            member = await repository.member(session, address)
            if member is None or member.case_id != case_id:
                return
            if leaves:
                await repository.remove_member(session, member)
                await self._ledger.record_member(session, row, "onboarding.member_removed", address, SYSTEM_ACCOUNT)
            elif member.state == MemberState.ACCEPTED:
                member.state = MemberState.REGISTERED.value
                await self._ledger.record_member(session, row, "onboarding.member_registered", address, SYSTEM_ACCOUNT)

    async def _watch_ends(self) -> None:
        business = self._clock.business()
        async with self._database.reading() as session:
            ending = await repository.ending(session, business, business + self._terms.notice)
        for case_id in ending:
            async with self._database.transaction() as session:
                row = await self._locked(session, case_id)
                if row.state != CaseState.APPROVED or row.expires_at is None:
                    continue
                if row.expires_at <= self._clock.business():
                    await self._ledger.move(session, row, Act.EXPIRE, SYSTEM_ACCOUNT)
                elif not row.renewal_due and is_due(row, self._clock.business(), self._terms):
                    row.renewal_due = True
                    await session.flush()
                    await self._ledger.record(session, row, "onboarding.renewal_due", SYSTEM_ACCOUNT)

    async def _screen_again(self) -> None:
        async with self._database.reading() as session:
            # Where nobody waits for it a deployment without lists is none to warn of.
            if not await repository.screened_otherwise(session, ""):
                return
        try:
            lists = await self._screening.lists()
            async with self._database.reading() as session:
                changed = await repository.screened_otherwise(session, lists)
            for case_id in changed:
                await self.look_again(case_id)
        except RefiError as fault:
            log.warning("onboarding.not_screened", reason=fault.code)

    async def _record_issued(self, session: AsyncSession, credentials: Sequence[IssuedCredential]) -> None:
        for credential in credentials:
            await self._credentials.record_issued(session, credential, actor=SYSTEM_ACCOUNT)

    async def _read(self, case_id: int) -> OnboardingCase:
        async with self._database.reading() as session:
            row = await repository.case_by_id(session, case_id)
        if row is None:
            raise NotFound("no such case")
        return row

    async def _locked(self, session: AsyncSession, case_id: int) -> OnboardingCase:
        row = await repository.lock_case(session, case_id)
        if row is None:
            raise Conflict("the case is gone")
        return row


def _subject(row: OnboardingCase, personal: Personal) -> ScreeningSubject:
    return ScreeningSubject(
        SubjectKind(row.kind), (personal.name,), personal.birth_date, personal.country, (row.address,)
    )
