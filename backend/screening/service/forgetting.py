"""What is let go of a subject that is no longer anybody's business, and what stays because it blocks."""

from sqlalchemy.ext.asyncio import AsyncSession

from backend.ports.screening import Outcome
from backend.screening import repository
from backend.screening.engine import outcome_of
from backend.screening.models import ScreeningRecord
from backend.screening.service.screening import STANDING, judged
from backend.screening.types import HitState


async def forget(session: AsyncSession, reference: str) -> None:
    """Let go of what tells who a subject was: its fingerprints, why it looked like entries, and reviewers' words.

    A name's hit that nobody has decided lapses: nobody could look any more. What blocks goes on blocking.
    """
    record = await repository.record_of(session, reference)
    if record is not None:
        await _forget(session, record)


async def erase(session: AsyncSession, reference: str) -> None:
    """Delete a reference's screening, all but what blocks or is not carried out yet."""
    record = await repository.record_of(session, reference)
    if record is None:
        return
    await _forget(session, record)
    hits = await repository.hits_of(session, reference)
    standing = [hit for hit in hits if HitState(hit.state) in STANDING]
    if record.outcome != Outcome.BLOCKED.value and not record.listed and not record.unsettled:
        await repository.delete(session, [*hits, record])
        return
    await repository.delete(session, [hit for hit in hits if hit not in standing])


async def _forget(session: AsyncSession, record: ScreeningRecord) -> None:
    hits = await repository.hits_of(session, record.reference)
    for hit in hits:
        hit.fingerprint, hit.reasons, hit.reason = None, [], ""
        if hit.state == HitState.OPEN.value and not hit.wallet:
            hit.state = HitState.LAPSED.value
    if record.outcome:
        record.outcome = outcome_of(judged(hits)).value
    await session.flush()
