"""Every query on submitted models."""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.governance.engine import proposal_answer, proposal_from, proposal_id
from backend.governance.models import ModelRow
from backend.governance.types import GovernedModel, ModelCids, Proposal, ProposalState
from backend.kit.db import insert_once
from backend.ports.governance import ModelState

MAX_MODELS = 500
ATTEMPT = re.compile(r"^attempt: (\d{1,6})$", re.MULTILINE)
FINAL = (ModelState.RETIRED.name.lower(), ModelState.REVOKED.name.lower())


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
        "proposal_state": "",
        "created_at": now,
    }
    inserted = await session.scalar(insert_once(session, ModelRow).values(**values).returning(ModelRow.sha256))
    return inserted is not None


async def next_attempt(session: AsyncSession, sha256: str) -> int:
    """Return the number of a model's next proposal: one more than the one that it has, counted in its text."""
    row = await session.get_one(ModelRow, sha256)
    found = ATTEMPT.findall(row.proposal["description"])
    return 1 + (int(found[-1]) if found else 1)


async def replace_proposal(session: AsyncSession, sha256: str, proposal: Proposal) -> None:
    """Give a model another proposal, which nobody has sent yet."""
    row = await session.get_one(ModelRow, sha256, with_for_update=True)
    row.proposal, row.proposal_id, row.proposal_state = proposal_answer(proposal), str(proposal_id(proposal)), ""
    await session.flush()


async def move(
    session: AsyncSession, sha256: str, state: ModelState, proposal: ProposalState | None
) -> tuple[bool, bool]:
    """Store both states; return whether the model's and the proposal's are others than before."""
    query = select(ModelRow).where(ModelRow.sha256 == sha256).with_for_update()
    row = (await session.scalars(query.execution_options(populate_existing=True))).one()
    model_name, proposal_name = state.name.lower(), "" if proposal is None else proposal.name.lower()
    changed = row.state != model_name, row.proposal_state != proposal_name
    row.state, row.proposal_state = model_name, proposal_name
    await session.flush()
    return changed


async def seen(session: AsyncSession, sha256: str) -> tuple[str, str]:
    """Return the states in which a model and its proposal were last seen."""
    row = await session.get_one(ModelRow, sha256)
    return row.state, row.proposal_state


async def unsettled(session: AsyncSession) -> Sequence[str]:
    """Return the hashes of models that the chain may still move."""
    query = select(ModelRow.sha256).where(ModelRow.state.not_in(FINAL)).order_by(ModelRow.created_at)
    return (await session.scalars(query)).all()


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
