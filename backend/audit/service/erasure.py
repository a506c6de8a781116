"""Erases what the law lets go and what a person asks for, so that old proofs still hold."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.repository import erasure
from backend.audit.types import RETAINED_FIELDS, Erasable, Erasing, Erasure
from backend.kernel.canonical import JsonValue
from backend.kernel.clock import epoch_of
from backend.kernel.commitment import disclose
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.ports.journal import Journal

log = structlog.get_logger(__name__)

POLICY = "erasure:1"
# What one transaction does while every other writer waits.
MAX_ERASED = 5_000

Forget = Callable[[AsyncSession, Erasing], Awaitable[None]]


class ErasureService:
    """Erases records beyond the legal retention period, and what other tables say about the same events.

    `forget` is called with what is about to go, inside the same transaction.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        *,
        retention: timedelta,
        forget: Sequence[Forget] = (),
        at_most: int = MAX_ERASED,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._retention = retention
        self._forget = tuple(forget)
        self._at_most = at_most

    async def erase(
        self, account: str, *, before_epoch: int | None, reason: str, legal_basis: str, operator: str
    ) -> Erasure:
        """Erase an account's records of before an epoch, all that may go unless one is given; raise NotFound.

        The oldest go first, at most so many a call. What was done, or that the law allowed nothing, is recorded on the
        account's own chain; where there is nothing left to ask for, nothing is.
        """
        async with self._database.transaction() as session:
            done = await self._erase(session, account, before_epoch)
            if done.erased or done.kept:
                fields: dict[str, JsonValue] = {
                    "erased": done.erased,
                    "kept": done.kept,
                    "left": done.left,
                    "until": done.until,
                    "reason": reason,
                    "legal_basis": legal_basis,
                    "operator": operator,
                }
                event = "erasure" if done.erased else "erasure.refused"
                await self._journal.record(session, account, event, fields, actor=operator, policy=POLICY)
        if done.erased:
            await self._clean()
        return done

    async def _erase(self, session: AsyncSession, account: str, before_epoch: int | None) -> Erasure:
        if not await erasure.lock_chain(session, account):
            raise NotFound("no such account")
        lawful = max(0, epoch_of(self._clock.business() - self._retention))
        until = lawful if before_epoch is None else min(before_epoch, lawful)
        found = await erasure.erasable(session, account, until, self._at_most)
        if found:
            erasing = Erasing(account, [one.fields for one in found])
            for forget in self._forget:
                await forget(session, erasing)
            await erasure.erase(session, await asyncio.to_thread(_retained, found))
        left = await erasure.count_whole(session, account, before_epoch=until)
        kept = await erasure.count_whole(session, account, from_epoch=until, before_epoch=before_epoch)
        return Erasure(len(found), kept, left, until)

    async def _clean(self) -> None:
        url = self._database.engine.url
        if url.get_backend_name() != "sqlite" or not url.database:
            return
        if not await asyncio.to_thread(erasure.empty_write_ahead_log, url.database):
            log.warning("erasure.log_not_emptied", because="a reader is in the way; the next checkpoint does it")


def _retained(records: Sequence[Erasable]) -> list[tuple[int, dict[str, dict[str, JsonValue]]]]:
    return [
        (one.id, disclose(one.fields, one.salt, [name for name in RETAINED_FIELDS if name in one.fields]))
        for one in records
    ]
