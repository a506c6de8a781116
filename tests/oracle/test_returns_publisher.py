"""The publisher publishes each day that ends, once, and outlives a chain that is down."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta

import pytest

from backend.kernel.clock import close_of
from backend.kit.db import Database
from oracle.returns_publisher import publish_days
from tests.backend.proofs.world import DAY, EPOCH, FIRST, World, sends

TICK = timedelta(milliseconds=1)


async def publish_until(
    world: World, reached: Callable[[], bool], follow: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Let the publisher run until something is so."""
    stop = asyncio.Event()
    running = asyncio.create_task(publish_days(world.returns, world.database, stop, follow=follow, poll=TICK))
    async with asyncio.timeout(10):
        while True:
            if reached():
                break
            await asyncio.sleep(0.002)
    stop.set()
    with suppress(asyncio.CancelledError):
        await running


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_each_day_that_ends_is_published_once(world: World) -> None:
    await publish_until(world, lambda: sends(world.chain, "publish") == 1)
    world.clock.advance(business=timedelta(days=1))
    await publish_until(world, lambda: sends(world.chain, "publish") == 2)
    assert len(world.contracts.matrices) == 2


async def test_a_clock_that_another_process_moves_is_followed(world: World) -> None:
    world.clock.advance(business=timedelta(days=-30))

    async def follow() -> None:
        world.clock.business_time = close_of(DAY)

    await publish_until(world, lambda: sends(world.chain, "publish") == 1, follow)


async def test_a_chain_that_comes_back_gets_the_day(world: World) -> None:
    world.chain.down = True
    looks = iter(range(20))
    await publish_until(world, lambda: next(looks) == 10)
    assert world.contracts.matrices == {}
    world.chain.down = False
    await publish_until(world, lambda: len(world.contracts.matrices) == 1)


async def test_a_day_whose_prices_are_not_plausible_is_skipped_and_the_next_one_tried(world: World) -> None:
    world.market.closes[1, 0] = 1.0
    looks = iter(range(40))
    await publish_until(world, lambda: next(looks) == 30)
    assert world.chain.sent == []
    world.clock.advance(business=timedelta(days=2))
    await publish_until(world, lambda: sends(world.chain, "publish") == 1)


async def test_days_that_were_missed_are_published_in_order(world: World) -> None:
    await publish_until(world, lambda: sends(world.chain, "publish") == 1)
    world.clock.advance(business=timedelta(days=3))
    await publish_until(world, lambda: sends(world.chain, "publish") == 4)
    assert [epoch for _, epoch in world.contracts.matrices] == [EPOCH, EPOCH + 1, EPOCH + 2, EPOCH + 3]


async def test_a_day_that_the_chain_holds_otherwise_does_not_stop_the_next(world: World) -> None:
    await publish_until(world, lambda: sends(world.chain, "publish") == 1)
    ((universe, _),) = world.contracts.matrices
    world.contracts.matrices[universe, EPOCH + 1] = b"\x01" * 32
    world.clock.advance(business=timedelta(days=2))
    await publish_until(world, lambda: sends(world.chain, "publish") == 2)
    assert world.contracts.matrices[universe, EPOCH + 1] == b"\x01" * 32
    assert (universe, EPOCH + 2) in world.contracts.matrices


async def test_a_day_that_was_refused_is_tried_again_after_a_restart_though_a_later_one_is_out(world: World) -> None:
    await publish_until(world, lambda: sends(world.chain, "publish") == 1)
    missed = world.market.days().index(DAY) + 1
    world.market.closes[1, missed] = 1.0
    world.clock.advance(business=timedelta(days=1))
    looks = iter(range(40))

    def mended_and_a_day_later() -> bool:
        if next(looks) == 30:
            world.market.closes[1, missed] = 100.0
            world.clock.advance(business=timedelta(days=1))
        return sends(world.chain, "publish") == 2

    await publish_until(world, mended_and_a_day_later)
    assert [epoch for _, epoch in world.contracts.matrices] == [EPOCH, EPOCH + 2]
    await publish_until(world, lambda: sends(world.chain, "publish") == 3)
    assert [epoch for _, epoch in world.contracts.matrices] == [EPOCH, EPOCH + 2, EPOCH + 1]


async def test_a_day_is_due_at_its_close_and_not_before(world: World) -> None:
    async def due() -> Sequence[date]:
        async with world.database.reading() as session:
            return await world.returns.due(session)

    assert await due() == [DAY]
    world.clock.advance(business=timedelta(microseconds=-1))
    assert await due() == [DAY - timedelta(days=1)]
    world.clock.business_time = close_of(FIRST) - timedelta(days=1)
    assert await due() == []
