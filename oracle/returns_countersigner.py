"""The second publisher: makes each published matrix again from data of its own, and signs the equal ones.

`REFI_MARKET_DATA_FILE=<panel> python -m oracle.returns_countersigner`; its key is the keystore's "countersigner". A
matrix that differs is reported with the first day and instrument where it does, and never signed.
"""

import asyncio
from datetime import timedelta

import structlog

from backend.kit.db import Database
from backend.kit.logging import configure_logging
from backend.ports.chain import Reverted
from backend.proofs.service import CountersignService, Disputed
from backend.settings import Settings
from oracle.anchor_relay import stop_on_signals, until_stopped
from oracle.returns_publisher import POLL, repeat

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


async def run(settings: Settings) -> None:
    """Countersign for a deployment until a signal comes."""
    # Late: the whole platform is much to load for whoever only wants the loop.
    from backend.bootstrap import build  # noqa: PLC0415

    platform, stop = build(settings), asyncio.Event()
    stop_on_signals(stop)
    try:
        await until_stopped(countersign_all(platform.service(CountersignService), platform.database, stop), stop)
    finally:
        await platform.close()


if __name__ == "__main__":
    chosen = Settings()
    configure_logging(chosen.log_level)
    asyncio.run(run(chosen))
