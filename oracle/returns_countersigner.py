"""The second publisher: makes each published matrix again from data of its own, and signs the equal ones.

`REFI_MARKET_DATA_FILE=<panel> python -m oracle.returns_countersigner`; its key is the keystore's "countersigner". A
matrix that differs is reported with the first day and instrument where it does, and never signed.
"""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.proofs.service import CountersignService, Disputed
from oracle.loop import POLL, repeat, start

if TYPE_CHECKING:
    from backend.bootstrap import Platform

log = structlog.get_logger(__name__)


async def countersign_all(
    service: CountersignService, database: Database, stop: asyncio.Event, *, poll: timedelta = POLL
) -> None:
    """Countersign what is published until told to stop."""
    disputed: set[int] = set()

    async def countersign() -> None:
        async with database.reading() as session:
            waiting = await service.waiting(session)
        refused: Reverted | None = None
        for epoch in waiting:
            if epoch in disputed or stop.is_set():
                continue
            try:
                async with database.transaction() as session:
                    outcome = await service.countersign(session, epoch)
            except Reverted as no:
                # The epochs after it must not wait for one that the contract does not take.
                log.warning("returns.not_countersigned", epoch=epoch, reason=no.detail)
                refused = no
                continue
            if isinstance(outcome, Disputed):
                disputed.add(epoch)
                log.error("returns.disputed", epoch=epoch, reason=outcome.reason)
            elif outcome is not None:
                log.info("returns.countersigned", epoch=epoch, tx_hash=outcome.tx_hash)
        if refused is not None:
            raise refused

    await repeat("countersign", countersign, stop, poll)


async def run(platform: "Platform", stop: asyncio.Event) -> None:
    """Countersign for a deployment until told to stop."""
    await countersign_all(platform.service(CountersignService), platform.database, stop)


if __name__ == "__main__":
    start(run)
