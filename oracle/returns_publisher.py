"""The process that publishes each trading day's returns once the business clock has passed its close."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import structlog

from backend.kernel.errors import Tampered
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.proofs.service import ReturnsService
from oracle.loop import POLL, repeat, start

if TYPE_CHECKING:
    from backend.bootstrap import Platform

log = structlog.get_logger(__name__)


async def publish_days(
    service: ReturnsService,
    database: Database,
    stop: asyncio.Event,
    *,
    follow: Callable[[], Awaitable[None]] | None = None,
    poll: timedelta = POLL,
) -> None:
    """Publish every day that ends until told to stop; `follow` brings the clock to where others have moved it."""
    refused: set[date] = set()

    async def publish() -> None:
        if follow is not None:
            await follow()
        async with database.reading() as session:
            due = await service.due(session)
        for day in due:
            # Data that was refused does not become clean by asking again.
            if day in refused or stop.is_set():
                continue
            try:
                async with database.transaction() as session:
                    published = await service.publish(session, day)
            except Tampered as other:
                # Nobody can change what the chain holds: the days after it go on.
                refused.add(day)
                log.critical("returns.tampered", day=day.isoformat(), reason=other.detail, **other.context)
                continue
            if isinstance(published, Refused):
                refused.add(day)
                log.warning("returns.refused", day=day.isoformat(), rule=published.rule, reason=published.reason)

    await repeat("returns", publish, stop, poll)


async def run(platform: "Platform", stop: asyncio.Event) -> None:
    """Publish for a deployment until told to stop."""
    service = platform.service(ReturnsService)
    await publish_days(service, platform.database, stop, follow=platform.load)


if __name__ == "__main__":
    start(run)
