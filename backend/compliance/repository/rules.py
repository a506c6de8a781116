"""The version of the rules on chain: the watcher moves it, every order reads it again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import ComplianceRules
from backend.kit.db import insert_once

RULES = "rules"


@dataclass(frozen=True, slots=True)
class RulesSeen:
    """A version of the rules, the block up to which they were watched, and when (wall clock; None: never)."""

    version: int
    block_number: int
    block_hash: str
    seen_at: datetime | None


NEVER = RulesSeen(0, 0, "", None)


async def rules_seen(session: AsyncSession) -> RulesSeen:
    """Return the version as it is in the database now."""
    query = select(ComplianceRules).where(ComplianceRules.name == RULES)
    row = await session.scalar(query.execution_options(populate_existing=True))
    return NEVER if row is None else _seen(row)


async def hold_rules(session: AsyncSession) -> RulesSeen:
    """Return what `rules_seen` does; the watcher waits with a change until the transaction ends."""
    query = select(ComplianceRules).where(ComplianceRules.name == RULES).with_for_update(read=True)
    query = query.execution_options(populate_existing=True)
    row = await session.scalar(query)
    if row is None:
        await session.execute(insert_once(session, ComplianceRules).values(**_fresh()))
        row = (await session.scalars(query)).one()
    return _seen(row)


async def lock_rules(session: AsyncSession) -> ComplianceRules:
    """Return the row to write, locked until the transaction ends."""
    await session.execute(insert_once(session, ComplianceRules).values(**_fresh()))
    query = select(ComplianceRules).where(ComplianceRules.name == RULES).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


def looked(seen: RulesSeen, at: datetime) -> RulesSeen:
    """Return a version as if the watcher had looked at a moment."""
    return RulesSeen(seen.version, seen.block_number, seen.block_hash, at)


def _fresh() -> dict[str, object]:
    return {"name": RULES, "version": 0, "block_number": 0, "block_hash": "", "seen_at": None}


def _seen(row: ComplianceRules) -> RulesSeen:
    return RulesSeen(row.version, row.block_number, row.block_hash, row.seen_at)
