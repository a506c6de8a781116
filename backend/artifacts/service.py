"""Publish bytes under their CID, whether or not the content store answers now."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.artifacts import repository
from backend.artifacts.types import Pin, PinState
from backend.kernel.cid import file_cid, parse_cid
from backend.kernel.errors import NotFound, RefiError, Tampered, Unavailable
from backend.kit.db import Database
from backend.kit.pagination import Page, PageRequest, page_of
from backend.kit.queue import after_commit
from backend.ports.clock import Clock
from backend.ports.content_store import ContentStore
from backend.ports.journal import SYSTEM_ACCOUNT, Journal

log = structlog.get_logger(__name__)

POLICY = "artifacts:1"
RETRY_BATCH = 100
# So many in a row and it is the store that fails, not what it is given.
GIVE_UP_AFTER = 3


class ArtifactService:
    """Promises artifacts in the caller's transaction and hands them to the store outside of any.

    A store that is down, slow or lies delays a pin; it never fails, holds up or waits on a transaction.
    """

    def __init__(
        self,
        store: ContentStore,
        journal: Journal,
        clock: Clock,
        *,
        patience: timedelta = timedelta(seconds=30),
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._patience = patience.total_seconds()
        self._promised = asyncio.Event()

    async def pin(self, session: AsyncSession, kind: str, content: bytes) -> Pin:
        """Promise the content under its CID; the store gets it once the transaction is durable."""
        promised = await repository.promise(session, file_cid(content), kind, content, self._clock.wall())
        if promised.state is PinState.PENDING:
            after_commit(session, self._promised.set)
        return promised

    async def run(self, database: Database, every: timedelta = timedelta(seconds=30)) -> None:
        """Hand over what was promised, at once and again while the store does not keep it, until cancelled."""
        while True:
            self._promised.clear()
            if await self.retry_pending(database) == RETRY_BATCH:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(every.total_seconds()):
                    await self._promised.wait()

    async def retry_pending(self, database: Database) -> int:
        """Hand over what the store does not keep yet and return how many artifacts it keeps now."""
        async with database.reading() as session:
            waiting = await repository.pending_cids(session, RETRY_BATCH)
        kept, failures = 0, 0
        for cid in waiting:
            state = await self._hand_over(database, cid)
            kept += state is PinState.PINNED
            failures = failures + 1 if state is PinState.PENDING else 0
            if failures == GIVE_UP_AFTER:
                break
        return kept

    async def content(self, database: Database, cid: str) -> tuple[Pin, bytes]:
        """Return an artifact and its bytes, checked against the CID; raise NotFound for what was never published."""
        parse_cid(cid)
        async with database.reading() as session:
            pin = await repository.by_cid(session, cid)
            held = await repository.held_content(session, cid)
        if pin is None:
            raise NotFound("no such artifact")
        # Outside the transaction: a slow store must not use the readers' connections up.
        found = held if held is not None else await self._fetch(cid)
        if file_cid(found) != cid:
            raise Tampered("the content store answered with other bytes", cid=cid)
        return pin, found

    async def page(self, session: AsyncSession, request: PageRequest, kind: str | None = None) -> Page[Pin]:
        """Return artifacts newest first."""
        return page_of(await repository.page(session, request, kind), request, lambda pin: pin.id)

    async def _hand_over(self, database: Database, cid: str) -> PinState | None:
        async with database.reading() as session:
            content = await repository.held_content(session, cid)
        if content is None:
            return None
        state = await self._keep(cid, content)
        async with database.transaction() as session:
            if state is PinState.PENDING:
                await repository.count_attempt(session, cid)
                return state
            return await self._settle(session, cid, state)

    async def _keep(self, cid: str, content: bytes) -> PinState:
        try:
            async with asyncio.timeout(self._patience):
                named = await self._store.put(content)
                await self._store.pin(cid)
                honest = named == cid and await self._store.get(cid) == content
        except (Unavailable, NotFound, TimeoutError, OSError) as error:
            log.warning("artifact.pin_delayed", cid=cid, error=str(error) or type(error).__name__)
            return PinState.PENDING
        except RefiError as error:
            log.warning("artifact.pin_refused", cid=cid, error=error.detail)
            return PinState.FAILED
        if not honest:
            log.error("artifact.store_lied", cid=cid, named=named)
            return PinState.PENDING
        return PinState.PINNED

    async def _settle(self, session: AsyncSession, cid: str, state: PinState) -> PinState | None:
        pin = await repository.settle(session, cid, state)
        if pin is None:
            return None
        fields = {
            "cid": pin.cid,
            "kind": pin.kind,
            "size": pin.size,
            "sha256": pin.sha256,
            "profile": pin.profile,
        }
        event = "artifact.pinned" if state is PinState.PINNED else "artifact.refused"
        await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=SYSTEM_ACCOUNT, policy=POLICY)
        return state

    async def _fetch(self, cid: str) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                return await self._store.get(cid)
        except TimeoutError as error:
            raise Unavailable("the content store does not answer") from error
