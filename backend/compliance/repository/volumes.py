"""What accounts have traded, and what of it is settled on chain; USD x 1e6."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import TradedVolume
from backend.kit.db import execute_many

_ADD = (
    "INSERT INTO traded_volumes (account_id, address, cumulative_units, settled_units, settled_block)"
    " VALUES (?, ?, ?, 0, 0) ON CONFLICT (account_id)"
    " DO UPDATE SET cumulative_units = traded_volumes.cumulative_units + excluded.cumulative_units"
)


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
    row = (account_id, address, units)
    await session.run_sync(lambda within: execute_many(within.connection(), _ADD, [row]))


async def volume_of(session: AsyncSession, account_id: int) -> Volume | None:
    """Return an account's volumes, None for one that never traded."""
    row = await session.scalar(select(TradedVolume).where(TradedVolume.account_id == account_id))
    return None if row is None else _volume(row)


async def unsettled(session: AsyncSession, limit: int, after: str = "") -> Sequence[Volume]:
    """Return accounts that have traded more than was last seen settled, by ascending address, after one of them."""
    query = select(TradedVolume).where(
        TradedVolume.cumulative_units > TradedVolume.settled_units, TradedVolume.address > after
    )
    rows = await session.scalars(query.order_by(TradedVolume.address).limit(limit))
    return [_volume(row) for row in rows]


async def settled_after(session: AsyncSession, block: int) -> Sequence[tuple[Volume, int]]:
    """Return accounts that were settled after a block, each with its settlement's."""
    query = select(TradedVolume).where(TradedVolume.settled_block > block)
    rows = await session.scalars(query.order_by(TradedVolume.address))
    return [(_volume(row), row.settled_block) for row in rows]


async def set_settled(session: AsyncSession, address: str, units: int, block: int) -> None:
    """Write down what the chain holds as settled of an address, and since which block (0: long ago)."""
    # A database that is older than the chain has lost trades: what is settled was traded.
    traded = case((TradedVolume.cumulative_units < units, units), else_=TradedVolume.cumulative_units)
    held = {"settled_units": units, "settled_block": block, "cumulative_units": traded}
    await session.execute(update(TradedVolume).where(TradedVolume.address == address).values(**held))


def _volume(row: TradedVolume) -> Volume:
    return Volume(row.account_id, row.address, row.cumulative_units, row.settled_units)
