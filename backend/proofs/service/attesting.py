"""The job that has every closed epoch attested, so that nobody hides a limit that they broke by not asking."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.kit.queue import Jobs, OpenJob, ends_of, open_jobs
from backend.ports.chain import Chain
from backend.ports.clock import Clock
from backend.proofs import repository
from backend.proofs.engine.kept import ClosedEpoch, PolicyTerms, word
from backend.proofs.service.anchored import Anchors, MinedAnchor, RecordChain
from backend.proofs.service.attestation import ATTEST_JOB, ATTESTOR

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=10)
# At most so many jobs of this kind are open: those that somebody asked for must not wait behind many.
ROUND = 4
# What failed is tried again after a minute, then two, then four ...
ATTEMPTS = 8
PAUSE = timedelta(minutes=1)
# Epochs that are older than the newest closed one by more than this many days are left to whoever asks.
LOOK_BACK = 60
# How long a job that somebody asked for may stand for this one: it could be cancelled and asked for for ever.
PATIENCE = timedelta(minutes=2)
SYSTEM = "system"


class AttestingJob:
    """Starts the attestation of what is closed, published and anchored: per wallet the oldest epoch, then the next."""

    def __init__(
        self, database: Database, chain: Chain, records: RecordChain, anchors: Anchors, clock: Clock, jobs: Jobs,
        *, policy_id: bytes,
    ) -> None:  # fmt: skip
        self._database = database
        self._chain = chain
        self._records = records
        self._anchors = anchors
        self._clock = clock
        self._jobs = jobs
        self._policy_id = policy_id
        self._asked_since: dict[tuple[str, int], datetime] = {}

    async def run(self, every: timedelta = EVERY) -> None:
        """Start what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(every.total_seconds())

    async def run_once(self) -> Sequence[tuple[str, int]]:
        """Start what is due, oldest first, and return (wallet, epoch); any number of processes may."""
        async with self._database.reading() as session:
            due = await self._due(session)
        # A policy that the chain does not know would only use up the attempts.
        if not due or PolicyTerms(*await self._chain.call(ATTESTOR, "policyOf", self._policy_id)).window == 0:
            return []
        async with self._database.transaction() as session:
            for closed, attempt in due:
                payload = {"subject": closed.subject, "epoch": closed.epoch, "own": False, "by": SYSTEM}
                await self._jobs.enqueue(session, ATTEST_JOB, payload, key=self._key(closed, attempt))
        started = [(closed.subject, closed.epoch) for closed, _ in due]
        for subject, epoch in started:
            log.info("var.due", subject=subject, epoch=epoch)
        return started

    async def _due(self, session: AsyncSession) -> list[tuple[ClosedEpoch, int]]:
        """Return the epochs to start now, oldest first, each with the number of the attempt."""
        room = ROUND - len(await open_jobs(session, ATTEST_JOB, "by", SYSTEM))
        found: list[tuple[ClosedEpoch, int]] = []
        try:
            anchor = await self._anchors.mined(session)
        except NotFound:
            return found
        last = self._prefix(), f"/{ATTEMPTS - 1}"
        for closed in await repository.unattested(session, self._policy_id, LOOK_BACK, last):
            if len(found) >= room:
                break
            attempt = await self._attempt(session, closed)
            if attempt is not None and await self._startable(session, closed, anchor):
                found.append((closed, attempt))
        return found

    async def _attempt(self, session: AsyncSession, closed: ClosedEpoch) -> int | None:
        """Return the number of the attempt that may begin now; None while one is open or it is too soon."""
        keys = [self._key(closed, number) for number in range(ATTEMPTS)]
        known = await ends_of(session, keys)
        if not _rested(known, self._clock.wall()):
            return None
        later = await repository.attested_after(session, closed.subject, closed.epoch, self._policy_id)
        # The chain takes it no more; that it breaks a limit can still be found, once.
        return len(known) if later is None else ATTEMPTS - 1

    async def _startable(self, session: AsyncSession, closed: ClosedEpoch, anchor: MinedAnchor) -> bool:
        below = await self._records.chain(session, closed.account, closed.record_seq, anchor.head.size)
        if not below or below[0].seq != closed.record_seq:
            return False
        asked = [
            one for one in await open_jobs(session, ATTEST_JOB, "subject", closed.subject) if self._same(one, closed)
        ]
        case, now = (closed.subject, closed.epoch), self._clock.wall()
        if not asked:
            self._asked_since.pop(case, None)
            return True
        return now - self._asked_since.setdefault(case, now) >= PATIENCE

    def _same(self, job: OpenJob, closed: ClosedEpoch) -> bool:
        about = job.payload
        policy = about.get("policy_id") or word(self._policy_id)
        return about["epoch"] == closed.epoch and policy == word(self._policy_id) and "anchor_index" not in about

    def _prefix(self) -> str:
        return f"attest/{self._policy_id.hex()}/"

    def _key(self, closed: ClosedEpoch, attempt: int) -> str:
        return f"{self._prefix()}{closed.subject}/{closed.epoch}/{attempt}"


def _rested(ends: Sequence[datetime | None], now: datetime) -> bool:
    """Return whether all attempts are over, and the last one long enough ago."""
    over = [moment for moment in ends if moment is not None]
    if len(over) < len(ends):
        return False
    return not over or now >= max(over) + PAUSE * 2 ** (len(over) - 1)
