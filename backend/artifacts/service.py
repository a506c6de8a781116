"""Publish bytes under their CID, whether or not the content store answers now."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.artifacts import repository
from backend.artifacts.types import Pin, PinState
from backend.kernel.cid import file_cid, parse_cid
from backend.kernel.errors import NotFound, RefiError, Tampered, Unavailable
from backend.kit.db import Database
from backend.kit.pagination import Page, PageRequest, page_of
from backend.ports.clock import Clock
from backend.ports.content_store import ContentStore
from backend.ports.journal import SYSTEM_ACCOUNT, Journal

log = structlog.get_logger(__name__)

POLICY = "artifacts:1"
RETRY_BATCH = 100


class ArtifactService:
    """Pins artifacts; a store that is down or lies delays a pin and never fails its caller."""

    def __init__(
        self,
        store: ContentStore,
        journal: Journal,
        clock: Clock,
        *,
        patience: timedelta = timedelta(seconds=5),
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._patience = patience.total_seconds()

    async def pin(self, session: AsyncSession, kind: str, content: bytes) -> Pin:
        """Promise the content under its CID and hand it to the store; still pending when the store does not keep it."""
        cid = file_cid(content)
        promised = await repository.promise(session, cid, kind, content, self._clock.wall())
        if promised.state is not PinState.PENDING:
            return promised
        return await self._settled(session, promised, await self._keep(cid, content))

    async def retry_pending(self, database: Database) -> int:
        """Hand over what the store does not keep yet and return how many artifacts it keeps now."""
        async with database.reading() as session:
            waiting = await repository.pending_cids(session, RETRY_BATCH)
        kept = 0
        for cid in waiting:
            async with database.reading() as session:
                content = await repository.held_content(session, cid)
            if content is None:
                continue
            # Outside a transaction: a slow store must not hold the writers up.
            state = await self._keep(cid, content)
            async with database.transaction() as session:
                promised = await repository.by_cid(session, cid)
                if promised is not None:
                    kept += (await self._settled(session, promised, state)).state is PinState.PINNED
        return kept

    async def content(self, session: AsyncSession, cid: str) -> tuple[Pin, bytes]:
        """Return an artifact and its bytes, checked against the CID; raise NotFound for what was never published."""
        parse_cid(cid)
        pin = await repository.by_cid(session, cid)
        if pin is None:
            raise NotFound("no such artifact")
        held = await repository.held_content(session, cid)
        found = held if held is not None else await self._fetch(cid)
        if file_cid(found) != cid:
            raise Tampered("the content store answered with other bytes", cid=cid)
        return pin, found

    async def page(self, session: AsyncSession, request: PageRequest, kind: str | None = None) -> Page[Pin]:
        """Return artifacts newest first."""
        return page_of(await repository.page(session, request, kind), request, lambda pin: pin.id)

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

    async def _settled(self, session: AsyncSession, pin: Pin, state: PinState) -> Pin:
        if state is PinState.PENDING:
            return pin
        settled = await repository.settle(session, pin.cid, state)
        if settled is None:
            return pin
        fields = {
            "cid": pin.cid,
            "kind": pin.kind,
            "size": pin.size,
            "sha256": pin.sha256,
            "profile": pin.profile,
        }
        event = "artifact.pinned" if state is PinState.PINNED else "artifact.refused"
        await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=SYSTEM_ACCOUNT, policy=POLICY)
        return settled

    async def _fetch(self, cid: str) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                return await self._store.get(cid)
        except TimeoutError as error:
            raise Unavailable("the content store does not answer") from error
