"""Every closed epoch is attested once it can be, whether or not anybody asks."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.kit.models import Job
from backend.kit.queue import EmbeddedJobs, JobBoard
from backend.proofs.engine.kept import Link
from backend.proofs.service import ATTEST_JOB, AttestingJob
from backend.proofs.service.attesting import ATTEMPTS, LOOK_BACK, PATIENCE, ROUND
from backend.proofs.tasks import handlers
from tests.backend.proofs.world import EPOCH, LIMITS, OWNER, POLICY_ID, World, account

HOUR = timedelta(hours=3)


class Round:
    """A world, the job that has its epochs attested, and a runner of jobs that is started by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.clock.wall_time = datetime.now(UTC)
        self.jobs = EmbeddedJobs(world.database, handlers(world.attestations), poll=timedelta(milliseconds=10))
        self.work = self.another()

    def another(self) -> AttestingJob:
        """Return the job as another process has it."""
        world = self.world
        return AttestingJob(
            world.database, world.chain, world.reader, world.anchors, world.clock, self.jobs, policy_id=POLICY_ID
        )

    async def until_idle(self) -> None:
        """Run the queued jobs to their ends."""
        runner = asyncio.create_task(self.jobs.run())
        async with asyncio.timeout(10):
            while any(job.finished_at is None for job in await self.all()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        runner.cancel()
        with suppress(asyncio.CancelledError):
            await runner

    async def done(self) -> list[tuple[str, int]]:
        """Start what is due, run it to its end and return it."""
        started = list(await self.work.run_once())
        await self.until_idle()
        return started

    async def all(self) -> list[Job]:
        """Return every job, oldest first."""
        async with self.world.database.reading() as session:
            return list((await session.scalars(select(Job).order_by(Job.queued_at, Job.id))).all())

    async def ask(self, **named: Any) -> str:
        """Ask for the owner's epoch as the owner does."""
        payload = {"subject": OWNER.address, "epoch": EPOCH, "own": True, **named}
        async with self.world.database.transaction() as session:
            return await self.jobs.enqueue(session, ATTEST_JOB, payload, account_id=OWNER.id)

    async def links(self) -> list[Link]:
        """Return the owner's chain."""
        async with self.world.database.reading() as session:
            return await self.world.attestations.chain(session, OWNER.address, POLICY_ID, -1, 100)


@pytest.fixture
def round_(database: Database) -> Round:
    return Round(World(database))


async def test_a_breach_that_nobody_asks_about_is_found_and_acted_upon_once(round_: Round) -> None:
    await round_.world.prepare(shares=11)
    assert await round_.done() == [(OWNER.address, EPOCH)]
    assert [breach.subject for breach in round_.world.breaches] == [OWNER.address]
    assert [link.state for link in await round_.links()] == ["breached"]
    assert await round_.done() == []


async def test_what_keeps_the_limits_is_attested_and_the_jobs_result_shows_no_figure(round_: Round) -> None:
    await round_.world.prepare()
    await round_.done()
    assert [link.state for link in await round_.links()] == ["attested"]
    (job,) = await round_.all()
    assert job.account_id is None
    assert job.result is not None
    assert job.result["outcome"] == "attested"
    assert not {"value", "es", "var"} & set(job.result)


async def test_a_wallets_epochs_are_attested_in_their_order_one_after_the_other(round_: Round) -> None:
    for later in range(3):
        await round_.world.prepare(1, later)
    started = [await round_.done() for _ in range(4)]
    assert started == [[(OWNER.address, EPOCH + later)] for later in range(3)] + [[]]
    assert [link.state for link in await round_.links()] == ["attested"] * 3


async def test_nothing_starts_before_returns_are_published_and_the_record_lies_below_an_anchor(round_: Round) -> None:
    world = round_.world
    await world.anchors_only()
    async with world.database.transaction() as session:
        await world.epochs.close(session, EPOCH)
    assert await round_.done() == []
    async with world.database.transaction() as session:
        await world.returns.publish(session, world.market.days()[20])
    assert await round_.done() == []
    await world.anchor()
    assert await round_.done() == [(OWNER.address, EPOCH)]


async def test_nothing_starts_before_there_is_an_anchor_or_under_a_policy_that_there_is_not(round_: Round) -> None:
    world = round_.world
    await world.prepare()
    sizes, world.anchors.sizes = world.anchors.sizes, []
    assert await round_.done() == []
    world.anchors.sizes = sizes
    del world.contracts.limits[POLICY_ID]
    assert await round_.done() == []
    world.contracts.limits[POLICY_ID] = LIMITS
    assert await round_.done() == [(OWNER.address, EPOCH)]


async def test_a_silent_chain_uses_no_attempt_up(round_: Round) -> None:
    await round_.world.prepare()
    round_.world.chain.down = True
    with pytest.raises(Unavailable):
        await round_.work.run_once()
    assert await round_.all() == []


async def test_jobs_beside_each_other_start_an_epoch_once(round_: Round) -> None:
    await round_.world.prepare()
    await asyncio.gather(*(round_.another().run_once() for _ in range(4)))
    assert len(await round_.all()) == 1
    assert await round_.work.run_once() == []


async def test_a_failure_is_tried_again_later_and_later_and_not_for_ever(round_: Round) -> None:
    world = round_.world
    await world.prepare()
    await world.prepare(later=1)
    world.prover.finds_none = True
    assert await round_.done() == [(OWNER.address, EPOCH)]
    assert await round_.done() == []
    for _ in range(ATTEMPTS - 1):
        world.clock.advance(wall=HOUR)
        assert await round_.done() == [(OWNER.address, EPOCH)]
    world.clock.advance(wall=HOUR)
    world.prover.finds_none = False
    # Given up: the wallet's next epoch has its turn.
    assert await round_.done() == [(OWNER.address, EPOCH + 1)]
    assert [link.state for link in await round_.links()] == ["failed", "attested"]


async def test_a_failure_that_passes_is_made_good(round_: Round) -> None:
    await round_.world.prepare()
    round_.world.prover.finds_none = True
    await round_.done()
    round_.world.prover.finds_none = False
    round_.world.clock.advance(wall=HOUR)
    assert await round_.done() == [(OWNER.address, EPOCH)]
    assert [link.state for link in await round_.links()] == ["attested"]


@pytest.mark.parametrize(("shares", "state"), [(10, "failed"), (11, "breached")])
async def test_an_epoch_that_a_later_one_overtook_is_looked_at_once(round_: Round, shares: int, state: str) -> None:
    world = round_.world
    await world.prepare(shares)
    await world.prepare(1, later=1)
    await round_.ask(epoch=EPOCH + 1)
    await round_.until_idle()
    assert await round_.done() == [(OWNER.address, EPOCH)]
    assert [link.state for link in await round_.links()] == [state, "attested"]
    world.clock.advance(wall=HOUR)
    assert await round_.done() == []


async def test_a_job_that_somebody_asked_for_stands_for_this_one_but_not_for_ever(round_: Round) -> None:
    await round_.world.prepare(shares=11)
    asked = await round_.ask()
    assert await round_.work.run_once() == []
    async with round_.world.database.transaction() as session:
        await JobBoard().cancel(session, asked)
    await round_.ask()
    round_.world.clock.advance(wall=PATIENCE)
    assert await round_.work.run_once() == [(OWNER.address, EPOCH)]


@pytest.mark.parametrize("named", [{"anchor_index": 7}, {"policy_id": "0x" + "08" * 32}])
async def test_a_question_about_something_else_stands_for_nothing(round_: Round, named: dict[str, Any]) -> None:
    await round_.world.prepare(shares=11)
    await round_.ask(**named)
    assert await round_.work.run_once() == [(OWNER.address, EPOCH)]


async def test_a_round_is_bounded_and_the_rest_follows(round_: Round) -> None:
    world = round_.world
    world.directory.accounts = tuple(account(number) for number in range(ROUND + 2, 0, -1))
    await world.prepare(1)
    assert len(await round_.work.run_once()) == ROUND
    assert await round_.work.run_once() == []
    await round_.until_idle()
    assert len(await round_.done()) == 2
    assert len(world.contracts.attested) == ROUND + 2


async def test_epochs_of_long_ago_are_left_to_whoever_asks(round_: Round) -> None:
    world = round_.world
    await world.prepare()
    world.clock.advance(business=timedelta(days=LOOK_BACK + 1))
    async with world.database.transaction() as session:
        await world.epochs.close(session, EPOCH + LOOK_BACK + 1)
    assert await round_.done() == []


async def test_epochs_are_started_on_a_server_database_too(postgres_database: Database) -> None:
    round_ = Round(World(postgres_database))
    await round_.world.prepare()
    await asyncio.gather(*(round_.another().run_once() for _ in range(3)))
    await round_.until_idle()
    assert [job.state for job in await round_.all()] == ["done"]
    assert await round_.done() == []
