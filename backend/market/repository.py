"""Every query on the business clock."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kit.db import insert_once
from backend.market.models import ONLY_ROW, BusinessClock


async def clock_row(session: AsyncSession) -> BusinessClock | None:
    """Return where the clock stands."""
    return await session.get(BusinessClock, ONLY_ROW)


async def lock_clock(session: AsyncSession, start: datetime) -> BusinessClock:
    """Return the clock's row, locked until the transaction ends, made at `start` when there is none."""
    await session.execute(insert_once(session, BusinessClock).values(id=ONLY_ROW, now=start))
    query = select(BusinessClock).where(BusinessClock.id == ONLY_ROW).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()
