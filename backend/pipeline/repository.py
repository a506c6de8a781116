"""Queries across domains."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import RecordRow


async def entry_indices(session: AsyncSession, record_ids: Iterable[int]) -> dict[int, int]:
    """Return the log index of each record that is integrated already."""
    query = select(RecordRow.id, RecordRow.entry_index).where(
        RecordRow.id.in_(list(record_ids)), RecordRow.entry_index.is_not(None)
    )
    return {row.id: row.entry_index for row in await session.execute(query)}
