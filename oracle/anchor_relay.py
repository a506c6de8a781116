"""The process that anchors the log: every so often, after so many leaves, and when somebody asks."""

import asyncio
import signal
from contextlib import suppress
from datetime import timedelta

import structlog

from backend.anchoring.service import AnchorService
from backend.kernel.errors import RefiError
from backend.settings import Settings

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=1)


async def relay(
    service: AnchorService,
    stop: asyncio.Event,
    *,
    interval: timedelta,
    leaves: int,
    poll: timedelta = POLL,
) -> None:
    """Anchor whenever one is due until told to stop; a chain that is down is asked again, less and less often."""
    failures = 0
    while not stop.is_set():
        try:
            if await service.is_due(interval, leaves):
                await service.anchor_now()
            failures = 0
        except RefiError as error:
            failures = min(failures + 1, 6)
            log.warning("anchor.failed", code=error.code, reason=error.detail, failures=failures)
        with suppress(TimeoutError):
            async with asyncio.timeout(poll.total_seconds() * 2**failures):
                await stop.wait()


async def serve(service: AnchorService, settings: Settings) -> None:
    """Relay as the settings say until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    await relay(service, stop, interval=settings.anchor_interval, leaves=settings.anchor_leaves)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGINT and SIGTERM end the loop after the anchor in hand."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
