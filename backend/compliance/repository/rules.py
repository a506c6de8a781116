"""The version of the rules on chain: the watcher moves it, every order reads it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.models import ComplianceRules
from backend.kit.db import fetch, insert_once

RULES = "rules"
# Every order reads these: past SQLAlchemy, whose share of a statement is the larger one.
_COLUMNS = ", ".join(f"compliance_rules.{name}" for name in ("version", "block_number", "block_hash", "seen_at"))
_SEEN = f"SELECT {_COLUMNS} FROM compliance_rules WHERE compliance_rules.name = ?"  # noqa: S608  # constants only
_WITH_VOLUME = (
    f"SELECT {_COLUMNS}, traded_volumes.cumulative_units FROM (SELECT 1) AS one"  # noqa: S608  # constants only
    " LEFT JOIN compliance_rules ON compliance_rules.name = ? LEFT JOIN traded_volumes ON traded_volumes.account_id = ?"
)


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
    rows = await fetch(session, _SEEN, (RULES,))
    return _seen(rows[0]) if rows else NEVER


async def rules_and_volume(session: AsyncSession, account_id: int) -> tuple[RulesSeen, int]:
    """Return what `rules_seen` does, and what an account has traded in all, USD x 1e6."""
    (row,) = await fetch(session, _WITH_VOLUME, (RULES, account_id))
    return (NEVER if row[0] is None else _seen(row)), row[4] or 0


async def hold_rules(session: AsyncSession) -> RulesSeen:
    """Return what `rules_seen` does; the watcher waits with a change until the transaction ends."""
    # Whoever writes to SQLite is alone: its transaction holds the row as it holds everything.
    query = _SEEN if session.get_bind().dialect.name == "sqlite" else f"{_SEEN} FOR SHARE"
    rows = await fetch(session, query, (RULES,))
    if not rows:
        await session.execute(insert_once(session, ComplianceRules).values(**_fresh()))
        rows = await fetch(session, query, (RULES,))
    return _seen(rows[0])


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


def _seen(row: Sequence[Any]) -> RulesSeen:
    version, block_number, block_hash, seen_at = row[:4]
    if isinstance(seen_at, str):
        # As SQLite keeps a moment.
        seen_at = datetime.fromisoformat(seen_at).replace(tzinfo=UTC)
    return RulesSeen(version, block_number, block_hash, seen_at)
