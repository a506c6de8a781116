"""Routes of epochs, returns and VaR attestations."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from backend.accounts.endpoints import SignedIn, requires
from backend.accounts.types import Role
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Forbidden, NotFound
from backend.kernel.refusal import Refused
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.problems import refusal_problem
from backend.kit.queue import Jobs
from backend.proofs.engine.kept import Attestation, Link, unword, word
from backend.proofs.schemas import (
    AttestationOut,
    AttestIn,
    ChainOut,
    CloseEpochIn,
    ClosingOut,
    LinkOut,
    PublicationOut,
    PublishReturnsIn,
    RefusedAccountOut,
    StartedOut,
    VarOut,
)
from backend.proofs.service import ATTEST_JOB, AttestationService, ClosingJob, ReturnsService

router = APIRouter(tags=["proofs"])

Closings = Annotated[ClosingJob, Depends(provided(ClosingJob))]
Returns = Annotated[ReturnsService, Depends(provided(ReturnsService))]
Attestations = Annotated[AttestationService, Depends(provided(AttestationService))]
Queue = Annotated[Jobs, Depends(provided(Jobs))]
Subject = Annotated[str, Query(pattern="^0x[0-9a-fA-F]{40}$")]
EpochNumber = Annotated[int, Query(ge=0, le=10_000_000)]
PolicyId = Annotated[str, Query(pattern="^0x[0-9a-f]{64}$")]
After = Annotated[int, Query(ge=-1, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1_000)]


@router.post("/epochs/close", dependencies=[Depends(requires(Role.OPERATOR))])
async def close_epoch(body: CloseEpochIn, closings: Closings, session: Transaction) -> ClosingOut:
    """Settle an epoch's orders and commit to every account's positions at its end; a day before it comes first."""
    closing = await closings.close(session, body.epoch)
    refused = [RefusedAccountOut(account=account, rule=no.rule, reason=no.reason) for account, no in closing.refused]
    return ClosingOut(epoch=closing.epoch, closed=len(closing.closed), refused=refused)


@router.post("/returns/publish", dependencies=[Depends(requires(Role.OPERATOR))], response_model=PublicationOut)
async def publish_returns(
    body: PublishReturnsIn, returns: Returns, session: Transaction
) -> PublicationOut | JSONResponse:
    """Pin a day's matrix of returns and publish it on chain; data that is not clean is refused with the reason."""
    published = await returns.publish(session, body.day)
    if isinstance(published, Refused):
        return refusal_problem(published)
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
    """Start proving that a wallet's committed positions keep a policy's limits."""
    own = body.subject.lower() == caller.address
    if not own and Role.OPERATOR not in caller.roles:
        raise Forbidden("only the wallet's owner or an operator may ask for this")
    if await attestations.closed(session, body.subject, body.epoch) is None:
        raise NotFound(f"epoch {body.epoch} is not closed for this wallet")
    payload = {"subject": body.subject.lower(), "epoch": body.epoch, "own": own}
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


@router.get("/proofs/var/chain")
async def var_chain(
    request: Request,
    response: Response,
    subject: Subject,
    attestations: Attestations,
    session: Reading,
    policy_id: PolicyId | None = None,
    after: After = -1,
    limit: Limit = 365,
) -> ChainOut:
    """Return every closed epoch of a wallet, oldest first, with what became of it under a policy (the one in force).

    The header `Link` names the next page while there is one.
    """
    policy = attestations.policy_id if policy_id is None else unword(policy_id)
    found = await attestations.chain(session, subject, policy, after, limit + 1)
    if len(found) > limit:
        asked = {"subject": subject, "policy_id": word(policy), "after": found[limit - 1].epoch, "limit": limit}
        response.headers["Link"] = f'<{request.url.path}?{urlencode(asked)}>; rel="next"'
    epochs = [_link(link) for link in found[:limit]]
    return ChainOut(subject=subject.lower(), policy_id=word(policy), attestor=attestations.attestor, epochs=epochs)


def _link(link: Link) -> LinkOut:
    made = link.made
    failed = link.failed if link.state == "failed" else None
    shown = LinkOut.model_validate(
        {"epoch": link.epoch, "state": link.state, "broken": made.broken if made else (), "reason": failed}
    )
    if made is None or made.claim is None or made.tx_hash is None:
        return shown
    return shown.model_copy(
        update={
            "attestation_id": word(made.claim.attestation_id),
            "previous": word(made.claim.previous),
            "anchor_index": made.claim.anchor_index,
            "tx_hash": made.tx_hash,
        }
    )


def _attestation(made: Attestation, attestations: AttestationService) -> AttestationOut:
    shown = AttestationOut.model_validate(
        {
            "policy_id": word(made.policy_id),
            "state": made.state.value,
            "limit": decimal_string(made.limit),
            "es_limit": None if made.es_limit is None else decimal_string(made.es_limit),
            "broken": made.broken,
            "attestor": attestations.attestor,
        }
    )
    claim = made.claim
    # A proof that was not accepted yet says nothing that anybody could rely on.
    if claim is None or made.tx_hash is None:
        return shown
    return shown.model_copy(
        update={
            "attestation_id": word(claim.attestation_id),
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
