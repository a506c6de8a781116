"""Every day that the business clock has passed is closed once, in order, whatever kills the job."""

import asyncio
import signal
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict, Unavailable
from backend.kit.db import Database
from backend.proofs.models import EpochRow
from backend.settings import child_environment
from tests.backend.proofs.world import DAY, EPOCH, OWNER, World, account, closing_job

ROOT = Path(__file__).resolve().parents[3]

MOMENT = timedelta(microseconds=1)


@pytest.fixture
def world(database: Database) -> World:
    world = World(database)
    world.directory.accounts = (account(3), account(2), OWNER)
    return world


async def closings(world: World) -> list[list[int]]:
    """Return the epochs that each account closed, in the order of its chain."""
    found = []
    for one in world.directory.accounts:
        events = await world.events(one.pseudonym)
        assert {event for event, _ in events} <= {"epoch.closed"}
        found.append([fields["epoch"] for _, fields in events])
    return found


async def test_a_day_is_closed_once_when_the_clock_has_passed_its_close(world: World) -> None:
    work = closing_job(world)
    world.clock.business_time = close_of(DAY)
    before = await work.run_once()
    assert DAY not in before
    world.clock.advance(business=MOMENT)
    assert await work.run_once() == [DAY]
    assert await work.run_once() == []
    assert [chain[-1] for chain in await closings(world)] == [EPOCH] * 3


async def test_days_that_were_missed_are_closed_in_order_each_with_its_own_holdings(world: World) -> None:
    await closing_job(world).run_once()
    for days in range(3):
        moment = close_of(DAY + timedelta(days=days))
        world.holdings.then[OWNER.id, moment] = {"AAA": days}
    world.clock.advance(business=timedelta(days=2) + MOMENT)
    settled: list[date] = []
    assert await closing_job(world, settled).run_once() == settled == [DAY + timedelta(days=days) for days in range(3)]
    assert [chain[-3:] for chain in await closings(world)] == [[EPOCH, EPOCH + 1, EPOCH + 2]] * 3


async def test_days_before_anybody_came_are_not_closed(world: World) -> None:
    world.directory.accounts = ()
    world.clock.advance(business=MOMENT)
    assert await closing_job(world).run_once() == []
    opened: datetime = close_of(DAY - timedelta(days=1))
    world.directory.accounts = (type(OWNER)(OWNER.id, OWNER.address, OWNER.pseudonym, opened),)
    assert await closing_job(world).run_once() == [DAY - timedelta(days=1), DAY]


@pytest.mark.parametrize("killed_at", [1, 2, 3])
async def test_a_job_that_is_killed_has_closed_nobody_and_the_next_closes_everybody(
    world: World, killed_at: int
) -> None:
    await closing_job(world).run_once()
    world.clock.advance(business=MOMENT)
    honest, seen = world.holdings.at_close, iter(range(1, 10))

    async def dying(session: AsyncSession, account_id: int, moment: datetime) -> Any:
        if next(seen) == killed_at:
            raise Unavailable("killed")
        return await honest(session, account_id, moment)

    before = await closings(world)
    world.holdings.at_close = dying  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await closing_job(world).run_once()
    assert await closings(world) == before
    world.holdings.at_close = honest  # type: ignore[method-assign]
    assert await closing_job(world).run_once() == [DAY]
    assert [chain[-1] for chain in await closings(world)] == [EPOCH] * 3


async def test_jobs_beside_each_other_close_a_day_once(world: World) -> None:
    await closing_job(world).run_once()
    world.clock.advance(business=MOMENT)
    done = await asyncio.gather(*(closing_job(world).run_once() for _ in range(4)))
    assert sorted(map(list, done)) == [[], [], [], [DAY]]
    assert [chain.count(EPOCH) for chain in await closings(world)] == [1, 1, 1]


async def test_a_holding_outside_the_universe_is_refused_and_stops_neither_job_nor_others(world: World) -> None:
    await closing_job(world).run_once()
    world.clock.advance(business=MOMENT)
    world.holdings.units[2] = {"ZZZ": 1}
    assert await closing_job(world).run_once() == [DAY]
    assert await closing_job(world).run_once() == []
    events = [event for event, _ in await world.events(account(2).pseudonym)]
    assert events.count("epoch.refused") == 1
    assert events[-1] == "epoch.refused"


async def test_an_epoch_whose_positions_were_erased_is_not_closed_again(world: World) -> None:
    world.clock.advance(business=MOMENT)
    await closing_job(world).run_once()
    async with world.database.transaction() as session:
        await session.execute(delete(EpochRow))
    assert await closing_job(world).run_once() == []
    world.clock.advance(business=timedelta(days=1))
    assert await closing_job(world).run_once() == [DAY + timedelta(days=1)]


async def test_a_process_that_is_killed_between_two_accounts_leaves_the_day_whole_to_the_next(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'refi.sqlite3'}"
    command = [sys.executable, "-m", "tests.backend.proofs.closing_dying", url]
    killed = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=child_environment())
    assert await killed.wait() == -signal.SIGKILL
    database = Database(url)
    world = World(database)
    world.directory.accounts = (account(3), account(2), OWNER)
    world.clock.advance(business=MOMENT)
    before = await closings(world)
    assert {chain[-1] for chain in before} == {EPOCH - 1}
    assert await closing_job(world).run_once() == [DAY]
    assert await closings(world) == [[*chain, EPOCH] for chain in before]
    await database.close()


@pytest.mark.parametrize("jobs", [4])
async def test_jobs_of_several_processes_close_a_day_once(postgres_database: Database, jobs: int) -> None:
    world = World(postgres_database)
    world.directory.accounts = (account(3), account(2), OWNER)
    world.clock.advance(business=MOMENT)
    await asyncio.gather(*(closing_job(world).run_once() for _ in range(jobs)))
    assert await closings(world) == [sorted({*chain}) for chain in await closings(world)]
    assert [chain.count(EPOCH) for chain in await closings(world)] == [1, 1, 1]


async def test_a_later_epoch_that_is_closed_by_hand_waits_for_the_one_being_closed(postgres_database: Database) -> None:
    world = World(postgres_database)
    world.clock.advance(business=timedelta(days=2))
    honest, begun, go = world.holdings.at_close, asyncio.Event(), asyncio.Event()

    async def slow(session: AsyncSession, account_id: int, moment: datetime) -> Any:
        if moment == close_of(DAY):
            begun.set()
            await go.wait()
        return await honest(session, account_id, moment)

    async def close(epoch: int) -> None:
        async with world.database.transaction() as session:
            await world.epochs.close(session, epoch)

    world.holdings.at_close = slow  # type: ignore[method-assign]
    first = asyncio.create_task(close(EPOCH))
    await begun.wait()
    second = asyncio.create_task(close(EPOCH + 1))
    await asyncio.sleep(0.3)
    go.set()
    await asyncio.gather(first, second)
    assert [fields["epoch"] for _, fields in await world.events()] == [EPOCH, EPOCH + 1]


async def close_by_hand(world: World, epoch: int, settled: list[date] | None = None) -> int:
    """Close an epoch as an operator does and return how many accounts it closed."""
    async with world.database.transaction() as session:
        return len((await closing_job(world, settled).close(session, epoch)).closed)


async def test_a_day_that_is_closed_by_hand_is_settled_first_and_not_while_an_earlier_one_is_open(world: World) -> None:
    await closing_job(world).run_once()
    world.clock.advance(business=timedelta(days=1))
    settled: list[date] = []
    with pytest.raises(Conflict, match=f"{DAY} .epoch {EPOCH}. is to be closed first"):
        await close_by_hand(world, EPOCH + 1, settled)
    assert settled == []
    assert await close_by_hand(world, EPOCH, settled) == 3
    assert await close_by_hand(world, EPOCH + 1, settled) == 3
    assert settled == [DAY, DAY + timedelta(days=1)]
    assert [chain[-2:] for chain in await closings(world)] == [[EPOCH, EPOCH + 1]] * 3


async def test_nothing_is_settled_of_a_day_that_is_not_over_or_can_be_closed_no_more(world: World) -> None:
    await closing_job(world).run_once()
    settled: list[date] = []
    with pytest.raises(Conflict, match="not over"):
        await close_by_hand(world, EPOCH + 1, settled)
    with pytest.raises(Conflict, match="none before it"):
        await close_by_hand(world, EPOCH - 2, settled)
    assert settled == []


async def test_a_day_can_be_closed_by_hand_again(world: World) -> None:
    await closing_job(world).run_once()
    before = await closings(world)
    assert [await close_by_hand(world, EPOCH) for _ in range(2)] == [3, 3]
    assert await closings(world) == [[*chain, EPOCH] for chain in before]
