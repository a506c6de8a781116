"""The process that watches the rules on chain: `python -m oracle.compliance_watcher`.

As long as it runs, an earlier verdict counts no longer than until the next look after a change. When it stands still,
no earlier verdict counts: its last look grows old. Any number may run at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from backend.bootstrap import Watching, build_watching
from backend.compliance.service import RulesWatcher
from oracle.loop import repeat, start_with

SLOWEST = timedelta(seconds=5)


async def watch(
    watcher: RulesWatcher,
    stop: asyncio.Event,
    *,
    interval: timedelta,
    follow: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Look at the chain every so often until told to stop; while it is away, less and less often.

    `follow` brings the business clock to where others have moved it: records carry its time.
    """

    async def look() -> None:
        if follow is not None:
            await follow()
        await watcher.poll()

    await repeat("compliance_watch", look, stop, interval, slowest=SLOWEST)


async def run(watching: Watching, stop: asyncio.Event) -> None:
    """Watch for a deployment until told to stop."""
    await watch(watching.watcher, stop, interval=watching.settings.watch_interval, follow=watching.load)


if __name__ == "__main__":
    start_with(build_watching, run)
