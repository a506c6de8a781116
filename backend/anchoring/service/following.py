"""Follows a log's anchors on chain: what it says overrides what the database remembers, but for what is final."""

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring import repository
from backend.anchoring.engine import anchor_word
from backend.anchoring.types import Anchor, AnchorHead, AnchorState, ChainView, Placed
from backend.audit.service import LogReader
from backend.kernel.canonical import time_string
from backend.kernel.errors import NotFound, Tampered, Unavailable
from backend.kernel.heads import heads_root
from backend.kit.db import Database
from backend.ports.chain import Block, Chain, Reverted
from backend.ports.clock import Clock

log = structlog.get_logger(__name__)

CONTRACT = "AuditAnchor"
ATTEMPTS = 5


class Moved(Unavailable):
    """The chain or the database changed while it was read."""

    code = "moved"


class ChainFollower:
    """Brings every anchor's state to what latest, safe and finalized blocks show; one consistent view a time."""

    def __init__(
        self, database: Database, chain: Chain, reader: LogReader, clock: Clock, *, log_id: bytes, chain_id: int
    ) -> None:
        self._database = database
        self._chain = chain
        self._reader = reader
        self._clock = clock
        self._log_id = log_id
        self._chain_id = chain_id

    async def follow(self) -> ChainView:
        """Bring the anchors to where the chain shows them and return the view.

        Raises Tampered when the chain contradicts a final anchor or holds a tree that is not this log's, Unavailable
        when it does not answer or stands behind what it showed before.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._follow_once()
            except (Moved, NotFound, Reverted):
                # A block that was just read is gone: the chain is being reorganised.
                if attempt == ATTEMPTS:
                    raise
        raise Moved("the chain does not hold still")

    async def _follow_once(self) -> ChainView:
        # The database first: what another relay writes meanwhile rests on a view that is not newer than this one.
        async with self._database.reading() as session:
            final = await repository.last_final(session, self._log_id)
            known = await repository.unsettled(session, self._log_id)
        if (found := await self._chain.chain_id()) != self._chain_id:
            raise Unavailable(f"the RPC serves chain {found}, the log is anchored on chain {self._chain_id}")
        latest = await self._chain.block()
        if final and final.block_number is not None and latest.number < final.block_number:
            raise Unavailable(f"the chain's RPC stands at block {latest.number}, behind a final anchor")
        try:
            view = await self._view(final, latest)
        except Tampered:
            raise
        except Unavailable as error:
            # A node does not say "gone" when asked about a block that was reorganised away.
            if await self._stands(latest):
                raise
            raise Moved("the chain was reorganised while it was read") from error
        self._require_final(final, view)
        start = final.index + 1 if final else 0
        placed = {index: self._placed(index, view) for index in range(start, view.count)}
        if not _is_known(known, placed):
            async with self._database.transaction() as session:
                await self._apply(session, final, known, placed, view)
        return view

    async def _view(self, final: Anchor | None, latest: Block) -> ChainView:
        count = int(await self._chain.call(CONTRACT, "anchorCount", self._log_id, block=latest.hash))
        first, settled = (final.index, final.index + 1) if final else (0, 0)
        if count > settled:
            await self._require_entries(count)
        words = {index: await self._stored_word(index, latest) for index in range(first, count)}
        events, safe, finalized = [], count, count
        if count > settled:
            since = final.block_number if final and final.block_number is not None else 0
            events = await self._chain.events(
                CONTRACT, "Anchored", from_block=since, to_block=latest.number, filters={"logId": self._log_id}
            )
            safe, finalized = [min(count, await self._count_at(tag)) for tag in ("safe", "finalized")]
        if not await self._stands(latest):
            raise Moved("the chain was reorganised while it was read")
        found = {int(event["index"]): event for event in events}
        return ChainView(latest.number, latest.hash, count, words, found, max(safe, finalized), finalized)

    async def _require_entries(self, count: int) -> None:
        # Each anchor holds one entry more than the one before. Read after the count: the log only grows.
        async with self._database.reading() as session:
            checkpoint = await self._reader.latest(session)
        if checkpoint is None or checkpoint.size < count:
            raise Tampered("the chain counts more anchors than this log has entries", count=count)

    async def _stands(self, block: Block) -> bool:
        try:
            return (await self._chain.block(block.number)).hash == block.hash
        except NotFound:
            return False

    async def _stored_word(self, index: int, at: Block) -> bytes:
        return bytes(await self._chain.call(CONTRACT, "anchorAt", self._log_id, index, block=at.hash))

    async def _count_at(self, tag: str) -> int:
        try:
            block = await self._chain.block(tag)
        except NotFound:
            return 0
        try:
            return int(await self._chain.call(CONTRACT, "anchorCount", self._log_id, block=block.hash))
        except Unavailable:
            # A node without that block's state has its events all the same; before the contract there are none.
            filters = {"logId": self._log_id}
            found = await self._chain.events(CONTRACT, "Anchored", to_block=block.number, filters=filters)
            return len(found)

    def _require_final(self, final: Anchor | None, view: ChainView) -> None:
        if final is None:
            return
        stored = view.words.get(final.index)
        if stored != anchor_word(self._log_id, final.index, final.head):
            raise Tampered("the chain contradicts a finalized anchor", index=final.index, block=view.hash)

    def _placed(self, index: int, view: ChainView) -> Placed:
        event = view.events.get(index)
        if event is None:
            # Nodes count sooner than they find; one that hides an event for good holds up, and proves nothing.
            raise Unavailable(f"the chain's RPC counts anchor {index} and has no event for it")
        head = AnchorHead(int(event["size"]), bytes(event["root"]), bytes(event["headsRoot"]))
        if view.words[index] != anchor_word(self._log_id, index, head):
            raise Tampered("the chain's event is not the anchor that the contract stores", index=index)
        state = AnchorState.UNSAFE
        if index < view.final_count:
            state = AnchorState.FINALIZED
        elif index < view.safe_count:
            state = AnchorState.SAFE
        return Placed(head, state, str(event["tx_hash"]), int(event["block_number"]))

    async def _apply(
        self,
        session: AsyncSession,
        final: Anchor | None,
        known: list[Anchor],
        placed: dict[int, Placed],
        view: ChainView,
    ) -> None:
        same = await repository.unsettled(session, self._log_id) == known
        if not same or await repository.last_final(session, self._log_id) != final:
            raise Moved("another relay was faster")
        rows = {one.index: one for one in known}
        for index, one in placed.items():
            await self._place(session, index, rows.get(index), one)
        size = placed[view.count - 1].head.size if placed else (final.head.size if final else 0)
        await repository.withdraw_from(session, self._log_id, view.count, size)
        for lost in known:
            if lost.index >= view.count and lost.block_number is not None:
                log.warning("anchor.withdrawn", index=lost.index, size=lost.head.size, state=lost.state.value)

    async def _place(self, session: AsyncSession, index: int, known: Anchor | None, one: Placed) -> None:
        if known is None or known.head != one.head:
            await self._require_ours(session, one.head)
            now = time_string(self._clock.wall())
            adopted = Anchor(self._log_id, index, one.head, one.state, now, one.tx_hash, one.block_number)
            await repository.replace(session, adopted)
            log.info("anchor.adopted", index=index, size=one.head.size, state=one.state.value)
        elif _moved(known, one):
            await repository.place(session, known, one.state, one.tx_hash, one.block_number)
            if known.state is not one.state:
                log.info("anchor." + one.state.value, index=index, size=one.head.size, tx_hash=one.tx_hash)

    async def _require_ours(self, session: AsyncSession, head: AnchorHead) -> None:
        checkpoint = await self._reader.latest(session)
        if checkpoint is None or checkpoint.size < head.size:
            raise Tampered("the chain holds a larger tree than this log", size=head.size)
        if await self._reader.root(session, head.size) != head.root:
            raise Tampered("the chain holds another tree than this log", size=head.size)
        # The contract takes any from who may anchor; no evidence of ours would fit such an anchor.
        if heads_root(await self._reader.heads(session, head.size)) != head.heads_root:
            raise Tampered("the chain holds other account heads than this log", size=head.size)


def _moved(known: Anchor, one: Placed) -> bool:
    return (known.state, known.tx_hash, known.block_number) != (one.state, one.tx_hash, one.block_number)


def _is_known(known: list[Anchor], placed: dict[int, Placed]) -> bool:
    on_chain = [one for one in known if one.index in placed]
    waits = [one for one in known if one.index not in placed]
    return (
        len(on_chain) == len(placed)
        and not any(_moved(one, placed[one.index]) or one.head != placed[one.index].head for one in on_chain)
        and all(one.block_number is None for one in waits)
    )
