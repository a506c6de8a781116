"""The process that publishes each trading day's returns once the business clock has passed its close."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.kernel.errors import RefiError, Tampered
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.kit.logging import configure_logging
from backend.proofs.service import ReturnsService
from backend.settings import Settings
from oracle.anchor_relay import stop_on_signals, until_stopped

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=1)


async def repeat(name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event, poll: timedelta = POLL) -> None:
    """Do the work again and again until told to stop; while something is away, less and less often."""
    failures = 0
    while not stop.is_set():
        try:
            await work()
            failures = 0
        except (RefiError, SQLAlchemyError, OSError) as error:
            failures = min(failures + 1, 6)
            code, reason = getattr(error, "code", "fault"), getattr(error, "detail", type(error).__name__)
            log.warning(f"{name}.failed", code=code, reason=reason, failures=failures)
        with suppress(TimeoutError):
            async with asyncio.timeout(poll.total_seconds() * 2**failures):
                await stop.wait()


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


async def run(settings: Settings) -> None:
    """Publish for a deployment until a signal comes."""
    # Late: the whole platform is much to load for whoever only wants the loop.
    from backend.bootstrap import build  # noqa: PLC0415

    platform, stop = build(settings), asyncio.Event()
    stop_on_signals(stop)
    try:
        await until_stopped(
            publish_days(platform.service(ReturnsService), platform.database, stop, follow=platform.load), stop
        )
    finally:
        await platform.close()


if __name__ == "__main__":
    chosen = Settings()
    configure_logging(chosen.log_level)
    asyncio.run(run(chosen))
