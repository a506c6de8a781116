"""Every query on decisions."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.decisions.models import DecisionRow
from backend.decisions.types import Decision
from backend.kernel.fixed import QUANTITY_DECIMALS, from_units, to_units


async def add(session: AsyncSession, decision: Decision) -> None:
    """Store a decision."""
    session.add(
        DecisionRow(
            decision_id=decision.decision_id,
            account=decision.account,
            kind=decision.kind,
            instrument=decision.instrument,
            side=decision.side,
            quantity_units=to_units(decision.quantity, QUANTITY_DECIMALS),
            model_sha256=decision.model_sha256,
            features=list(decision.features),
            features_sha256=decision.features_sha256,
            q_values=list(decision.q_values),
            action=decision.action,
            decided_at=decision.decided_at,
        )
    )
    await session.flush()


async def find(session: AsyncSession, decision_id: str) -> Decision | None:
    """Return a decision by its id."""
    row = await session.scalar(select(DecisionRow).where(DecisionRow.decision_id == decision_id))
    return None if row is None else _decision(row)


def _decision(row: DecisionRow) -> Decision:
    return Decision(
        decision_id=row.decision_id,
        account=row.account,
        kind="agent" if row.kind == "agent" else "person",
        instrument=row.instrument,
        side="buy" if row.side == "buy" else "sell" if row.side == "sell" else "hold",
        quantity=from_units(row.quantity_units, QUANTITY_DECIMALS),
        model_sha256=row.model_sha256,
        features=tuple(row.features),
        features_sha256=row.features_sha256,
        q_values=tuple(row.q_values),
        action=row.action,
        decided_at=row.decided_at,
    )
