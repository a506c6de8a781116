"""The market's clock and what instruments cost at its time."""

import bisect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Conflict, NotFound
from backend.market import repository
from backend.ports.chain import Chain
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import Bar, DataSource, MarketData

POLICY = "market:1"
AdvanceHook = Callable[[AsyncSession, date, date], Awaitable[None]]


class ReplayedClock(Clock, Protocol):
    """A business clock that follows replayed days; it only moves forward."""

    def set(self, moment: datetime) -> None:
        """Move the business time."""
        ...


@dataclass(frozen=True, slots=True)
class Quote:
    """The last close that is known: USD a share, and the day it belongs to."""

    price: Decimal
    day: date


class MarketService:
    """Prices up to now and never later; opens one replayed day after the other."""

    def __init__(
        self,
        market_data: MarketData,
        clock: ReplayedClock,
        chain: Chain,
        journal: Journal,
        *,
        before_advance: Sequence[AdvanceHook] = (),
    ) -> None:
        self._market_data = market_data
        self._clock = clock
        self._chain = chain
        self._journal = journal
        self.before_advance: list[AdvanceHook] = list(before_advance)

    async def load(self, session: AsyncSession) -> datetime:
        """Set the clock to where the database says it stands and return it."""
        row = await repository.clock_row(session)
        if row is not None:
            self._clock.set(row.now)
        return self._clock.business()

    def today(self) -> date:
        """Return the business day."""
        return self._clock.business().astimezone(UTC).date()

    def quote(self, instrument: str) -> Quote | None:
        """Return an instrument's last close that is known now, None before the first; NotFound for an unknown one."""
        if instrument not in self._market_data.universe():
            raise NotFound(f"unknown instrument {instrument!r}")
        days = self._market_data.days()
        place = bisect.bisect_right(days, self.today()) - 1
        if place >= 0 and close_of(days[place]) > self._clock.business():
            place -= 1
        return None if place < 0 else Quote(self._market_data.bar(instrument, days[place]).close, days[place])

    def price(self, instrument: str) -> Decimal | None:
        """Return today's close, None when there is none yet: what the paper broker fills at."""
        quote = self.quote(instrument)
        return quote.price if quote is not None and quote.day == self.today() else None

    def bars(self, instrument: str, length: int) -> list[Bar]:
        """Return an instrument's last bars that are known now, oldest first, at most `length`."""
        quote = self.quote(instrument)
        if quote is None:
            return []
        days = self._market_data.days()
        last = bisect.bisect_right(days, quote.day)
        return [self._market_data.bar(instrument, day) for day in days[max(0, last - length) : last]]

    def universe(self) -> tuple[str, ...]:
        """Return the instruments in the order of every array."""
        return self._market_data.universe()

    def source(self) -> DataSource:
        """Return where the data comes from."""
        return self._market_data.source()

    def now(self) -> datetime:
        """Return the business time."""
        return self._clock.business()

    async def advance(self, session: AsyncSession, actor: str = SYSTEM_ACCOUNT) -> datetime:
        """Open the next replayed day at its close, move the local chain's time, and return it.

        The hooks get the day that ends and the one that opens, while the clock still tells the old one; it moves when
        the transaction is durable.
        """
        row = await repository.lock_clock(session, self._clock.business())
        before = row.now.astimezone(UTC).date()
        following = self._following(row.now)
        for hook in self.before_advance:
            await hook(session, before, following)
        opened = close_of(following)
        await self._move_chain(int(opened.timestamp()))
        row.now = opened
        await session.flush()
        fields = {"day": following.isoformat(), "day_before": before.isoformat(), "epoch": epoch_of(following)}
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "market.day_opened", fields, actor=actor, policy=POLICY, ts_event=opened
        )
        event.listen(session.sync_session, "after_commit", lambda _session: self._clock.set(opened), once=True)
        return opened

    async def _move_chain(self, timestamp: int) -> None:
        # A public chain is years ahead of a replay; a local one may be ahead after governance has waited on it.
        if (await self._chain.block()).timestamp < timestamp:
            await self._chain.advance_to(timestamp)

    def _following(self, now: datetime) -> date:
        days = self._market_data.days()
        for day in days[bisect.bisect_left(days, now.astimezone(UTC).date()) :]:
            if close_of(day) > now:
                return day
        raise Conflict(f"the recorded market ends on {days[-1]}")
