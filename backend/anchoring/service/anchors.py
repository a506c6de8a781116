"""Fixes the log's tree on chain, each step so that a crash, a lost answer or a second relay does no harm."""

import asyncio
from datetime import timedelta
from functools import cached_property

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring import repository
from backend.anchoring.engine import log_id
from backend.anchoring.service.following import CONTRACT, ChainFollower
from backend.anchoring.service.l1 import L1Reader
from backend.anchoring.service.timestamps import Timestamps
from backend.anchoring.types import (
    EMPTY_HEAD,
    ON_CHAIN,
    Anchor,
    AnchorHead,
    AnchorState,
    EntryPlace,
    EntryState,
)
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

POLICY = "anchoring:1"
# What the contract says when another relay was faster, or the chain was reorganised between looking and sending.
RACES = frozenset({"WrongPrevious", "SizeNotRising", "a mined transaction failed"})
LOST_RACES = 8


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
        l1: Chain | None = None,
    ) -> None:
        self._database = database
        self._chain = chain
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._origin = origin
        self._public_key = public_key
        self.chain_id = chain_id
        self._l1 = l1
        self._one_at_a_time = asyncio.Lock()

    @property
    def contract(self) -> str:
        """The address of AuditAnchor, lower-case 0x-hex."""
        return self._chain.address(CONTRACT)

    @cached_property
    def log_id(self) -> bytes:
        """The id under which the contract knows this log."""
        return log_id(self._origin, self._public_key, self.chain_id, self.contract)

    @cached_property
    def _follower(self) -> ChainFollower:
        return ChainFollower(
            self._database, self._chain, self._reader, self._clock, log_id=self.log_id, chain_id=self.chain_id
        )

    @cached_property
    def _timestamps(self) -> Timestamps:
        return Timestamps(self._database, self._chain, self.log_id)

    @cached_property
    def _l1_reader(self) -> L1Reader | None:
        return L1Reader(self._database, self._l1, self.log_id) if self._l1 else None

    async def anchor_now(self) -> Anchor:
        """Anchor the latest checkpoint and return its anchor, the last one when nothing is new."""
        async with self._one_at_a_time:
            async with self._database.reading() as session:
                checkpoint = await self._reader.latest(session)
            await self._follower.follow()
            await self._anchor_up_to(checkpoint.size if checkpoint else 0)
            async with self._database.transaction() as session:
                made = await repository.last_mined(session, self.log_id)
                if made is not None:
                    await repository.serve_requests(session, made)
            if made is None:
                raise Conflict("there is nothing to anchor yet")
            return made

    async def follow(self) -> None:
        """Bring every anchor's state to what the chain shows, also what stands on L1 and in the attestation service."""
        async with self._one_at_a_time:
            view = await self._follower.follow()
        await self._timestamps.follow(view)
        if self._l1_reader is not None:
            await self._l1_reader.follow()

    async def request(self, session: AsyncSession, actor: str) -> None:
        """Write that somebody asks for an anchor now; the first one that holds the record of it serves it."""
        asked = await self._journal.record(session, SYSTEM_ACCOUNT, "anchor.requested", {}, actor=actor, policy=POLICY)
        now = time_string(self._clock.wall())
        await repository.add_request(session, self.log_id, actor, now, asked.record_id)

    async def try_anchor(self) -> Anchor | None:
        """Anchor, or say in the log why not: whoever calls has nobody to tell."""
        try:
            return await self.anchor_now()
        except Tampered as alarm:
            log.critical("anchor.tampered", reason=alarm.detail, **alarm.context)
            return None
        except RefiError as error:
            log.warning("anchor.failed", code=error.code, reason=error.detail)
            return None

    async def is_due(self, interval: timedelta, leaves: int) -> bool:
        """Tell whether to anchor.

        An anchor waits that the chain does not hold (any more), somebody asked, a trading day ended, or enough leaves
        or time have passed since the last one.
        """
        async with self._database.reading() as session:
            if await repository.waiting(session, self.log_id) or await repository.asks(session, self.log_id):
                return True
            checkpoint = await self._reader.latest(session)
            last = await repository.last_mined(session, self.log_id)
            day_ended = last is not None and await repository.day_ended(session, last.head.size)
        new = (checkpoint.size if checkpoint else 0) - (last.head.size if last else 0)
        if new <= 0 or last is None:
            return new > 0
        # Also backwards: a clock that was ahead once must not hold the next anchor up until it is there again.
        elapsed = abs(self._clock.wall() - parse_time(last.recorded_at))
        return day_ended or new >= leaves or elapsed >= interval

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
        if found is None or found.state not in ON_CHAIN:
            raise NotFound("there is no such anchor on chain")
        return found

    async def state_of(self, session: AsyncSession, index: int) -> EntryPlace:
        """Return how far an entry has come; NotFound when no record waits for that place either."""
        furthest = await repository.furthest_over(session, self.log_id, index)
        if furthest is not None and furthest.state is not AnchorState.RECORDED:
            return EntryPlace(index, EntryState(furthest.state.value), furthest.index)
        checkpoint = await self._reader.latest(session)
        size = checkpoint.size if checkpoint else 0
        if index < size:
            return EntryPlace(index, EntryState.CHECKPOINTED)
        if await repository.has_entry(session, index):
            return EntryPlace(index, EntryState.LOGGED)
        if index < size + await self._reader.pending(session):
            return EntryPlace(index, EntryState.RECORDED)
        raise NotFound(f"the log has no entry {index}")

    async def _anchor_up_to(self, size: int) -> None:
        lost = 0
        while (waiting := await self._next(size)) is not None:
            try:
                await self._submit(waiting)
            except Reverted as refused:
                lost += 1
                await self._follower.follow()
                async with self._database.reading() as session:
                    made = await repository.anchor(session, self.log_id, waiting.index)
                if made is not None and made.state in ON_CHAIN:
                    continue
                if refused.name not in RACES or lost == LOST_RACES:
                    raise

    async def _next(self, size: int) -> Anchor | None:
        """Return the anchor to send next: one that waits, or a new one while the last is below `size`."""
        async with self._database.transaction() as session:
            last = await repository.last_mined(session, self.log_id)
            index, anchored = (last.index + 1, last.head.size) if last else (0, 0)
            waiting = await repository.anchor(session, self.log_id, index)
            checkpoint = await self._reader.latest(session)
            if waiting or checkpoint is None or anchored >= size:
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
            if (last.index + 1 if last else 0) != waiting.index:
                return
            previous = last.head if last else EMPTY_HEAD
            proof = await self._reader.consistency(session, previous.size, waiting.head.size)
            if not await repository.submit(session, waiting):
                return
        # No transaction is open here: the database is free for as long as the chain takes.
        receipt = await self._chain.send(
            KeyRole.ANCHORER, CONTRACT, "anchor", self.log_id, previous.word(), waiting.head.word(), proof
        )
        log.info("anchor.mined", index=waiting.index, size=waiting.head.size, tx_hash=receipt.tx_hash)
        await self._follower.follow()
        async with self._database.transaction() as session:
            await repository.note_gas(session, self.log_id, receipt.tx_hash, receipt.gas_used)
