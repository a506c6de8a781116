"""The business clock and the prices that it lets be seen."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.adapters.clock.replay import ReplayClock
from backend.adapters.market_data.replay import ReplayMarketData
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict, NotFound
from backend.kit.db import Database
from backend.market.service import MarketService
from tests.fakes import FakeChain, FakeJournal

DATA = ReplayMarketData()
FRIDAY, MONDAY = date(2016, 6, 3), date(2016, 6, 6)
BEFORE_FRIDAY = datetime(2016, 6, 3, tzinfo=UTC)


def market_at(moment: datetime, chain: FakeChain | None = None, journal: FakeJournal | None = None) -> MarketService:
    return MarketService(DATA, ReplayClock(moment), chain or FakeChain(), journal or FakeJournal())


async def test_the_next_trading_day_opens_at_its_close_and_is_recorded(database: Database) -> None:
    chain, journal = FakeChain(), FakeJournal()
    market = market_at(BEFORE_FRIDAY, chain, journal)
    async with database.transaction() as session:
        assert await market.advance(session, "operator") == close_of(FRIDAY)
        assert market.now() == BEFORE_FRIDAY
    assert market.now() == close_of(FRIDAY)
    assert (await chain.block()).timestamp == int(close_of(FRIDAY).timestamp())
    async with database.transaction() as session:
        assert await market.advance(session, "operator") == close_of(MONDAY)
    assert journal.events() == ["market.day_opened"] * 2
    assert journal.records[-1].fields["day"] == "2016-06-06"
    assert journal.records[-1].ts_event == close_of(MONDAY)


async def test_a_rolled_back_advance_leaves_the_clock_alone(database: Database) -> None:
    market = market_at(BEFORE_FRIDAY)

    async def advance_and_fail() -> None:
        async with database.transaction() as session:
            await market.advance(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await advance_and_fail()
    assert market.now() == BEFORE_FRIDAY
    async with database.transaction() as session:
        assert await market.advance(session) == close_of(FRIDAY)


async def test_a_restart_finds_the_clock_where_it_stood(database: Database) -> None:
    async with database.transaction() as session:
        await market_at(BEFORE_FRIDAY).advance(session)
    restarted = market_at(BEFORE_FRIDAY)
    async with database.reading() as session:
        assert await restarted.load(session) == close_of(FRIDAY)
    assert restarted.now() == close_of(FRIDAY)


async def test_hooks_see_the_day_that_ends_before_the_next_one_opens(database: Database) -> None:
    market = market_at(close_of(FRIDAY))
    seen: list[tuple[date, date, datetime]] = []

    async def hook(_session: AsyncSession, ends: date, opens: date) -> None:
        seen.append((ends, opens, market.now()))

    market.before_advance.append(hook)
    async with database.transaction() as session:
        await market.advance(session)
    assert seen == [(FRIDAY, MONDAY, close_of(FRIDAY))]


async def test_a_chain_that_is_ahead_keeps_its_time(database: Database) -> None:
    chain = FakeChain(now=2_000_000_000)
    async with database.transaction() as session:
        await market_at(BEFORE_FRIDAY, chain).advance(session)
    assert (await chain.block()).timestamp == 2_000_000_000


async def test_after_the_last_day_nothing_opens(database: Database) -> None:
    with pytest.raises(Conflict, match="ends on"):
        async with database.transaction() as session:
            await market_at(close_of(DATA.days()[-1])).advance(session)


def test_a_close_is_seen_only_from_the_close_on() -> None:
    before = market_at(datetime(2016, 6, 3, 20, 59, 59, tzinfo=UTC))
    after = market_at(close_of(FRIDAY))
    early, late = before.quote("AAPL"), after.quote("AAPL")
    assert early is not None
    assert late is not None
    assert (early.day, late.day) == (date(2016, 6, 2), FRIDAY)
    assert before.price("AAPL") is None
    assert after.price("AAPL") == late.price == DATA.bar("AAPL", FRIDAY).close
    assert [bar.day for bar in before.bars("AAPL", 2)] == [date(2016, 6, 1), date(2016, 6, 2)]
    assert [bar.day for bar in after.bars("AAPL", 1)] == [FRIDAY]


def test_a_weekend_shows_fridays_close_but_no_price_to_trade_at() -> None:
    market = market_at(datetime(2016, 6, 4, 12, tzinfo=UTC))
    quote = market.quote("AAPL")
    assert quote is not None
    assert quote.day == FRIDAY
    assert market.price("AAPL") is None


def test_before_the_first_day_there_is_no_price() -> None:
    market = market_at(datetime(2000, 1, 1, tzinfo=UTC))
    assert market.quote("AAPL") is None
    assert market.bars("AAPL", 5) == []


def test_an_unknown_instrument_is_named() -> None:
    with pytest.raises(NotFound, match="NOPE"):
        market_at(BEFORE_FRIDAY).price("NOPE")


def test_prices_are_decimals() -> None:
    assert isinstance(market_at(close_of(FRIDAY)).price("AAPL"), Decimal)
