"""What the processes of this folder share: a loop that outlives what is away, and an end by signal."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.kernel.errors import RefiError
from backend.kit.logging import configure_logging
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.bootstrap import Platform

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=1)
# Work in hand may come to its end; then it is left as a killed process leaves it, and then the process itself is.
GRACE = timedelta(seconds=3)
LAST = timedelta(seconds=10)
MOST_DOUBLINGS = 6
# What a chain or a database that is away for a while raises: the next turn catches up.
FAULTS = (RefiError, SQLAlchemyError, OSError)


class Closing(Protocol):
    """What a process works with."""

    async def close(self) -> None:
        """Give everything back."""
        ...


Means = TypeVar("Means", bound=Closing)
Work = Callable[["Platform", asyncio.Event], Coroutine[Any, Any, None]]


async def repeat(
    name: str,
    work: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    poll: timedelta = POLL,
    slowest: timedelta = timedelta.max,
) -> None:
    """Do the work again and again until told to stop; while something is away, less and less often."""
    failures = 0
    while not stop.is_set():
        try:
            await work()
            failures = 0
        except FAULTS as error:
            failures = min(failures + 1, MOST_DOUBLINGS)
            code, reason = getattr(error, "code", "fault"), getattr(error, "detail", type(error).__name__)
            log.warning(f"{name}.failed", code=code, reason=reason, failures=failures)
        await pause(stop, min(poll * 2**failures, slowest))


async def pause(stop: asyncio.Event, length: timedelta) -> None:
    """Wait so long, or until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(length.total_seconds()):
            await stop.wait()


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


def start(work: Work) -> None:
    """Do a process's work on the platform that the settings describe, until a signal comes."""
    # Late: the whole platform is much to load for whoever only wants the loop.
    from backend.bootstrap import build  # noqa: PLC0415

    start_with(build, work)


def start_with(
    build: Callable[[Settings], Means], work: Callable[[Means, asyncio.Event], Coroutine[Any, Any, None]]
) -> None:
    """Do a process's work with what is built from the settings, until a signal comes."""
    settings = Settings()
    configure_logging(settings.log_level)

    async def run() -> None:
        means, stop = build(settings), asyncio.Event()
        stop_on_signals(stop)
        try:
            await until_stopped(work(means, stop), stop)
        finally:
            await means.close()

    asyncio.run(run())
