"""The process that anchors the log and follows its anchors: `python -m oracle.anchor_relay`.

It anchors every so often, after so many leaves, when a trading day has ended, when somebody asks, and again whatever a
reorganised chain has lost. Any number may run at once, with one key or several.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from backend.anchoring.service import AnchorService
from backend.compliance.service import SettlementService
from backend.kernel.errors import Tampered
from oracle.loop import FAULTS, MOST_DOUBLINGS, POLL, pause, start

if TYPE_CHECKING:
    from backend.bootstrap import Platform

log = structlog.get_logger(__name__)

FOLLOW = timedelta(seconds=2)
SETTLE_AGAIN = timedelta(seconds=30)

Settle = Callable[[], Awaitable[object]]


async def relay(
    service: AnchorService,
    stop: asyncio.Event,
    *,
    interval: timedelta,
    leaves: int,
    poll: timedelta = POLL,
    follow: timedelta = FOLLOW,
    anchored: Callable[[], None] = lambda: None,
) -> None:
    """Anchor whenever one is due until told to stop; a chain that is down is asked again, less and less often.

    Raises Tampered when the chain contradicts what was final, or holds what is not this log: anchoring on top of that
    would bury it.
    """
    failures, followed = 0, -follow.total_seconds()
    while not stop.is_set():
        try:
            if await service.is_due(interval, leaves):
                made = await service.anchor_now()
                log.info("anchor.up_to", index=made.index, size=made.head.size, state=made.state.value)
                anchored()
            if time.monotonic() - followed >= follow.total_seconds():
                await service.follow()
                followed = time.monotonic()
            failures = 0
        except Tampered as alarm:
            log.critical("anchor.tampered", reason=alarm.detail, **alarm.context)
            raise
        except FAULTS as error:
            failures = min(failures + 1, MOST_DOUBLINGS)
            log.warning(
                "anchor.failed",
                code=getattr(error, "code", "fault"),
                reason=getattr(error, "detail", type(error).__name__),
                failures=failures,
            )
        await pause(stop, poll * 2**failures)


async def settle_after(
    anchored: asyncio.Event, settle: Settle, stop: asyncio.Event, again: timedelta = SETTLE_AGAIN
) -> None:
    """Settle after each anchor until told to stop, after a fault once more; beside the anchors, never before them."""
    while not stop.is_set():
        await anchored.wait()
        anchored.clear()
        try:
            await settle()
        except FAULTS as error:
            log.warning("settlement.failed", code=getattr(error, "code", "fault"), reason=str(error))
            anchored.set()
            await pause(stop, again)


async def run(platform: "Platform", stop: asyncio.Event) -> None:
    """Relay for a deployment until told to stop."""
    service: AnchorService = platform.service(AnchorService)
    settlement: SettlementService = platform.service(SettlementService)
    log.info("relay.started", log_id="0x" + service.log_id.hex())
    anchored = asyncio.Event()
    # What a relay before this one left is settled at once.
    anchored.set()

    async def settle() -> None:
        # Its records carry the business time, which others move.
        await platform.load()
        await settlement.settle()

    settling = asyncio.create_task(settle_after(anchored, settle, stop))
    settling.add_done_callback(_say_what_died)
    try:
        await relay(
            service,
            stop,
            interval=platform.settings.anchor_interval,
            leaves=platform.settings.anchor_leaves,
            follow=platform.settings.anchor_follow,
            anchored=anchored.set,
        )
    finally:
        settling.cancel()
        await asyncio.wait({settling})
    log.info("relay.stopped")


def _say_what_died(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("settlement.died", exc_info=task.exception())


def main() -> int:
    """Run until told to stop; an alarm ends it with an error."""
    try:
        start(run)
    except Tampered:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
