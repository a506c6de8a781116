"""What accounts have traded, and what of it is settled on chain; USD x 1e6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import TradedVolume
from backend.kit.db import insert_once


@dataclass(frozen=True, slots=True)
class Volume:
    """An account's volumes, USD x 1e6."""

    account_id: int
    address: str
    cumulative: int
    settled: int


async def cumulative_of(session: AsyncSession, account_id: int) -> int:
    """Return what an account has traded in all."""
    query = select(TradedVolume.cumulative_units).where(TradedVolume.account_id == account_id)
    return await session.scalar(query) or 0


async def add_volume(session: AsyncSession, account_id: int, address: str, units: int) -> None:
    """Add an order's notional to what an account has traded; the account's orders wait for one another anyway."""
    fresh = {"account_id": account_id, "address": address, "cumulative_units": 0, "settled_units": 0}
    await session.execute(insert_once(session, TradedVolume).values(**fresh))
    grown = TradedVolume.cumulative_units + units
    await session.execute(
        update(TradedVolume).where(TradedVolume.account_id == account_id).values(cumulative_units=grown)
    )


async def unsettled(session: AsyncSession, limit: int) -> Sequence[Volume]:
    """Return accounts that have traded more than was last seen settled, by ascending address."""
    query = select(TradedVolume).where(TradedVolume.cumulative_units > TradedVolume.settled_units)
    rows = await session.scalars(query.order_by(TradedVolume.address).limit(limit))
    return [Volume(row.account_id, row.address, row.cumulative_units, row.settled_units) for row in rows]


async def set_settled(session: AsyncSession, settled: Mapping[str, int]) -> None:
    """Write down what the chain holds as settled, by address."""
    for address, units in sorted(settled.items()):
        await session.execute(update(TradedVolume).where(TradedVolume.address == address).values(settled_units=units))
