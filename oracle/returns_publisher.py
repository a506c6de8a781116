"""The process that publishes each trading day's returns once the business clock has passed its close."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, datetime, timedelta

import structlog

from backend.kernel.clock import close_of
from backend.kernel.errors import RefiError
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.kit.logging import configure_logging
from backend.ports.clock import Clock
from backend.ports.market_data import MarketData
from backend.proofs.service import ReturnsService
from backend.settings import Settings
from oracle.anchor_relay import stop_on_signals

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=1)


def last_closed_day(market: MarketData, now: datetime) -> date | None:
    """Return the newest trading day that is over, None before the first."""
    return next((day for day in reversed(market.days()) if close_of(day) <= now), None)


async def publish_days(
    service: ReturnsService,
    database: Database,
    market: MarketData,
    clock: Clock,
    stop: asyncio.Event,
    *,
    follow: Callable[[], Awaitable[None]] | None = None,
    poll: timedelta = POLL,
) -> None:
    """Publish every day that ends until told to stop; a chain that is down is asked again, less and less often.

    `follow` brings the clock to where another process has moved it.
    """
    failures, settled = 0, None
    while not stop.is_set():
        if follow is not None:
            await follow()
        day = last_closed_day(market, clock.business())
        if day is not None and day != settled:
            try:
                async with database.transaction() as session:
                    published = await service.publish(session, day)
                # Data that was refused does not become clean by asking again.
                failures, settled = 0, day
                if isinstance(published, Refused):
                    log.warning("returns.refused", day=day.isoformat(), rule=published.rule, reason=published.reason)
            except RefiError as error:
                failures = min(failures + 1, 6)
                log.warning("returns.failed", day=day.isoformat(), code=error.code, reason=error.detail)
        with suppress(TimeoutError):
            async with asyncio.timeout(poll.total_seconds() * 2**failures):
                await stop.wait()


async def run(settings: Settings) -> None:
    """Publish for a deployment until a signal comes."""
    # Late: the whole platform is much to load for whoever only wants the loop.
    from backend.bootstrap import build  # noqa: PLC0415

    platform, stop = build(settings), asyncio.Event()
    stop_on_signals(stop)
    outside, service = platform.outside, platform.service(ReturnsService)
    try:
        await publish_days(service, platform.database, outside.market_data, outside.clock, stop, follow=platform.load)
    finally:
        await platform.close()


if __name__ == "__main__":
    chosen = Settings()
    configure_logging(chosen.log_level)
    asyncio.run(run(chosen))
