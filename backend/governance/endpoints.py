"""Routes of model governance."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from backend.accounts.endpoints import requires
from backend.accounts.types import Caller, Role
from backend.governance.engine import proposal_answer
from backend.governance.schemas import ModelIn, ModelOut, ModelsOut, ProposalOut, RelayedOut
from backend.governance.service import ModelService
from backend.governance.types import GovernedModel, ProposalState
from backend.kit.db import Database
from backend.kit.deps import Reading, Transaction, provided
from backend.ports.chain import Receipt

router = APIRouter(prefix="/governance", tags=["governance"])

Models = Annotated[ModelService, Depends(provided(ModelService))]
DatabaseService = Annotated[Database, Depends(provided(Database))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@router.post("/models", status_code=201)
async def submit_model(body: ModelIn, models: Models, caller: Operator, session: Transaction) -> ModelOut:
    """Pin a model, propose it in the registry and return what a voter's wallet signs."""
    return _model(await models.submit(session, body.files, caller.pseudonym))


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
