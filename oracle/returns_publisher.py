"""The process that publishes each trading day's returns once the business clock has passed its close."""

import asyncio
from contextlib import suppress
from datetime import date, datetime, timedelta

import structlog

from backend.kernel.clock import close_of
from backend.kernel.errors import Invalid, RefiError
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.ports.market_data import MarketData
from backend.proofs.service import ReturnsService

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
    poll: timedelta = POLL,
) -> None:
    """Publish every day that ends until told to stop; a chain that is down is asked again, less and less often."""
    failures, settled = 0, None
    while not stop.is_set():
        day = last_closed_day(market, clock.business())
        if day is not None and day != settled:
            try:
                async with database.transaction() as session:
                    await service.publish(session, day)
                failures, settled = 0, day
            except Invalid as error:
                # Prices do not become plausible by asking again.
                settled = day
                log.warning("returns.refused", day=day.isoformat(), reason=error.detail)
            except RefiError as error:
                failures = min(failures + 1, 6)
                log.warning("returns.failed", day=day.isoformat(), code=error.code, reason=error.detail)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), poll.total_seconds() * 2**failures)
