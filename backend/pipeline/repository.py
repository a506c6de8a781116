"""Queries across domains."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, RecordRow
from backend.proofs.models import EpochRow


async def entry_indices(session: AsyncSession, record_ids: Iterable[int]) -> dict[int, int]:
    """Return the log index of each record that is integrated already."""
    query = select(RecordRow.id, RecordRow.entry_index).where(
        RecordRow.id.in_(list(record_ids)), RecordRow.entry_index.is_not(None)
    )
    return {row.id: row.entry_index for row in await session.execute(query)}


async def hold_chain(session: AsyncSession, account: str) -> None:
    """Keep others from an account's chain until the transaction ends.

    Every transaction takes a trader's chain before the system account's: two that need both never wait for each other.
    """
    await session.execute(select(AccountRow.seq).where(AccountRow.account == account).with_for_update())


async def is_closed(session: AsyncSession, account: str, epoch: int) -> bool:
    """Return whether an account's positions of an epoch are committed to."""
    query = select(EpochRow.id).where(EpochRow.account == account, EpochRow.epoch == epoch)
    return await session.scalar(query) is not None
