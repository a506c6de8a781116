"""Routes of governance: models, and proposals of any kind."""

from dataclasses import asdict
from typing import Annotated, assert_never

from fastapi import APIRouter, Depends, Path, Query

from backend.accounts.endpoints import requires, signed_in
from backend.accounts.types import Caller, Role
from backend.governance.engine import proposal_answer, proposal_from, proposal_id
from backend.governance.schemas import (
    BuiltOut,
    CallOut,
    ModelIn,
    ModelOut,
    ModelsOut,
    MotionOut,
    MotionsOut,
    ParametersOut,
    PowerOut,
    ProposalIn,
    ProposalOut,
    RelayedOut,
    StakeOut,
    StakeTermsOut,
    StepIn,
    TextOut,
    TransactionOut,
)
from backend.governance.service import ModelService, ProposalService, StakeService
from backend.governance.types import Act, GovernedModel, ProposalState
from backend.kit.db import Database
from backend.kit.deps import Reading, Transaction, provided
from backend.ports.chain import Receipt

router = APIRouter(prefix="/governance", tags=["governance"])

Proposals = Annotated[ProposalService, Depends(provided(ProposalService))]
Stakes = Annotated[StakeService, Depends(provided(StakeService))]
SignedIn = Annotated[Caller, Depends(signed_in)]
Number = Annotated[str, Path(pattern=r"^\d{1,78}$")]
Wallet = Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$")]
Models = Annotated[ModelService, Depends(provided(ModelService))]
DatabaseService = Annotated[Database, Depends(provided(Database))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.post("/models", status_code=201)
async def submit_model(body: ModelIn, models: Models, caller: Operator, session: Transaction) -> ModelOut:
    """Pin a model, propose it in the registry and return what a voter's wallet signs."""
    return _model(await models.submit(session, body.files, caller.pseudonym, body.proposer or ""))


@router.get("/models")
async def list_models(models: Models, session: Reading) -> ModelsOut:
    """List models, newest first."""
    return ModelsOut(items=[_model(model) for model in await models.newest(session)])


@router.get("/models/{sha256}")
async def model(sha256: Sha256, models: Models, database: DatabaseService) -> ModelOut:
    """Return a model as it stands on chain."""
    async with database.reading() as session:
        known = await models.find(session, sha256)
    return _model(await models.on_chain(known), await models.proposal_state(known))


@router.post("/models/{sha256}/queue")
async def queue(sha256: Sha256, models: Models, caller: Operator, session: Transaction) -> RelayedOut:
    """Put a successful proposal into the timelock."""
    return _relayed(await models.queue(session, sha256, caller.pseudonym))


@router.post("/models/{sha256}/execute")
async def execute(sha256: Sha256, models: Models, caller: Operator, session: Transaction) -> RelayedOut:
    """Execute a proposal that has waited in the timelock."""
    return _relayed(await models.execute(session, sha256, caller.pseudonym))


@router.get("/proposals")
async def list_proposals(
    proposals: Proposals,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> MotionsOut:
    """List proposals as the chain has them, newest first."""
    found = await proposals.listed(limit, offset)
    return MotionsOut(items=[MotionOut.of(motion) for motion in found], count=await proposals.count())


@router.get("/proposals/{proposal_id}")
async def proposal(proposal_id: Number, proposals: Proposals) -> MotionOut:
    """Return a proposal: what it says, what it does, whether that is the same, and its votes."""
    return MotionOut.of(await proposals.shown(int(proposal_id)))


@router.post("/proposals")
async def build_proposal(body: ProposalIn, proposals: Proposals, caller: SignedIn) -> BuiltOut:
    """Write a proposal, which nothing sends: the wallet that proposes it signs the transaction."""
    sender = body.proposer or caller.address
    built = proposals.build([call.spec() for call in body.calls], body.text, sender)
    calls, check = proposals.examine(built)
    return BuiltOut(
        proposal_id=str(proposal_id(built)),
        proposal=ProposalOut(**proposal_answer(built)),
        calls=[CallOut.of(call) for call in calls],
        check=TextOut.of(check),
        transaction=TransactionOut.of(await proposals.unsigned(proposals.propose(built), sender)),
    )


@router.post("/transactions")
async def build_transaction(body: StepIn, proposals: Proposals, caller: SignedIn) -> TransactionOut:
    """Return a step of the DAO as a transaction for a wallet; 409 where the chain would refuse it now."""
    return TransactionOut.of(await proposals.unsigned(await _step(body, proposals), body.sender or caller.address))


@router.get("/params")
async def parameters(proposals: Proposals) -> ParametersOut:
    """Return how the DAO decides."""
    found = asdict(await proposals.parameters())
    votes = {name: str(found[name]) for name in ("threshold", "quorum", "supply")}
    return ParametersOut(**{**found, **votes})


@router.get("/power/{address}")
async def power(address: Wallet, proposals: Proposals) -> PowerOut:
    """Return what a wallet can do in the DAO."""
    found = await proposals.power(address)
    return PowerOut(
        address=found.address,
        balance=str(found.balance),
        delegate=found.delegate,
        votes=str(found.votes),
        staked=str(found.staked),
        can_propose=found.is_able_to_propose,
    )


@router.get("/staking")
async def stake_terms(stakes: Stakes) -> StakeTermsOut:
    """Return what a stake gives back of the fees."""
    return StakeTermsOut.of(await stakes.terms())


@router.get("/staking/{address}")
async def stake(address: Wallet, stakes: Stakes) -> StakeOut:
    """Return what a wallet has locked, its tier, and what it can take back when."""
    return StakeOut.of(await stakes.position(address))


async def _step(body: StepIn, proposals: ProposalService) -> Act:
    number = int(body.proposal_id or 0)
    match body.action:
        case "propose":
            return proposals.propose(proposal_from(body.proposal or {}))
        case "delegate":
            return proposals.delegate(body.delegatee or "")
        case "vote":
            return proposals.vote(number, body.support or "", body.reason)
        case "queue":
            return await proposals.queue(number)
        case "execute":
            return await proposals.execute(number)
        case "cancel":
            return await proposals.cancel(number)
        case _:
            assert_never(body.action)


def _model(model: GovernedModel, proposal: ProposalState | None = None) -> ModelOut:
    return ModelOut(
        sha256=model.sha256,
        weights_cid=model.cids.weights,
        description_cid=model.cids.description,
        torchscript_cid=model.cids.torchscript,
        card_cid=model.cids.card,
        report_cid=model.cids.report,
        feature_schema_sha256=model.feature_schema_sha256,
        proposal_id=str(model.proposal_id),
        state=model.state.name.lower(),
        proposal_state=proposal.name.lower() if proposal is not None else None,
        created_at=model.created_at,
        proposal=ProposalOut(**proposal_answer(model.proposal)),
    )


def _relayed(receipt: Receipt) -> RelayedOut:
    return RelayedOut(tx_hash=receipt.tx_hash, block_number=receipt.block_number, gas_used=receipt.gas_used)
