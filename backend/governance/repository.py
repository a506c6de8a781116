"""Every query on submitted models."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.governance.engine import proposal_answer, proposal_from, proposal_id
from backend.governance.models import ModelRow
from backend.governance.types import GovernedModel, ModelCids, Proposal
from backend.kit.db import insert_once
from backend.ports.governance import ModelState

MAX_MODELS = 500


async def by_sha256(session: AsyncSession, sha256: str) -> GovernedModel | None:
    """Return a model."""
    row = await session.get(ModelRow, sha256)
    return _model(row) if row is not None else None


async def by_proposal(session: AsyncSession, number: int) -> GovernedModel | None:
    """Return the model that a proposal promotes."""
    row = await session.scalar(select(ModelRow).where(ModelRow.proposal_id == str(number)))
    return _model(row) if row is not None else None


async def newest(session: AsyncSession) -> Sequence[GovernedModel]:
    """Return models newest first."""
    query = select(ModelRow).order_by(ModelRow.created_at.desc(), ModelRow.sha256).limit(MAX_MODELS)
    return [_model(row) for row in await session.scalars(query)]


async def add(
    session: AsyncSession,
    sha256: str,
    feature_schema_sha256: str,
    cids: ModelCids,
    proposal: Proposal,
    state: ModelState,
    now: datetime,
) -> bool:
    """Insert a model; False when it is there already."""
    values = {
        "sha256": sha256,
        "weights_cid": cids.weights,
        "description_cid": cids.description,
        "torchscript_cid": cids.torchscript,
        "card_cid": cids.card,
        "report_cid": cids.report,
        "feature_schema_sha256": feature_schema_sha256,
        "proposal": proposal_answer(proposal),
        "proposal_id": str(proposal_id(proposal)),
        "state": state.name.lower(),
        "created_at": now,
    }
    inserted = await session.scalar(insert_once(session, ModelRow).values(**values).returning(ModelRow.sha256))
    return inserted is not None


async def move(session: AsyncSession, sha256: str, state: ModelState) -> bool:
    """Store a state; True when it is another one than before."""
    row = (await session.scalars(select(ModelRow).where(ModelRow.sha256 == sha256).with_for_update())).one()
    changed = row.state != state.name.lower()
    row.state = state.name.lower()
    await session.flush()
    return changed


def _model(row: ModelRow) -> GovernedModel:
    return GovernedModel(
        sha256=row.sha256,
        cids=ModelCids(row.weights_cid, row.description_cid, row.torchscript_cid, row.card_cid, row.report_cid),
        feature_schema_sha256=row.feature_schema_sha256,
        proposal=proposal_from(row.proposal),
        proposal_id=int(row.proposal_id),
        state=ModelState[row.state.upper()],
        created_at=row.created_at,
    )
