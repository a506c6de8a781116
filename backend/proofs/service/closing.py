"""The job that closes each epoch once the business clock has passed its day's close."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import day_of, epoch_of
from backend.kernel.errors import Conflict
from backend.kit.db import Database
from backend.market.repository import lock_clock
from backend.ports.clock import Clock
from backend.ports.market_data import MarketData
from backend.proofs.engine.kept import Closing
from backend.proofs.service.epochs import EpochService

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=5)

CloseDay = Callable[[AsyncSession, date], Awaitable[Closing]]
Follow = Callable[[AsyncSession], Awaitable[object]]


class ClosingJob:
    """Closes days that were passed: each in one transaction, so that a job that is killed has done all of it or none.

    `close_day` settles the day's orders and closes its epoch; `follow` brings the clock to where others have moved it.
    """

    def __init__(
        self,
        database: Database,
        epochs: EpochService,
        market: MarketData,
        clock: Clock,
        close_day: CloseDay,
        follow: Follow,
    ) -> None:
        self._database = database
        self._epochs = epochs
        self._market = market
        self._clock = clock
        self._close_day = close_day
        self._follow = follow

    async def run(self, every: timedelta = EVERY) -> None:
        """Close what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(every.total_seconds())

    async def close(self, session: AsyncSession, epoch: int) -> Closing:
        """Close an epoch that is over as the job does; raise Conflict while a day before it is to be closed."""
        # One at a time, and never beside the opening of a day; nothing is settled of a day that goes on.
        await lock_clock(session, self._clock.business())
        await self._epochs.require_closable(session, epoch)
        due = await self._epochs.due(session, self._market.days())
        # None of them could be closed after it. Not all in one transaction: a day ends with the system's chain.
        if due and epoch_of(due[0]) < epoch:
            raise Conflict(f"{due[0]} (epoch {epoch_of(due[0])}) is to be closed first")
        return await self._close_day(session, day_of(epoch))

    async def run_once(self) -> Sequence[date]:
        """Close every day that is due, oldest first, and return them; any number of processes may."""
        done = []
        while (day := await self._close_next()) is not None:
            log.info("epoch.closed", day=day.isoformat())
            done.append(day)
        return done

    async def _close_next(self) -> date | None:
        async with self._database.reading() as session:
            # Somebody here may have moved the clock on since the row was read.
            with suppress(Conflict):
                await self._follow(session)
            if not await self._epochs.due(session, self._market.days()):
                return None
        async with self._database.transaction() as session:
            # One at a time, and never beside the opening of a day: what was due may be closed by now.
            await lock_clock(session, self._clock.business())
            due = await self._epochs.due(session, self._market.days())
            if not due:
                return None
            await self._close_day(session, due[0])
            return due[0]
