"""An anchor's state is what the chain shows, and what was final stays final."""

import asyncio

import pytest

from backend.anchoring.endpoints import router
from backend.anchoring.service import AnchorService
from backend.anchoring.types import EMPTY_HEAD, ON_CHAIN, Anchor, AnchorState, EntryState
from backend.audit.service import AuditJournal, LogReader
from backend.kernel.errors import NotFound, Tampered, Unavailable
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from tests.backend.anchoring.test_service import TRADER, World
from tests.fakes import FakeChain, client_of, serve


@pytest.fixture
def world(database: Database) -> World:
    """Return a world with an empty log."""
    return World(database)


async def known(world: World) -> list[Anchor]:
    async with world.database.reading() as session:
        return await world.service.anchors(session)


async def states(world: World) -> list[str]:
    await world.service.follow()
    return [one.state.value for one in await known(world)]


async def test_an_anchor_becomes_safe_and_final_as_the_tags_pass_it(world: World) -> None:
    for _ in range(3):
        await world.grow(2)
        await world.service.anchor_now()
    assert await states(world) == ["unsafe", "unsafe", "unsafe"]
    world.chain.tags = {"safe": 2}
    assert await states(world) == ["safe", "safe", "unsafe"]
    world.chain.tags = {"safe": 3, "finalized": 1}
    assert await states(world) == ["finalized", "safe", "safe"]


async def test_a_reorg_takes_safe_anchors_back_to_recorded_and_they_are_sent_again(world: World) -> None:
    for _ in range(3):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 3, "finalized": 1}
    assert await states(world) == ["finalized", "safe", "safe"]
    heads = [one.head for one in await known(world)]
    world.chain.drop_anchors(world.log_id, 2)
    assert await states(world) == ["finalized", "recorded", "recorded"]
    withdrawn = (await known(world))[1]
    assert (withdrawn.tx_hash, withdrawn.block_number, withdrawn.gas_used) == (None, None, None)
    await world.service.anchor_now()
    assert await states(world) == ["finalized", "unsafe", "unsafe"]
    assert [one.head for one in await known(world)] == heads


async def test_a_safe_tag_that_steps_back_is_followed_and_a_final_one_is_not(world: World) -> None:
    for _ in range(2):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 2, "finalized": 1}
    assert await states(world) == ["finalized", "safe"]
    world.chain.tags = {"safe": 1, "finalized": 0}
    assert await states(world) == ["finalized", "unsafe"]


async def test_a_chain_that_forgot_or_changed_a_final_anchor_stops_anchoring(world: World) -> None:
    for _ in range(2):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 2, "finalized": 2}
    assert await states(world) == ["finalized", "finalized"]
    kept = world.chain.anchored[world.log_id].words[1]
    world.chain.anchored[world.log_id].words[1] = bytes(32)
    await world.grow(1)
    with pytest.raises(Tampered):
        await world.service.anchor_now()
    world.chain.anchored[world.log_id].words[1] = kept
    world.chain.drop_anchors(world.log_id, 1)
    with pytest.raises(Tampered):
        await world.service.anchor_now()
    assert [one.state for one in await known(world)] == [AnchorState.FINALIZED] * 2
    assert world.sizes() == [2]


async def test_a_node_that_stands_behind_is_waited_for(world: World) -> None:
    for _ in range(2):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 2, "finalized": 2}
    assert await states(world) == ["finalized", "finalized"]
    hidden = world.chain.blocks.pop()
    with pytest.raises(Unavailable, match="behind"):
        await world.service.follow()
    world.chain.blocks.append(hidden)
    assert await states(world) == ["finalized", "finalized"]


async def test_a_node_without_old_states_still_tells_by_its_events(world: World) -> None:
    for _ in range(2):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 2, "finalized": 1}
    latest = world.chain.blocks[-1].hash

    class Pruned(FakeChain):
        """A chain that has the states of its newest block only."""

        async def call(self, contract: str, function: str, *arguments: object, **place: object) -> object:
            if place.get("block") not in {None, latest}:
                raise Unavailable("missing trie node")
            return await super().call(contract, function, *arguments, **place)  # type: ignore[arg-type]

    world.chain.__class__ = Pruned
    assert await states(world) == ["finalized", "safe"]


@pytest.mark.parametrize("waits", [False, True])
async def test_an_anchor_of_our_tree_over_other_account_heads_is_an_alarm(world: World, waits: bool) -> None:
    await world.grow(3)
    async with world.database.reading() as session:
        root = await LogReader().root(session, 3)
    if waits:
        world.chain.down = True
        with pytest.raises(Unavailable):
            await world.service.anchor_now()
        world.chain.down = False
    head = (3, root, b"\x05" * 32)
    await world.chain.send(KeyRole.ANCHORER, "AuditAnchor", "anchor", world.log_id, EMPTY_HEAD.word(), head, [])
    for attempt in (world.service.follow, world.service.anchor_now):
        with pytest.raises(Tampered, match="account heads"):
            await attempt()
    assert all(one.state not in ON_CHAIN for one in await known(world))


async def test_a_node_that_is_slow_to_find_events_is_waited_for(world: World) -> None:
    await world.grow(3)
    await world.service.anchor_now()
    world.chain.tags = {"finalized": 1}
    hidden = world.chain.emitted.pop()
    with pytest.raises(Unavailable, match="no event") as waits:
        await world.service.follow()
    assert waits.type is Unavailable
    assert [one.state for one in await known(world)] == [AnchorState.UNSAFE]
    world.chain.emitted.append(hidden)
    assert await states(world) == ["finalized"]


@pytest.mark.parametrize("lie", [{"size": 4}, {"root": b"\x01" * 32}, {"headsRoot": b"\x01" * 32}])
async def test_an_event_that_is_not_the_stored_word_is_an_alarm(world: World, lie: dict[str, object]) -> None:
    await world.grow(3)
    await world.service.anchor_now()
    contract, event, arguments = world.chain.emitted[-1]
    world.chain.emitted[-1] = (contract, event, arguments | lie)
    with pytest.raises(Tampered, match="event"):
        await world.service.follow()


async def test_more_anchors_than_entries_are_an_alarm_at_once(world: World) -> None:
    await world.grow(3)
    await world.service.anchor_now()
    world.chain.called.clear()
    world.chain.answer("AuditAnchor", "anchorCount", lambda *_: 2**63)
    async with asyncio.timeout(2):
        with pytest.raises(Tampered, match="more anchors"):
            await world.service.follow()
    assert not any(function == "anchorAt" for _contract, function, *_rest in world.chain.called)


async def test_a_chain_under_another_id_is_not_followed(world: World) -> None:
    await world.grow(3)
    await world.service.anchor_now()
    world.chain.id += 1
    with pytest.raises(Unavailable, match="chain"):
        await world.service.follow()
    assert [one.state for one in await known(world)] == [AnchorState.UNSAFE]


async def test_an_entry_tells_how_far_it_has_come(world: World) -> None:
    await world.grow(2)
    async with world.database.transaction() as session:
        await AuditJournal(world.clock).record(session, TRADER, "order.filled", {}, actor="x", policy="1")

    async def told() -> list[tuple[EntryState, int | None]]:
        async with world.database.reading() as session:
            found = [await world.service.state_of(session, index) for index in range(3)]
        return [(one.state, one.anchor) for one in found]

    waiting = (EntryState.RECORDED, None)
    assert await told() == [(EntryState.CHECKPOINTED, None)] * 2 + [waiting]
    await world.service.anchor_now()
    assert await told() == [(EntryState.UNSAFE, 0)] * 2 + [waiting]
    await world.grow(0)
    await world.service.anchor_now()
    world.chain.tags = {"finalized": 1}
    await world.service.follow()
    assert await told() == [(EntryState.FINALIZED, 0)] * 2 + [(EntryState.UNSAFE, 1)]
    async with world.database.reading() as session:
        with pytest.raises(NotFound):
            await world.service.state_of(session, 3)


async def test_anybody_may_ask_for_an_entrys_state(world: World) -> None:
    app = serve({AnchorService: world.service, Database: world.database}, router)
    await world.grow(1)
    async with client_of(app) as client:
        found = (await client.get("/log/entries/0/state")).json()
        missing = await client.get("/log/entries/1/state")
        malformed = await client.get("/log/entries/-1/state")
    assert found == {"index": 0, "state": "checkpointed", "anchor": None}
    assert (missing.status_code, malformed.status_code) == (404, 422)


class L1(FakeChain):
    """An L1 whose verifier holds what a test says is proven."""

    def __init__(self, log_id: bytes) -> None:
        super().__init__(chain_id=900)
        self.words: dict[int, bytes] = {}
        self.log_id = log_id
        self.tags = {"finalized": 0}
        self.answer("L1AnchorVerifier", "provenAt", lambda _log, index: self.words.get(index, bytes(32)))

    def prove(self, index: int, word: bytes) -> None:
        """Let the verifier hold an anchor's word."""
        self.words[index] = word
        self._mine(self.blocks[-1].timestamp + 12)
        self.emit("L1AnchorVerifier", "AnchorProven", logId=self.log_id, index=index, word=word, outputRoot=bytes(32))


async def test_what_l1_holds_for_good_is_proven_and_stays_so(world: World) -> None:
    l1 = L1(world.log_id)
    world.service = world.relay(l1)
    for _ in range(3):
        await world.grow(2)
        await world.service.anchor_now()
    world.chain.tags = {"safe": 3, "finalized": 2}
    l1.prove(1, world.chain.anchored[world.log_id].words[1])
    assert await states(world) == ["finalized", "finalized", "safe"]
    l1.tags["finalized"] = 1
    assert await states(world) == ["finalized", "l1_proven", "safe"]
    async with world.database.reading() as session:
        place = await world.service.state_of(session, 0)
    assert (place.state, place.anchor) == (EntryState.L1_PROVEN, 1)
    l1.words.clear()
    l1.emitted.clear()
    assert await states(world) == ["finalized", "l1_proven", "safe"]


async def test_another_word_on_l1_is_an_alarm_and_a_silent_l1_is_not(world: World) -> None:
    l1 = L1(world.log_id)
    world.service = world.relay(l1)
    await world.grow(2)
    await world.service.anchor_now()
    world.chain.tags = {"finalized": 1}
    l1.down = True
    assert await states(world) == ["finalized"]
    l1.down = False
    l1.prove(0, b"\x01" * 32)
    l1.tags["finalized"] = 1
    with pytest.raises(Tampered):
        await world.service.follow()


async def test_an_event_on_l1_without_its_word_proves_nothing_yet(world: World) -> None:
    l1 = L1(world.log_id)
    world.service = world.relay(l1)
    await world.grow(2)
    await world.service.anchor_now()
    world.chain.tags = {"finalized": 1}
    word = world.chain.anchored[world.log_id].words[0]
    l1.prove(0, bytes(32))
    l1.tags["finalized"] = 1
    assert await states(world) == ["finalized"]
    l1.words[0] = word
    assert await states(world) == ["l1_proven"]


class Attesting:
    """EAS as far as anchoring needs it."""

    def __init__(self, world: World) -> None:
        self.times: dict[bytes, int] = {}
        self.world = world
        self.refuses = False
        world.chain.answer("EAS", "getTimestamp", lambda word: self.times.get(word, 0))
        world.chain.answer("EAS", "timestamp", self.timestamp)

    def timestamp(self, word: bytes) -> None:
        """Note a word's time, once."""
        if self.refuses or word in self.times:
            raise Reverted("AlreadyTimestamped")
        self.times[word] = 1
        self.world.chain.emit("EAS", "Timestamped", data=word, timestamp=1)


async def test_each_anchors_word_is_timestamped_once_where_eas_stands(world: World) -> None:
    eas = Attesting(world)
    for _ in range(2):
        await world.grow(2)
        await world.service.anchor_now()
    await world.service.follow()
    await world.service.follow()
    assert list(eas.times) == world.chain.anchored[world.log_id].words
    assert len({one.eas_tx_hash for one in await known(world)} - {None}) == 2
    assert [sent[1] for sent in world.chain.sent].count("EAS") == 2


async def test_a_word_that_somebody_else_timestamped_is_fine(world: World) -> None:
    eas = Attesting(world)
    await world.grow(2)
    await world.service.anchor_now()
    eas.timestamp(world.chain.anchored[world.log_id].words[0])
    await world.service.follow()
    assert (await known(world))[0].eas_tx_hash is not None
    assert [sent[1] for sent in world.chain.sent].count("EAS") == 0


async def test_an_attestation_service_that_refuses_does_not_hurt_anchoring(world: World) -> None:
    Attesting(world).refuses = True
    await world.grow(2)
    await world.service.anchor_now()
    await world.service.follow()
    await world.grow(1)
    await world.service.anchor_now()
    assert [one.eas_tx_hash for one in await known(world)] == [None, None]
    assert world.sizes() == [2, 3]
