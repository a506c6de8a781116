"""Fixes the log's tree on chain, each step so that a crash, a lost answer or a second relay does no harm."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring import repository
from backend.anchoring.engine import anchor_word, log_id
from backend.anchoring.types import EMPTY_HEAD, Anchor, AnchorHead, AnchorState
from backend.audit.service import LogReader
from backend.kernel.canonical import parse_time, time_string
from backend.kernel.errors import Conflict, NotFound, RefiError, Tampered
from backend.kernel.heads import heads_root
from backend.kit.db import Database
from backend.ports.chain import Chain, Reverted
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

log = structlog.get_logger(__name__)

CONTRACT = "AuditAnchor"
POLICY = "anchoring:1"


class AnchorService:
    """Anchors a log in AuditAnchor; what the chain says overrides what the database remembers."""

    def __init__(
        self,
        database: Database,
        chain: Chain,
        reader: LogReader,
        journal: Journal,
        clock: Clock,
        *,
        origin: str,
        public_key: bytes,
        chain_id: int,
    ) -> None:
        self._database = database
        self._chain = chain
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._origin = origin
        self._public_key = public_key
        self.chain_id = chain_id
        self._one_at_a_time = asyncio.Lock()

    @property
    def contract(self) -> str:
        """The address of AuditAnchor, lower-case 0x-hex."""
        return self._chain.address(CONTRACT)

    @cached_property
    def log_id(self) -> bytes:
        """The id under which the contract knows this log."""
        return log_id(self._origin, self._public_key, self.chain_id, self.contract)

    async def anchor_now(self) -> Anchor:
        """Anchor the latest checkpoint and return its anchor, the last one when nothing is new."""
        async with self._one_at_a_time:
            async with self._database.reading() as session:
                asked = await repository.last_request(session, self.log_id)
            await self._follow_chain()
            while (waiting := await self._next()) is not None:
                await self._submit(waiting)
            async with self._database.reading() as session:
                made = await repository.last_mined(session, self.log_id)
            if made is None:
                raise Conflict("there is nothing to anchor yet")
            if asked:
                async with self._database.transaction() as session:
                    await repository.serve_requests(session, self.log_id, asked, made.index)
            return made

    async def request(self, session: AsyncSession, actor: str) -> None:
        """Write that somebody asks for an anchor now; the next one made serves it."""
        await repository.add_request(session, self.log_id, actor, time_string(self._clock.wall()))
        await self._journal.record(session, SYSTEM_ACCOUNT, "anchor.requested", {}, actor=actor, policy=POLICY)

    async def try_anchor(self) -> Anchor | None:
        """Anchor, or say in the log why not: whoever calls has nobody to tell."""
        try:
            return await self.anchor_now()
        except RefiError as error:
            log.warning("anchor.failed", code=error.code, reason=error.detail)
            return None

    async def is_due(self, interval: timedelta, leaves: int) -> bool:
        """Tell whether an anchor was asked for, or enough leaves or time have passed since the last one."""
        async with self._database.reading() as session:
            if await repository.last_request(session, self.log_id):
                return True
            checkpoint = await self._reader.latest(session)
            last = await repository.last_mined(session, self.log_id)
        new = (checkpoint.size if checkpoint else 0) - (last.head.size if last else 0)
        if new <= 0 or last is None:
            return new > 0
        return new >= leaves or self._clock.wall() >= parse_time(last.recorded_at) + interval

    async def anchors(self, session: AsyncSession) -> list[Anchor]:
        """Return every anchor, oldest first."""
        return await repository.anchors(session, self.log_id)

    async def mined(self, session: AsyncSession, index: int | None = None) -> Anchor:
        """Return an anchor that is on chain, the newest unless an index is given."""
        found = await (
            repository.last_mined(session, self.log_id)
            if index is None
            else repository.anchor(session, self.log_id, index)
        )
        if found is None or found.state is not AnchorState.MINED:
            raise NotFound("there is no such anchor on chain")
        return found

    async def _follow_chain(self) -> None:
        count = int(await self._chain.call(CONTRACT, "anchorCount", self.log_id))
        async with self._database.reading() as session:
            known = [one for one in await repository.anchors(session, self.log_id) if one.index < count]
        if not await self._agrees(known, count):
            await self._adopt(count)
        async with self._database.transaction() as session:
            last = await repository.anchor(session, self.log_id, count - 1) if count else None
            await repository.withdraw_from(session, self.log_id, count, last.head.size if last else 0)

    async def _agrees(self, known: list[Anchor], count: int) -> bool:
        if len(known) != count or any(one.state is not AnchorState.MINED for one in known):
            return False
        # Each word hashes a tree that extends the one before: the last one speaks for all.
        return not known or await self._stored_word(count - 1) == anchor_word(self.log_id, count - 1, known[-1].head)

    async def _adopt(self, count: int) -> None:
        found = await self._chain.events(CONTRACT, "Anchored", filters={"logId": self.log_id})
        latest = {int(event["index"]): event for event in found}
        for index in range(count):
            if index not in latest:
                raise Tampered("the chain counts an anchor that it has no event for", index=index)
            await self._adopt_one(index, latest[index])

    async def _adopt_one(self, index: int, event: Mapping[str, Any]) -> None:
        head = AnchorHead(int(event["size"]), bytes(event["root"]), bytes(event["headsRoot"]))
        if await self._stored_word(index) != anchor_word(self.log_id, index, head):
            raise Tampered("the chain's event is not the anchor that the contract stores", index=index)
        async with self._database.transaction() as session:
            known = await repository.anchor(session, self.log_id, index)
            if known and known.head == head and known.state is AnchorState.MINED:
                return
            await self._require_ours(session, head)
            same = known if known and known.head == head else None
            await repository.replace(
                session,
                Anchor(
                    self.log_id,
                    index,
                    head,
                    AnchorState.MINED,
                    same.recorded_at if same else time_string(self._clock.wall()),
                    str(event["tx_hash"]),
                    int(event["block_number"]),
                ),
            )
        log.info("anchor.adopted", index=index, size=head.size)

    async def _require_ours(self, session: AsyncSession, head: AnchorHead) -> None:
        checkpoint = await self._reader.latest(session)
        if checkpoint is None or checkpoint.size < head.size:
            raise Tampered("the chain holds a larger tree than this log", size=head.size)
        if await self._reader.root(session, head.size) != head.root:
            raise Tampered("the chain holds another tree than this log", size=head.size)

    async def _stored_word(self, index: int) -> bytes:
        return bytes(await self._chain.call(CONTRACT, "anchorAt", self.log_id, index))

    async def _next(self) -> Anchor | None:
        async with self._database.transaction() as session:
            last = await repository.last_mined(session, self.log_id)
            index = last.index + 1 if last else 0
            waiting = await repository.anchor(session, self.log_id, index)
            checkpoint = await self._reader.latest(session)
            if waiting or checkpoint is None or checkpoint.size <= (last.head.size if last else 0):
                return waiting
            head = AnchorHead(
                checkpoint.size, checkpoint.root, heads_root(await self._reader.heads(session, checkpoint.size))
            )
            now = time_string(self._clock.wall())
            await repository.add_once(session, Anchor(self.log_id, index, head, AnchorState.RECORDED, now))
            return await repository.anchor(session, self.log_id, index)

    async def _submit(self, waiting: Anchor) -> None:
        async with self._database.transaction() as session:
            last = await repository.last_mined(session, self.log_id)
            if last and last.index >= waiting.index:
                return
            previous = last.head if last else EMPTY_HEAD
            proof = await self._reader.consistency(session, previous.size, waiting.head.size)
            await repository.set_state(session, self.log_id, waiting.index, AnchorState.SUBMITTED)
        try:
            receipt = await self._chain.send(
                KeyRole.ANCHORER, CONTRACT, "anchor", self.log_id, previous.word(), waiting.head.word(), proof
            )
        except Reverted as refused:
            await self._settle(waiting, refused)
            return
        async with self._database.transaction() as session:
            await repository.set_state(
                session,
                self.log_id,
                waiting.index,
                AnchorState.MINED,
                tx_hash=receipt.tx_hash,
                block_number=receipt.block_number,
                gas_used=receipt.gas_used,
            )
        log.info("anchor.mined", index=waiting.index, size=waiting.head.size, tx_hash=receipt.tx_hash)

    async def _settle(self, waiting: Anchor, refused: Reverted) -> None:
        # Another relay may have been faster: then its anchor stands, and what is missing goes on top of it.
        await self._follow_chain()
        async with self._database.reading() as session:
            made = await repository.anchor(session, self.log_id, waiting.index)
        if made is None or made.state is not AnchorState.MINED:
            raise refused
