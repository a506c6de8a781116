"""The watcher moves the rules' version for whatever a verdict may rest on, and for nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from backend.compliance.repository.rules import RulesSeen, hold_rules, rules_seen
from backend.compliance.service import RulesWatcher
from backend.compliance.service.watching import BOOKKEEPING
from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.ports.chain import Block, Log, Reverted
from tests.fakes import FakeChain, FakeClock, FakeJournal

ENGINE, OTHER_ENGINE = "0x" + "e1" * 20, "0x" + "e2" * 20
PAUSE, NEW_POLICY = "0x" + "01" * 20, "0x" + "02" * 20


class Watched:
    """A chain with rules on it, and who watches them."""

    def __init__(self, database: Database, chain: FakeChain | None = None) -> None:
        self.database = database
        self.chain, self.journal, self.clock = chain or FakeChain(), FakeJournal(), FakeClock()
        self.engine, self.policies = ENGINE, [PAUSE]
        self.chain.answer("OrderGate", "getPolicyEngine", lambda: self.engine)
        self.chain.answer("PolicyEngine", "getPolicies", lambda _gate, _selector: tuple(self.policies))
        self.watcher = self.another()

    def another(self) -> RulesWatcher:
        """Return a watcher of another process."""
        return RulesWatcher(self.database, self.chain, self.journal, self.clock)

    def mine(self) -> None:
        """Mine an empty block."""
        last = self.chain.blocks[-1]
        made = Block(last.number + 1, f"0x{last.number + 1:064x}", last.timestamp + 2)
        self.chain.blocks.append(made)

    def happens(self, contract: str, event: str) -> None:
        """Mine a block with an event in it."""
        self.mine()
        self.chain.emit(contract, event)

    async def seen(self) -> RulesSeen:
        """Return the row."""
        async with self.database.reading() as session:
            return await rules_seen(session)


@pytest.fixture
def world(database: Database) -> Watched:
    return Watched(database)


async def test_the_first_look_moves_the_version_once_and_starts_at_the_head(world: Watched) -> None:
    world.happens("PausePolicy", "PauseStateChanged")
    polled = await world.watcher.poll()
    assert (polled.version, polled.changes) == (1, ("first look",))
    assert (await world.watcher.poll()).changes == ()
    seen = await world.seen()
    assert (seen.version, seen.block_number, seen.block_hash) == (1, 1, world.chain.blocks[1].hash)
    assert seen.seen_at == world.clock.wall()
    assert [record.fields["changes"] for record in world.journal.records] == ["first look"]


@pytest.mark.parametrize(
    ("contract", "event"),
    [
        ("OrderGate", "PolicyEngineAttached"),
        (ENGINE, "PolicyAdded"),
        (PAUSE, "PauseStateChanged"),
        (PAUSE, ""),
        ("CredentialRegistry", "CredentialRemoved"),
        ("CredentialRegistry", "CredentialRegistered"),
        ("IdentityRegistry", "IdentityRemoved"),
        ("TrustedIssuerRegistry", "IssuerRemoved"),
        ("ModelRegistry", "ModelRevoked"),
        ("LimitSteward", "LimitChanged"),
    ],
)
async def test_whatever_a_verdict_rests_on_moves_the_version_and_is_recorded(
    world: Watched, contract: str, event: str
) -> None:
    await world.watcher.poll()
    world.happens(contract, event)
    polled = await world.watcher.poll()
    assert polled.version == 2
    assert (await world.seen()).version == 2
    record = world.journal.records[-1]
    assert (record.account, record.event) == ("system", "compliance.rules_changed")
    assert record.fields["version"] == 2
    assert record.fields["block_number"] == 1
    assert record.fields["changes"].endswith(f".{event or 'undecoded'}")


@pytest.mark.parametrize(
    ("contract", "event"),
    [
        (ENGINE, "PolicyRunComplete"),
        ("OrderGate", "OrderSubmitted"),
        ("OrderGate", "VolumeSettled"),
        (PAUSE, "VolumeRecorded"),
        ("ModelRegistry", "ModelProposed"),
        ("AuditAnchor", "Anchored"),
        (NEW_POLICY, "PauseStateChanged"),
    ],
)
async def test_bookkeeping_and_strangers_move_the_block_only(world: Watched, contract: str, event: str) -> None:
    await world.watcher.poll()
    world.happens(contract, event)
    world.clock.advance(wall=timedelta(seconds=1))
    assert (await world.watcher.poll()).changes == ()
    seen = await world.seen()
    assert (seen.version, seen.block_number, seen.seen_at) == (1, 1, world.clock.wall())
    assert len(world.journal.records) == 1


def test_what_counts_as_bookkeeping_is_a_closed_list() -> None:
    assert sorted(BOOKKEEPING) == [
        "ModelProposed", "OrderSubmitted", "PolicyRunComplete", "VolumeRecorded", "VolumeSettled",
    ]  # fmt: skip


async def test_many_changes_of_one_look_are_one_version_and_one_record(world: Watched) -> None:
    await world.watcher.poll()
    for _ in range(3):
        world.happens("CredentialRegistry", "CredentialRemoved")
        world.happens(PAUSE, "PauseStateChanged")
    assert (await world.watcher.poll()).version == 2
    changed = world.journal.records[-1].fields["changes"]
    assert changed == f"CredentialRegistry.CredentialRemoved, {PAUSE}.PauseStateChanged"


async def test_a_policy_that_joins_the_chain_is_watched_and_one_that_left_is_not(world: Watched) -> None:
    await world.watcher.poll()
    world.policies = [PAUSE, NEW_POLICY]
    world.happens(ENGINE, "PolicyAdded")
    assert (await world.watcher.poll()).version == 2
    world.happens(NEW_POLICY, "LimitSet")
    assert (await world.watcher.poll()).version == 3
    world.policies = [PAUSE]
    world.happens(ENGINE, "PolicyRemoved")
    assert (await world.watcher.poll()).version == 4
    world.happens(NEW_POLICY, "LimitSet")
    assert (await world.watcher.poll()).version == 4


async def test_the_engine_that_the_gate_moves_to_is_watched(world: Watched) -> None:
    await world.watcher.poll()
    world.engine = OTHER_ENGINE
    world.happens("OrderGate", "PolicyEngineAttached")
    assert (await world.watcher.poll()).version == 2
    world.happens(OTHER_ENGINE, "PolicyAdded")
    assert (await world.watcher.poll()).version == 3
    world.happens(ENGINE, "PolicyAdded")
    assert (await world.watcher.poll()).version == 3


async def test_a_gate_without_an_engine_is_still_watched(world: Watched) -> None:
    def undefined() -> str:
        raise Reverted("PolicyEngineUndefined")

    world.chain.answer("OrderGate", "getPolicyEngine", undefined)
    await world.watcher.poll()
    world.happens("OrderGate", "PolicyEngineAttached")
    assert (await world.watcher.poll()).version == 2


async def test_a_reorganised_chain_moves_the_version_whatever_it_holds(world: Watched) -> None:
    for _ in range(3):
        world.mine()
    await world.watcher.poll()
    last = world.chain.blocks[-1]
    world.chain.blocks[-1] = Block(last.number, "0x" + "99" * 32, last.timestamp)
    polled = await world.watcher.poll()
    assert (polled.version, polled.changes) == (2, ("reorganised",))
    # Back, and then the block that was seen is gone though the chain is longer.
    del world.chain.blocks[2:]
    assert (await world.watcher.poll()).version == 3
    world.chain.blocks[1] = Block(1, "0x" + "98" * 32, last.timestamp)
    world.mine()
    world.chain.blocks[0], kept = Block(0, "0x" + "97" * 32, 0), world.chain.blocks[0]
    assert (await world.watcher.poll()).version == 4
    world.chain.blocks[0] = kept
    world.mine()
    assert (await world.watcher.poll()).version == 4


async def test_a_watcher_that_was_killed_goes_on_where_it_left_off(world: Watched) -> None:
    await world.watcher.poll()
    world.happens("CredentialRegistry", "CredentialRemoved")
    for _ in range(5):
        world.mine()
    polled = await world.another().poll()
    assert (polled.version, polled.changes) == (2, ("CredentialRegistry.CredentialRemoved",))
    assert (await world.seen()).block_number == 6


async def test_a_chain_that_is_away_changes_nothing_and_the_last_look_grows_old(world: Watched) -> None:
    await world.watcher.poll()
    before = await world.seen()
    world.chain.down = True
    world.clock.advance(wall=timedelta(seconds=5))
    with pytest.raises(Unavailable):
        await world.watcher.poll()
    assert await world.seen() == before


async def test_two_watchers_see_each_change_and_none_is_lost(world: Watched) -> None:
    first, second = world.watcher, world.another()
    await first.poll()
    await second.poll()
    for turn in range(6):
        world.policies = [PAUSE, f"0x{turn + 16:040x}"]
        world.happens(ENGINE, "PolicyAdded")
        await (first, second)[turn % 2].poll()
        await (second, first)[turn % 2].poll()
        world.happens(world.policies[1], "LimitSet")
        await (second, first)[turn % 2].poll()
        await (first, second)[turn % 2].poll()
    assert (await world.seen()).version == 1 + 12


class Overtaken(FakeChain):
    """Lets another look while a question for logs is on its way."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def logs(self, contracts: Sequence[str], *, from_block: int, to_block: int) -> list[Log]:
        """Answer after what happens meanwhile."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().logs(contracts, from_block=from_block, to_block=to_block)


async def test_what_another_watcher_wrote_meanwhile_is_left_as_it_is(database: Database) -> None:
    chain = Overtaken()
    world = Watched(database, chain)
    await world.watcher.poll()
    world.happens("CredentialRegistry", "CredentialRemoved")
    chain.meanwhile = world.another().poll
    polled = await world.watcher.poll()
    assert (polled.version, polled.changes) == (2, ())
    assert (await world.seen()).version == 2
    assert world.journal.events() == ["compliance.rules_changed"] * 2


async def test_an_order_that_holds_the_version_goes_first_and_watchers_at_once_move_it_once(
    postgres_database: Database,
) -> None:
    world = Watched(postgres_database)
    await asyncio.gather(*(world.another().poll() for _ in range(3)))
    assert (await world.seen()).version == 1
    world.happens("CredentialRegistry", "CredentialRemoved")
    async with postgres_database.transaction() as session:
        assert (await hold_rules(session)).version == 1
        looking = [asyncio.create_task(world.another().poll()) for _ in range(3)]
        await asyncio.wait(looking, timeout=0.3)
        assert not any(task.done() for task in looking)
        assert (await hold_rules(session)).version == 1
    await asyncio.gather(*looking)
    assert (await world.seen()).version == 2
    assert world.journal.events() == ["compliance.rules_changed"] * 2
