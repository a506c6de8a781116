"""Learns which anchors were proven on L1; that never hurts anchoring."""

import structlog

from backend.anchoring import repository
from backend.anchoring.engine import WORD, anchor_word
from backend.anchoring.types import Anchor
from backend.kernel.errors import NotFound, RefiError, Tampered
from backend.kit.db import Database
from backend.ports.chain import Chain

log = structlog.get_logger(__name__)

L1_VERIFIER = "L1AnchorVerifier"


class L1Reader:
    """Learns from L1's finalized block which final anchors were proven there."""

    def __init__(self, database: Database, l1: Chain, log_id: bytes) -> None:
        self._database = database
        self._l1 = l1
        self._log_id = log_id
        self._seen = ""

    async def follow(self) -> None:
        """Move the final anchors that L1 holds to "l1_proven".

        Raises Tampered when L1 holds another word; when L1 does not answer, says so in the log.
        """
        try:
            await self._follow()
        except Tampered:
            raise
        except RefiError as error:
            log.warning("anchor.l1_failed", code=error.code, reason=error.detail)

    async def _follow(self) -> None:
        async with self._database.reading() as session:
            if await repository.first_unproven(session, self._log_id) is None:
                return
        # What L1's finalized block holds is never withdrawn; what its latest holds may be.
        try:
            block = await self._l1.block("finalized")
        except NotFound:
            return
        if block.hash == self._seen:
            return
        found = await self._l1.events(
            L1_VERIFIER, "AnchorProven", to_block=block.number, filters={"logId": self._log_id}
        )
        proven = sorted({int(event["index"]) for event in found})
        async with self._database.reading() as session:
            new = await repository.final_unproven(session, self._log_id, proven)
        if all([await self._prove(one, block.hash) for one in new]):
            self._seen = block.hash

    async def _prove(self, one: Anchor, block: str) -> bool:
        """Move an anchor that L1 holds; tell whether it does."""
        stored = bytes(await self._l1.call(L1_VERIFIER, "provenAt", self._log_id, one.index, block=block))
        if stored == bytes(WORD):
            log.warning("anchor.l1_failed", code="unavailable", reason="an event without its word", index=one.index)
            return False
        if stored != anchor_word(self._log_id, one.index, one.head):
            raise Tampered("L1 holds another word for a finalized anchor", index=one.index)
        async with self._database.transaction() as session:
            await repository.prove(session, self._log_id, one.index)
        log.info("anchor.l1_proven", index=one.index, size=one.head.size)
        return True
