"""Each closed day's entries are published once, without a gap, and whoever has the bundles audits the log alone."""

import asyncio
import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from backend.anchoring.repository import add_once
from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor, AnchorHead, AnchorState
from backend.artifacts.service import ArtifactService
from backend.artifacts.types import PinState
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import canonical_json, encode_bytes, time_string
from backend.kernel.cid import file_cid
from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from backend.ports.journal import SYSTEM_ACCOUNT
from backend.transparency.engine.log_audit import Bundle, LogAudit, add_bundle
from backend.transparency.models import BundleRow
from backend.transparency.service import LogBundles
from tests.backend.artifacts.stores import FakeStore
from tests.fakes import FakeChain, FakeClock, FakeSigner

ORIGIN = "refi.trading/test"
TRADER = encode_bytes(b"\x01" * 32)
WAIT = timedelta(minutes=30)


class World:
    """A log with its days, a chain, a store, and the service that publishes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self.signer = FakeSigner()
        self.chain = FakeChain(self.signer)
        self.chain.register_log(ORIGIN, self.signer.log_public_key())
        self.journal = AuditJournal(self.clock)
        self.store = FakeStore()
        self.artifacts = ArtifactService(self.store, self.journal, self.clock)
        self.key = self.signer.log_public_key()
        self.anchoring = AnchorService(
            database, self.chain, LogReader(), self.journal, self.clock,
            origin=ORIGIN, public_key=self.key, chain_id=self.chain.id,
        )  # fmt: skip
        self.bundles = self.publisher()

    def publisher(self, **changed: Any) -> LogBundles:
        """Return one more publisher over the same log."""
        return LogBundles(
            self.database, LogReader(), self.anchoring, self.artifacts, self.clock,
            origin=ORIGIN, public_key=self.key, anchor_wait=WAIT, **changed,
        )  # fmt: skip

    async def trade(self, count: int = 3) -> None:
        """Let the log grow within a day."""
        async with self.database.transaction() as session:
            for _ in range(count):
                await self.journal.record(session, TRADER, "order.filled", {}, actor="x", policy="1")
        await self.integrate()

    async def close_day(self) -> None:
        """Close a day, as the market does when it opens the next."""
        async with self.database.transaction() as session:
            await self.journal.record(session, TRADER, "epoch.closed", {}, actor="x", policy="1")
            await self.journal.record(session, SYSTEM_ACCOUNT, "market.day_opened", {}, actor="x", policy="1")
        await self.integrate()

    async def integrate(self) -> None:
        """Bring what is durable into the log."""
        await Sequencer(self.database, self.signer, self.clock, ORIGIN).integrate()

    async def published(self) -> list[dict[str, Any]]:
        """Return the bundles that anybody may download, oldest first."""
        async with self.database.reading() as session:
            page = await self.artifacts.page(session, PageRequest(100), kind="log-bundle")
        contents = [(await self.artifacts.content(self.database, pin.cid))[1] for pin in reversed(page.items)]
        return [json.loads(content) for content in contents]

    async def spans(self) -> list[tuple[int, int]]:
        """Return where the bundles begin and end."""
        return [(bundle["start"], bundle["end"]) for bundle in await self.published()]

    async def audit(self) -> LogAudit:
        """Audit the log from its bundles alone."""
        audit = LogAudit()
        for bundle in await self.published():
            for _ in add_bundle(audit, Bundle([canonical_json(bundle)])):
                pass
        assert [finding.result for finding in audit.findings()] == ["pass"] * 4
        return audit


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_a_day_is_published_once_it_is_closed_and_anchored(world: World) -> None:
    await world.trade()
    await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 0
    await world.close_day()
    assert await world.bundles.build_due() == 0
    anchor = await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 1
    assert await world.bundles.build_due() == 0
    assert await world.spans() == [(0, anchor.head.size)]
    audit = await world.audit()
    assert (audit.size, len(audit.anchors)) == (anchor.head.size, 2)


async def test_days_that_were_missed_are_caught_up_without_a_gap(world: World) -> None:
    sizes = [0]
    for day in range(5):
        await world.trade(day)
        await world.close_day()
        sizes.append((await world.anchoring.anchor_now()).head.size)
        await world.trade()
    assert await world.bundles.build_due() == 5
    assert await world.spans() == list(pairwise(sizes))
    await world.audit()


async def test_one_anchor_over_several_days_makes_one_bundle_of_them(world: World) -> None:
    for _ in range(3):
        await world.trade()
        await world.close_day()
    anchor = await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 1
    assert await world.spans() == [(0, anchor.head.size)]
    await world.close_day()
    await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 1
    await world.audit()


async def test_a_day_that_nobody_anchors_is_published_after_a_while(world: World) -> None:
    await world.trade()
    await world.close_day()
    world.clock.advance(wall=WAIT - timedelta(seconds=1))
    assert await world.bundles.build_due() == 0
    world.clock.advance(wall=timedelta(seconds=1))
    assert await world.bundles.build_due() == 1
    [bundle] = await world.published()
    assert (bundle["end"], bundle["anchors"]) == (5, [])
    await world.trade()
    await world.close_day()
    await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 1
    assert len((await world.audit()).anchors) == 1


async def test_an_anchor_on_its_way_is_waited_for_since_it_could_not_be_listed_later(world: World) -> None:
    await world.trade()
    head = AnchorHead(3, bytes(32), bytes(32))
    async with world.database.transaction() as session:
        now = time_string(world.clock.wall())
        await add_once(session, Anchor(world.anchoring.log_id, 0, head, AnchorState.RECORDED, now))
    await world.close_day()
    world.clock.advance(wall=2 * WAIT)
    assert await world.bundles.build_due() == 0


async def test_a_large_day_is_published_in_parts(world: World) -> None:
    bundles = world.publisher(max_entries=8)
    for _ in range(4):
        await world.trade(5)
    await world.anchoring.anchor_now()
    await world.close_day()
    await world.anchoring.anchor_now()
    assert await bundles.build_due() == 4
    assert await world.spans() == [(0, 5), (5, 10), (10, 15), (15, 22)]
    await world.audit()


async def test_several_publishers_at_once_make_no_double(world: World) -> None:
    for _ in range(3):
        await world.close_day()
        await world.anchoring.anchor_now()
    while sum(await asyncio.gather(*(world.publisher().build_due() for _ in range(4)))):
        pass
    assert len(await world.spans()) == 3
    await world.audit()
    async with world.database.reading() as session:
        rows = (await session.scalars(select(BundleRow).order_by(BundleRow.start))).all()
    assert [(row.start, row.end) for row in rows] == await world.spans()


async def test_several_publishers_at_once_make_no_double_on_postgresql(postgres_database: Database) -> None:
    world = World(postgres_database)
    await test_several_publishers_at_once_make_no_double(world)
    assert await world.artifacts.retry_pending(postgres_database) == 3


async def test_a_crash_before_the_promise_leaves_nothing_and_is_made_good(world: World) -> None:
    await world.close_day()
    await world.anchoring.anchor_now()

    class Crashing(ArtifactService):
        """Falls over where the promise is written."""

        async def pin(self, session: Any, kind: str, content: bytes) -> Any:
            """Fall over."""
            del session, kind, content
            raise Unavailable("the process is gone")

    whole = world.artifacts
    world.artifacts = Crashing(world.store, world.journal, world.clock)
    assert await world.publisher().try_build() == 0
    world.artifacts = whole
    assert await world.publisher().try_build() == 1
    assert len(await world.spans()) == 1
    await world.audit()


async def test_a_store_that_is_down_delays_the_pin_and_nothing_else(world: World) -> None:
    world.store.down = True
    await world.close_day()
    await world.anchoring.anchor_now()
    assert await world.bundles.build_due() == 1
    assert await world.artifacts.retry_pending(world.database) == 0
    [bundle] = await world.published()
    world.store.down = False
    assert await world.artifacts.retry_pending(world.database) == 1
    cid = file_cid(canonical_json(bundle))
    assert world.store.pins == {cid}
    assert (await world.artifacts.content(world.database, cid))[0].state is PinState.PINNED
