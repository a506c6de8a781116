"""Everybody again: whoever was not screened against the lists in force is, page by page."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import RefiError, Unavailable
from backend.kit.db import Database
from backend.kit.queue import add_job
from backend.ports.clock import Clock
from backend.ports.screening import Outcome, ScreeningSubject, SubjectKind
from backend.screening import repository
from backend.screening.service.blocking import WalletBlocks
from backend.screening.service.lists import SWEEP_JOB, ScreeningLists
from backend.screening.service.screening import ScreeningService
from backend.screening.types import KnownSubject, Subjects

log = structlog.get_logger(__name__)

PAGE = 200
EVERY = timedelta(seconds=5)
AGAIN = timedelta(minutes=10)
Progress = Callable[[float], Awaitable[None]]
Cancelled = Callable[[], Awaitable[bool]]


class AccountWallets:
    """The wallets of all accounts; who their owners are is for their cases to say."""

    async def count(self, session: AsyncSession, lists_key: str) -> int:
        """Return how many wallets are not screened against these lists yet."""
        return await repository.count_unscreened_accounts(session, lists_key)

    async def unscreened(self, session: AsyncSession, lists_key: str, after: str, limit: int) -> Sequence[KnownSubject]:
        """Return wallets that are not screened against these lists yet, behind a reference."""
        found = await repository.unscreened_accounts(session, lists_key, after, limit)
        return [
            KnownSubject(pseudonym, ScreeningSubject(SubjectKind.PERSON, (), wallets=(address,)))
            for pseudonym, address in found
        ]


class ScreeningSweep:
    """Screens whoever is not screened against the lists in force; what a stop interrupts goes on where it was."""

    def __init__(
        self,
        database: Database,
        lists: ScreeningLists,
        screening: ScreeningService,
        subjects: Sequence[Subjects],
        blocks: WalletBlocks,
        clock: Clock,
    ) -> None:
        self._blocks = blocks
        self._database = database
        self._clock = clock
        self._lists = lists
        self._screening = screening
        self._subjects = list(subjects)

    async def enqueue_due(self) -> str:
        """Queue a sweep where somebody is not screened yet; return the job, or nothing where nobody waits."""
        async with self._database.reading() as session:
            try:
                key = await self._lists.key(session)
            except Unavailable:
                return ""
            waiting = [known for subjects in self._subjects for known in await subjects.unscreened(session, key, "", 1)]
        if not waiting:
            return ""
        # One a while: a sweep that failed or was cancelled is not queued again at once.
        bucket = int(self._clock.wall().timestamp() // AGAIN.total_seconds())
        named = sha256(f"{key}:{waiting[0].reference}:{bucket}".encode()).hexdigest()
        async with self._database.transaction() as session:
            return await add_job(session, SWEEP_JOB, {}, f"{SWEEP_JOB}:{named}", None)

    async def run_once(self) -> None:
        """Carry out what is left over, and have those screened who are due."""
        await self._blocks.settle_pending()
        await self.enqueue_due()

    async def run_forever(self, every: timedelta = EVERY) -> None:
        """Look for whoever is not screened yet, again and again, until cancelled."""
        while True:
            try:
                await self.run_once()
            except RefiError as fault:
                log.warning("screening.not_enqueued", reason=fault.code)
            await asyncio.sleep(every.total_seconds())

    async def run(self, progress: Progress, cancelled: Cancelled) -> dict[str, Any]:
        """Screen everybody who is due; say how many, and what was found."""
        async with self._database.reading() as session:
            key = await self._lists.key(session)
            total = sum([await subjects.count(session, key) for subjects in self._subjects])
        counts = dict.fromkeys(Outcome, 0)
        done = 0
        for subjects in self._subjects:
            after = ""
            while not await cancelled():
                async with self._database.reading() as session:
                    known = await subjects.unscreened(session, key, after, PAGE)
                if not known:
                    break
                for result in await self._screening.screen_all(known):
                    counts[result.decided] += 1
                done, after = done + len(known), known[-1].reference
                await progress(min(done / max(total, 1), 1.0))
        return {"screened": done, "lists_key": key, **{outcome.value: counts[outcome] for outcome in Outcome}}
