"""Routes of onboarding: one's own case, the operators' queue, the provider's webhook, organisations' wallets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from backend.accounts.endpoints import Configuration, DatabaseService, SignedIn, client_of, requires
from backend.accounts.types import Caller, Role
from backend.kernel.errors import TooLarge
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.pagination import Paging
from backend.onboarding.schemas import (
    AcceptIn,
    Address,
    CaseIn,
    CaseOut,
    DecisionIn,
    HeardOut,
    MemberIn,
    MemberOut,
    OwnCaseOut,
    PersonalOut,
    QueueOut,
)
from backend.onboarding.service import Onboarding, OnboardingJob, Organisations
from backend.onboarding.types import Verdict

MAX_WEBHOOK_BYTES = 16_384

router = APIRouter(prefix="/onboarding", tags=["onboarding"])

Cases = Annotated[Onboarding, Depends(provided(Onboarding))]
Members = Annotated[Organisations, Depends(provided(Organisations))]
Job = Annotated[OnboardingJob, Depends(provided(OnboardingJob))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]
CaseId = Annotated[int, Path(ge=1, lt=2**63)]


@router.post("", status_code=201)
async def start(
    request: Request, body: CaseIn, cases: Cases, caller: SignedIn, session: Transaction, settings: Configuration
) -> CaseOut:
    """Ask to be identified, or for a new review once the credentials end."""
    await cases.admit("start", client_of(request), settings.login_attempts_per_minute)
    return CaseOut.of(await cases.start(session, caller, body.kind, body.personal()))


@router.get("/me")
async def own(cases: Cases, caller: SignedIn, session: Reading) -> OwnCaseOut:
    """Return one's own case."""
    return OwnCaseOut.of_own(await cases.own(session, caller))


@router.delete("/me")
async def withdraw(cases: Cases, caller: SignedIn, session: Transaction) -> CaseOut:
    """Withdraw: what is known of the applicant is erased at once, credentials are taken."""
    return CaseOut.of(await cases.withdraw(session, caller))


@router.get("/queue", dependencies=[Depends(requires(Role.OPERATOR))])
async def queue(cases: Cases, session: Reading, paging: Paging) -> QueueOut:
    """List the cases that wait for a decision, newest first."""
    page = await cases.queue(session, paging)
    return QueueOut(items=[CaseOut.of(case) for case in page.items], next_before=page.next_before)


@router.post("/webhook")
async def webhook(request: Request, cases: Cases, database: DatabaseService, settings: Configuration) -> HeardOut:
    """Hear the identity provider; a webhook that was heard before is answered and changes nothing."""
    # The order is the defence: count, measure, verify, and only then open a transaction.
    await cases.admit("webhook", client_of(request), settings.webhooks_per_minute)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_WEBHOOK_BYTES:
            raise TooLarge(f"a webhook has at most {MAX_WEBHOOK_BYTES} bytes")
    event = cases.verified({name.lower(): value for name, value in request.headers.items()}, bytes(body))
    async with database.transaction() as session:
        return HeardOut(taken_up=await cases.hear(session, event))


@router.post("/members", status_code=201)
async def invite(body: MemberIn, members: Members, caller: SignedIn, session: Transaction) -> MemberOut:
    """Name a further wallet of one's organisation."""
    return MemberOut.of(await members.invite(session, caller, body.address, signatory=body.signatory))


@router.post("/members/accept")
async def accept(body: AcceptIn, members: Members, caller: SignedIn, session: Transaction) -> MemberOut:
    """Join the organisation that named one's wallet."""
    return MemberOut.of(await members.accept(session, caller, body.case_id))


@router.delete("/members/{address}", status_code=204)
async def remove(address: Annotated[Address, Path()], members: Members, caller: SignedIn, session: Transaction) -> None:
    """Take a wallet out of one's organisation, or oneself."""
    await members.remove(session, caller, address)


@router.get("/{case_id}", dependencies=[Depends(requires(Role.OPERATOR))])
async def view(case_id: CaseId, cases: Cases, session: Reading) -> CaseOut:
    """Return a case; nothing of who the applicant is."""
    return CaseOut.of(await cases.view(session, case_id))


@router.post("/{case_id}/disclosure")
async def disclose(case_id: CaseId, cases: Cases, caller: Operator, session: Transaction) -> PersonalOut:
    """Show who the applicant is; that an operator looked is recorded."""
    personal = await cases.disclose(session, caller, case_id)
    return PersonalOut.model_validate(personal, from_attributes=True)


@router.post("/{case_id}/decision")
async def decide(
    case_id: CaseId, body: DecisionIn, cases: Cases, job: Job, caller: Operator, database: DatabaseService
) -> CaseOut:
    """Approve or reject a case that waits for it; credentials follow on chain."""
    if body.verdict is Verdict.APPROVE:
        # Before the transaction: lists and reviewers' answers of now decide.
        await job.look_again(case_id)
    async with database.transaction() as session:
        return CaseOut.of(await cases.decide(session, caller, case_id, body.verdict, body.reason))
