"""An anchor is made once, whatever fails on the way."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete

from backend.accounts.endpoints import signed_in
from backend.accounts.types import Caller, Role
from backend.anchoring.endpoints import router
from backend.anchoring.models import AnchorRow
from backend.anchoring.service import AnchorService
from backend.anchoring.tasks import anchor
from backend.anchoring.types import AnchorState
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Conflict, NotFound, Tampered, Unavailable
from backend.kernel.heads import heads_root
from backend.kernel.merkle import EMPTY_ROOT
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from tests.fakes import FakeChain, FakeClock, FakeJournal, FakeSigner, client_of, serve

ORIGIN = "refi.trading/test"
TRADER = encode_bytes(b"\x01" * 32)


class World:
    """A log, a chain that knows it, and services over them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self.signer = FakeSigner()
        self.chain = FakeChain(self.signer)
        self.journal = FakeJournal()
        self.log_id = self.chain.register_log(ORIGIN, self.signer.log_public_key())
        self.service = self.relay()

    def relay(self, l1: FakeChain | None = None) -> AnchorService:
        """Return one more relay over the same log."""
        return AnchorService(
            self.database,
            self.chain,
            LogReader(),
            self.journal,
            self.clock,
            origin=ORIGIN,
            public_key=self.signer.log_public_key(),
            chain_id=self.chain.id,
            l1=l1,
        )

    async def grow(self, count: int) -> None:
        """Let the log grow by some entries."""
        journal = AuditJournal(self.clock)
        async with self.database.transaction() as session:
            for _ in range(count):
                await journal.record(session, TRADER, "order.filled", {}, actor="x", policy="1")
        await Sequencer(self.database, self.signer, self.clock, ORIGIN).integrate()

    def sizes(self) -> list[int]:
        """Return the sizes that the chain holds."""
        return [head[0] for head in self.chain.anchored[self.log_id].heads]


@pytest.fixture
def world(database: Database) -> World:
    """Return a world with an empty log."""
    return World(database)


async def test_the_log_id_is_the_one_the_contract_gives(world: World) -> None:
    assert world.service.log_id == world.log_id


async def test_an_anchor_fixes_the_checkpoint_and_the_heads_at_its_size(world: World) -> None:
    await world.grow(5)
    made = await anchor(world.service)
    async with world.database.reading() as session:
        checkpoint = await LogReader().checkpoint(session)
        heads = await LogReader().heads(session, 5)
        assert await world.service.mined(session) == made
    assert (made.index, made.state, made.gas_used) == (0, AnchorState.UNSAFE, 80_000)
    assert made.head.word() == (5, checkpoint.root, heads_root(heads))
    assert world.chain.sent[-1][0] is KeyRole.ANCHORER


async def test_growing_anchors_extend_each_other(world: World) -> None:
    for count in (1, 2, 5, 9):
        await world.grow(count)
        await world.service.anchor_now()
    assert world.sizes() == [1, 3, 8, 17]


async def test_nothing_new_returns_the_last_anchor_and_sends_nothing(world: World) -> None:
    await world.grow(3)
    made = await world.service.anchor_now()
    assert await world.service.anchor_now() == made
    assert len(world.chain.sent) == 1


async def test_an_empty_log_has_nothing_to_anchor(world: World) -> None:
    with pytest.raises(Conflict):
        await world.service.anchor_now()
    async with world.database.reading() as session:
        with pytest.raises(NotFound):
            await world.service.mined(session)


async def test_a_lost_answer_is_found_on_chain_instead_of_sent_again(world: World) -> None:
    await world.grow(3)
    world.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await world.service.anchor_now()
    made = await world.service.anchor_now()
    assert (made.index, made.head.size, made.state) == (0, 3, AnchorState.UNSAFE)
    assert made.tx_hash is not None
    assert world.sizes() == [3]
    assert len(world.chain.sent) == 1


async def test_a_chain_that_was_down_gets_the_same_anchor_later(world: World) -> None:
    await world.grow(3)
    world.chain.down = True
    with pytest.raises(Unavailable):
        await world.service.anchor_now()
    assert await world.service.try_anchor() is None
    world.chain.down = False
    assert (await world.service.anchor_now()).head.size == 3


async def test_what_a_reorganised_chain_forgot_is_anchored_again(world: World) -> None:
    for _ in range(4):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.drop_anchors(world.log_id, 3)
    assert (await world.service.anchor_now()).head.size == 8
    assert world.sizes() == [2, 4, 6, 8]


async def test_relays_at_once_leave_no_gap_and_no_double(world: World) -> None:
    relays = [world.relay() for _ in range(3)]
    for _ in range(4):
        await world.grow(3)
        made = await asyncio.gather(*[one.anchor_now() for one in relays])
        assert len({one.head for one in made}) == 1
    assert world.sizes() == [3, 6, 9, 12]


async def test_a_database_without_memory_adopts_what_the_chain_holds(world: World) -> None:
    await world.grow(4)
    await world.service.anchor_now()
    async with world.database.transaction() as session:
        await session.execute(delete(AnchorRow))
    made = await world.service.anchor_now()
    assert (made.index, made.head.size) == (0, 4)
    assert len(world.chain.sent) == 1


@pytest.mark.parametrize("head", [(2, bytes(32), bytes(32)), (99, EMPTY_ROOT, bytes(32))])
async def test_a_foreign_anchor_on_the_chain_is_an_alarm(world: World, head: tuple[int, bytes, bytes]) -> None:
    await world.grow(4)
    nothing = (0, bytes(32), bytes(32))
    await world.chain.send(KeyRole.ANCHORER, "AuditAnchor", "anchor", world.log_id, nothing, head, [])
    with pytest.raises(Tampered):
        await world.service.anchor_now()


async def test_who_may_not_anchor_is_told_so(world: World) -> None:
    await world.grow(1)
    world.chain.anchored[world.log_id].anchorers.clear()
    with pytest.raises(Reverted, match="NotAnchorer"):
        await world.service.anchor_now()


async def test_an_anchor_is_due_by_request_by_leaves_and_by_time(world: World) -> None:
    rule = (timedelta(minutes=10), 5)
    assert not await world.service.is_due(*rule)
    await world.grow(1)
    assert await world.service.is_due(*rule)
    await world.service.anchor_now()
    assert not await world.service.is_due(*rule)
    await world.grow(4)
    assert not await world.service.is_due(*rule)
    await world.grow(1)
    assert await world.service.is_due(*rule)
    await world.service.anchor_now()
    world.clock.advance(wall=timedelta(minutes=11))
    assert not await world.service.is_due(*rule)
    await world.grow(1)
    assert await world.service.is_due(*rule)


async def test_a_clock_that_was_far_ahead_holds_no_anchor_up(world: World) -> None:
    rule = (timedelta(minutes=10), 5)
    world.clock.advance(wall=timedelta(days=400))
    await world.grow(1)
    await world.service.anchor_now()
    await world.grow(1)
    world.clock.advance(wall=-timedelta(seconds=5))
    assert not await world.service.is_due(*rule)
    world.clock.advance(wall=-timedelta(days=400))
    assert await world.service.is_due(*rule)
    await world.service.anchor_now()
    await world.grow(1)
    assert not await world.service.is_due(*rule)


def caller(*roles: Role) -> Caller:
    return Caller(1, "0x" + "ab" * 20, TRADER, frozenset(roles))


async def test_an_operator_asks_for_an_anchor_and_everybody_sees_it(world: World) -> None:
    app = serve({AnchorService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: caller(Role.OPERATOR)
    await world.grow(2)
    async with client_of(app) as client:
        asked = await client.post("/anchors")
        listed = (await client.get("/log/anchors")).json()
    assert asked.status_code == 202
    assert [(one["index"], one["size"], one["state"]) for one in listed["anchors"]] == [(0, 2, "unsafe")]
    assert listed["anchors"][0]["log_id"] == "0x" + world.log_id.hex()
    assert world.journal.events() == ["anchor.requested"]
    assert not await world.service.is_due(timedelta(minutes=10), 5)


async def test_a_request_that_the_chain_could_not_serve_stays_open(world: World) -> None:
    app = serve({AnchorService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: caller(Role.OPERATOR)
    await world.grow(2)
    world.chain.down = True
    async with client_of(app) as client:
        assert (await client.post("/anchors")).status_code == 202
    world.chain.down = False
    assert await world.service.is_due(timedelta(minutes=10), 5)
    await world.service.anchor_now()
    assert not await world.service.is_due(timedelta(minutes=10), 5)


async def test_nobody_else_may_ask(world: World) -> None:
    app = serve({AnchorService: world.service, Database: world.database}, router)
    app.dependency_overrides[signed_in] = lambda: caller(Role.TRADER, Role.REGULATOR)
    async with client_of(app) as client:
        assert (await client.post("/anchors")).status_code == 403
    assert world.journal.events() == []
