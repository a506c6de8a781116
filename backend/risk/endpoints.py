"""Routes of risk: halts, reviews, limits."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from backend.accounts.endpoints import AccountsService, SignedIn, requires
from backend.accounts.types import Caller, Role
from backend.kit.deps import Transaction, provided
from backend.risk.schemas import HaltIn, HaltOut, LimitIn, LimitOut, ReasonIn, ReviewIn, ReviewOut
from backend.risk.service import KillSwitch, RiskGate

router = APIRouter(tags=["risk"])

Risk = Annotated[RiskGate, Depends(provided(RiskGate))]
Switches = Annotated[KillSwitch, Depends(provided(KillSwitch))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]
HaltId = Annotated[int, Path(ge=1, lt=2**63)]


@router.post("/halts", status_code=201)
async def trip(body: HaltIn, switches: Switches, caller: SignedIn, session: Transaction) -> HaltOut:
    """Stop one's own orders at once; operators and admins may stop everybody's."""
    return HaltOut(**asdict(await switches.trip(session, body.scope, body.reason, caller)))


@router.post("/halts/{halt_id}/review")
async def review(
    halt_id: HaltId, body: ReasonIn, switches: Switches, caller: SignedIn, session: Transaction
) -> HaltOut:
    """Say that somebody is looking at a halt; nothing is armed again before."""
    return HaltOut(**asdict(await switches.review(session, halt_id, body.reason, caller)))


@router.post("/halts/{halt_id}/rearm")
async def rearm(halt_id: HaltId, body: ReasonIn, switches: Switches, caller: SignedIn, session: Transaction) -> HaltOut:
    """Let orders pass again; the platform's and the system's halts need an operator or an admin."""
    return HaltOut(**asdict(await switches.rearm(session, halt_id, body.reason, caller)))


@router.post("/risk/reviews", status_code=201)
async def record_review(
    body: ReviewIn, risk: Risk, accounts: AccountsService, caller: Operator, session: Transaction
) -> ReviewOut:
    """Record a performance review, which opens the last progressive cap."""
    subject = await accounts.find(session, address=body.address)
    await risk.record_review(session, subject, body.note, actor=caller.pseudonym)
    return ReviewOut(address=subject.address, note=body.note)


@router.put("/risk/limits")
async def set_limit(
    body: LimitIn, risk: Risk, accounts: AccountsService, caller: Operator, session: Transaction
) -> LimitOut:
    """Give an account a VaR limit of its own."""
    subject = await accounts.find(session, address=body.address)
    await risk.set_var_limit(session, subject, body.var_limit, actor=caller.pseudonym)
    return LimitOut(address=subject.address, var_limit=body.var_limit)
