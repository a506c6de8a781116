"""The market's clock and what instruments cost at its time."""

import bisect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Conflict, NotFound
from backend.market import repository
from backend.ports.chain import Chain
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import Bar, DataSource, MarketData

POLICY = "market:1"
AdvanceHook = Callable[[AsyncSession, date, date], Awaitable[None]]


class ReplayClock:
    """Wall time from the system, business time from the replay; a second behind it is a fault, not a guess."""

    def __init__(self, start: datetime) -> None:
        self._business = start

    def wall(self) -> datetime:
        """Return the time on the wall."""
        return datetime.now(UTC)

    def business(self) -> datetime:
        """Return the replayed time."""
        return self._business

    def source(self) -> str:
        """Return what the business clock follows: a replay tells its own time exactly."""
        return "replay:0"

    def set(self, moment: datetime) -> None:
        """Move the replayed time."""
        self._business = moment


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
        clock: ReplayClock,
        chain: Chain,
        journal: Journal,
        *,
        before_advance: Sequence[AdvanceHook] = (),
        after_advance: Sequence[AdvanceHook] = (),
    ) -> None:
        self._market_data = market_data
        self._clock = clock
        self._chain = chain
        self._journal = journal
        self.before_advance: list[AdvanceHook] = list(before_advance)
        self.after_advance: list[AdvanceHook] = list(after_advance)

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

        The hooks before see the day that ends, those after the day that opened.
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
        self._move_clock(session, opened)
        fields = {"day": following.isoformat(), "day_before": before.isoformat(), "epoch": epoch_of(following)}
        await self._journal.record(session, SYSTEM_ACCOUNT, "market.day_opened", fields, actor=actor, policy=POLICY)
        for hook in self.after_advance:
            await hook(session, before, following)
        return opened

    async def _move_chain(self, timestamp: int) -> None:
        # A public chain is years ahead of a replay; a local one may be ahead after governance has waited on it.
        if (await self._chain.block()).timestamp < timestamp:
            await self._chain.advance_to(timestamp)

    def _move_clock(self, session: AsyncSession, moment: datetime) -> None:
        before = self._clock.business()

        def undo(_session: object) -> None:
            self._clock.set(before)

        event.listen(session.sync_session, "after_rollback", undo, once=True)
        self._clock.set(moment)

    def _following(self, now: datetime) -> date:
        days = self._market_data.days()
        for day in days[bisect.bisect_left(days, now.astimezone(UTC).date()) :]:
            if close_of(day) > now:
                return day
        raise Conflict(f"the recorded market ends on {days[-1]}")
