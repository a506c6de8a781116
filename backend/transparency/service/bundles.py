"""Publishes the log in bundles, one a business day: whoever has them all needs nobody to audit it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.service import AnchorService
from backend.anchoring.types import ON_CHAIN, WAITING, Anchor
from backend.artifacts.service import ArtifactService
from backend.audit.service import LogReader
from backend.kernel.canonical import canonical_json, parse_time
from backend.kernel.cid import file_cid
from backend.kernel.errors import RefiError
from backend.kernel.signed_note import VerifierKey
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.transparency import repository
from backend.transparency.engine.log_audit import BUNDLE_FORMAT
from backend.transparency.service.log_part import LogPart
from backend.transparency.types import Pack

log = structlog.get_logger(__name__)

KIND = "log-bundle"
# About 25 MB in a bundle: one that holds more than a content store or a reader likes is made in parts.
MAX_ENTRIES = 200_000


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    anchors: Sequence[Anchor]
    anchor_end: int


class LogBundles:
    """Builds each day's bundle once it is closed and anchored, without a gap and without a double.

    A bundle ends at an anchored size, so that every anchor up to its end is known and in it; where no anchor comes,
    it ends at a signed checkpoint after a while.
    """

    def __init__(
        self,
        database: Database,
        reader: LogReader,
        anchoring: AnchorService,
        artifacts: ArtifactService,
        clock: Clock,
        *,
        origin: str,
        public_key: bytes,
        anchor_wait: timedelta = timedelta(minutes=30),
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._database = database
        self._reader = reader
        self._anchoring = anchoring
        self._artifacts = artifacts
        self._clock = clock
        self._key = VerifierKey(origin, public_key)
        self._part = LogPart(reader, anchoring, origin=origin, public_key=public_key)
        self._anchor_wait = anchor_wait
        self._max_entries = max_entries

    async def run(self, every: timedelta = timedelta(seconds=10)) -> None:
        """Build what is due, again and again until cancelled."""
        while True:
            await self.try_build()
            await asyncio.sleep(every.total_seconds())

    async def try_build(self) -> int:
        """Build what is due, or say in the log why not: the next turn catches up."""
        try:
            return await self.build_due()
        except RefiError as error:
            log.warning("bundle.delayed", code=error.code, reason=error.detail)
            return 0

    async def build_due(self) -> int:
        """Promise the bundles of every closed day that has none, oldest first, and return how many."""
        made = 0
        while await self._build_next():
            made += 1
        return made

    async def _build_next(self) -> bool:
        async with self._database.reading() as session:
            span = await self._due(session)
            if span is None:
                return False
            bundle = await self._bundle(session, span)
        content = await asyncio.to_thread(canonical_json, bundle)
        cid = await asyncio.to_thread(file_cid, content)
        async with self._database.transaction() as session:
            added = await repository.add_bundle(session, span.start, span.end, span.anchor_end, cid, self._clock.wall())
            # Another process may have been faster: then there is nothing to promise.
            if added:
                await self._artifacts.pin(session, KIND, content)
        return added

    async def _due(self, session: AsyncSession) -> _Span | None:
        start, anchor_start = await repository.last_bundle(session)
        closed = await repository.first_opened_day(session, start)
        if closed is None:
            return None
        index, closed_at = closed
        anchors = await self._anchoring.anchors(session)
        covering = next((one.head.size for one in anchors if one.state in ON_CHAIN and one.head.size > index), None)
        if covering is None and self._clock.wall() < parse_time(closed_at) + self._anchor_wait:
            return None
        end = covering or await repository.checkpoint_above(session, index)
        if end is None:
            return None
        if end - start > self._max_entries:
            part = await repository.checkpoint_up_to(session, start + self._max_entries)
            end = part if part > start else await repository.checkpoint_above(session, start) or end
        below = [one for one in anchors if one.index >= anchor_start and one.head.size <= end]
        if any(one.state in WAITING for one in below):
            # It will have been below this bundle's end, and would be missing from it for ever.
            return None
        return _Span(start, end, below, below[-1].index + 1 if below else anchor_start)

    async def _bundle(self, session: AsyncSession, span: _Span) -> Pack:
        checkpoint = await self._reader.checkpoint(session, span.end)
        return {
            "format": BUNDLE_FORMAT,
            "origin": self._key.name,
            "log_public_key": str(self._key),
            "start": span.start,
            "end": span.end,
            "entries": await self._reader.entries_at(session, range(span.start, span.end)),
            "checkpoint": checkpoint.note,
            "anchors": [self._part.anchor(one) for one in span.anchors],
        }
