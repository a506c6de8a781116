"""Gives the anchors to the attestation service of the chain as well; that never hurts anchoring."""

import structlog

from backend.anchoring import repository
from backend.anchoring.engine import anchor_word
from backend.anchoring.types import WAITING, Anchor, ChainView
from backend.kernel.errors import NotFound, RefiError, Unavailable
from backend.kit.db import Database
from backend.ports.chain import Chain, Reverted
from backend.ports.signer import KeyRole

log = structlog.get_logger(__name__)

EAS = "EAS"
AT_ONCE = 16
ABSENT = "absent"


class Timestamps:
    """Gives each anchor's word to EAS, which notes the time, where EAS stands on the chain."""

    def __init__(self, database: Database, chain: Chain, log_id: bytes) -> None:
        self._database = database
        self._chain = chain
        self._log_id = log_id
        self._seen = ""

    async def follow(self, view: ChainView) -> None:
        """Timestamp the words of the anchors that may still change; say in the log why not."""
        if view.hash == self._seen:
            return
        async with self._database.reading() as session:
            waiting = [one for one in await repository.unsettled(session, self._log_id) if one.state not in WAITING]
            last = await repository.last_mined(session, self._log_id)
        # One that became final before its turn came is not passed over.
        if last is not None and last.eas_tx_hash is None and last not in waiting:
            waiting.append(last)
        try:
            for one in waiting[-AT_ONCE:]:
                await self._timestamp(one)
        except (Unavailable, NotFound) as error:
            if self._seen != ABSENT:
                log.info("anchor.eas_absent", reason=error.detail)
            self._seen = ABSENT
        except RefiError as error:
            log.warning("anchor.eas_failed", code=error.code, reason=error.detail)
        else:
            self._seen = view.hash

    async def _timestamp(self, one: Anchor) -> None:
        word = anchor_word(self._log_id, one.index, one.head)
        stands = int(await self._chain.call(EAS, "getTimestamp", word))
        if stands and one.eas_tx_hash is not None:
            return
        tx_hash = None
        if not stands:
            try:
                tx_hash = (await self._chain.send(KeyRole.ANCHORER, EAS, "timestamp", word)).tx_hash
            except Reverted as refused:
                # Another relay, or a stranger, was faster; the word is timestamped, which is all that counts.
                log.info("anchor.eas_refused", index=one.index, reason=refused.detail)
        if tx_hash is None:
            found = await self._chain.events(EAS, "Timestamped", filters={"data": word})
            tx_hash = str(found[-1]["tx_hash"]) if found else None
        if tx_hash is not None:
            async with self._database.transaction() as session:
                await repository.note_timestamp(session, self._log_id, one.index, tx_hash)
            log.info("anchor.timestamped", index=one.index, tx_hash=tx_hash)
