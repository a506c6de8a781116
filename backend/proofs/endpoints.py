"""Routes of epochs, returns and VaR attestations."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from backend.accounts.endpoints import SignedIn, requires
from backend.accounts.types import Role
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Forbidden
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.queue import Jobs
from backend.proofs.engine.kept import Attestation, word
from backend.proofs.schemas import (
    AttestationOut,
    AttestIn,
    CloseEpochIn,
    ClosingOut,
    PublicationOut,
    PublishReturnsIn,
    RefusedAccountOut,
    StartedOut,
    VarOut,
)
from backend.proofs.service import ATTEST_JOB, AttestationService, EpochService, ReturnsService

router = APIRouter(tags=["proofs"])

Epochs = Annotated[EpochService, Depends(provided(EpochService))]
Returns = Annotated[ReturnsService, Depends(provided(ReturnsService))]
Attestations = Annotated[AttestationService, Depends(provided(AttestationService))]
Queue = Annotated[Jobs, Depends(provided(Jobs))]
Subject = Annotated[str, Query(pattern="^0x[0-9a-fA-F]{40}$")]
EpochNumber = Annotated[int, Query(ge=0, le=10_000_000)]


@router.post("/epochs/close", dependencies=[Depends(requires(Role.OPERATOR))])
async def close_epoch(body: CloseEpochIn, epochs: Epochs, session: Transaction) -> ClosingOut:
    """Commit to every account's positions at the end of an epoch."""
    closing = await epochs.close(session, body.epoch)
    refused = [RefusedAccountOut(account=account, rule=no.rule, reason=no.reason) for account, no in closing.refused]
    return ClosingOut(epoch=closing.epoch, closed=len(closing.closed), refused=refused)


@router.post("/returns/publish", dependencies=[Depends(requires(Role.OPERATOR))])
async def publish_returns(body: PublishReturnsIn, returns: Returns, session: Transaction) -> PublicationOut:
    """Pin a day's matrix of returns and publish it on chain."""
    published = await returns.publish(session, body.day)
    return PublicationOut(
        universe_id=word(published.matrix.universe_id),
        epoch=published.matrix.epoch,
        returns_id=word(published.returns_id),
        cid=published.cid,
        tx_hash=published.tx_hash,
    )


@router.post("/proofs/var", status_code=202)
async def start_attestation(
    body: AttestIn, queue: Queue, attestations: Attestations, caller: SignedIn, session: Transaction
) -> StartedOut:
    """Start proving that a wallet's committed positions keep a policy's limit."""
    if body.subject.lower() != caller.address and Role.OPERATOR not in caller.roles:
        raise Forbidden("only the wallet's owner or an operator may ask for this")
    payload = {"subject": body.subject.lower(), "epoch": body.epoch}
    optional = {"policy_id": body.policy_id, "anchor_index": body.anchor_index}
    named = {name: value for name, value in optional.items() if value is not None}
    job_id = await queue.enqueue(session, ATTEST_JOB, payload | named, account_id=caller.account_id)
    await attestations.asked(session, caller.pseudonym, body.subject.lower(), body.epoch, job_id, body.policy_id)
    return StartedOut(job_id=job_id)


@router.get("/proofs/var")
async def var(subject: Subject, epoch: EpochNumber, attestations: Attestations, session: Reading) -> VarOut:
    """Return what anybody may know about a wallet's VaR in an epoch: breaches and gaps are shown as such."""
    found = await attestations.find(session, subject, epoch)
    closed = await attestations.closed(session, subject, epoch)
    shown = [_attestation(made, attestations) for made in found]
    return VarOut(subject=subject.lower(), epoch=epoch, closed=closed is not None, attestations=shown)


def _attestation(made: Attestation, attestations: AttestationService) -> AttestationOut:
    shown = AttestationOut(
        policy_id=word(made.policy_id),
        state=made.state.value,
        limit=decimal_string(made.limit),
        attestor=attestations.attestor,
    )
    claim = made.claim
    # A proof that was not accepted yet says nothing that anybody could rely on.
    if claim is None or made.tx_hash is None:
        return shown
    return shown.model_copy(
        update={
            "previous": word(claim.previous),
            "anchor_index": claim.anchor_index,
            "position_commitment": word(claim.commitment),
            "returns_id": word(claim.returns_id),
            "returns_cid": claim.returns_cid,
            "public_inputs": [word(value) for value in claim.statement],
            "proof": "0x" + claim.proof.hex(),
            "tx_hash": made.tx_hash,
            "gas_used": made.gas_used,
            "constraints": attestations.constraints,
        }
    )
