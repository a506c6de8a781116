"""The process that anchors the log and follows its anchors: `python -m oracle.anchor_relay`.

It anchors every so often, after so many leaves, when a trading day has ended, when somebody asks, and again whatever a
reorganised chain has lost. Any number may run at once, with one key or several.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.anchoring.service import AnchorService
from backend.kernel.errors import RefiError, Tampered
from backend.kit.logging import configure_logging
from backend.settings import Settings

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=1)
FOLLOW = timedelta(seconds=2)
# An anchor in hand may come to its end; then it is left as a killed process leaves it, and then the process itself is.
GRACE = timedelta(seconds=3)
LAST = timedelta(seconds=10)
# What a chain or a database that is away for a while raises: the next turn catches up.
FAULTS = (RefiError, SQLAlchemyError, OSError)


async def relay(
    service: AnchorService,
    stop: asyncio.Event,
    *,
    interval: timedelta,
    leaves: int,
    poll: timedelta = POLL,
    follow: timedelta = FOLLOW,
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
            if time.monotonic() - followed >= follow.total_seconds():
                await service.follow()
                followed = time.monotonic()
            failures = 0
        except Tampered as alarm:
            log.critical("anchor.tampered", reason=alarm.detail, **alarm.context)
            raise
        except FAULTS as error:
            failures = min(failures + 1, 6)
            log.warning(
                "anchor.failed",
                code=getattr(error, "code", "fault"),
                reason=getattr(error, "detail", type(error).__name__),
                failures=failures,
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(poll.total_seconds() * 2**failures):
                await stop.wait()


async def serve(service: AnchorService, settings: Settings) -> None:
    """Relay as the settings say until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    log.info("relay.started", log_id="0x" + service.log_id.hex())
    relaying = relay(
        service,
        stop,
        interval=settings.anchor_interval,
        leaves=settings.anchor_leaves,
        follow=settings.anchor_follow,
    )
    await until_stopped(relaying, stop)
    log.info("relay.stopped")


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event, grace: timedelta = GRACE) -> None:
    """Do work that ends by itself soon after `stop` is set; what takes longer is cancelled and taken up later."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({working}, timeout=grace.total_seconds())
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()


def stop_on_signals(stop: asyncio.Event, last: timedelta = LAST) -> None:
    """Let SIGINT and SIGTERM end the loop after what is in hand; the system ends a process that hangs on the way."""

    def end() -> None:
        signal.setitimer(signal.ITIMER_REAL, last.total_seconds())
        stop.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, end)


async def run(settings: Settings) -> None:
    """Relay for a deployment until a signal comes."""
    # Late: the whole platform is much to load for whoever only wants the loop.
    from backend.bootstrap import build  # noqa: PLC0415

    platform = build(settings)
    try:
        await serve(platform.service(AnchorService), settings)
    finally:
        await platform.close()


def main() -> int:
    """Run until told to stop; an alarm ends it with an error."""
    chosen = Settings()
    configure_logging(chosen.log_level)
    try:
        asyncio.run(run(chosen))
    except Tampered:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
