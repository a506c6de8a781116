"""On a real node: what changes on chain reaches the rules' version within a look, and settlements reach the chain."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from backend.accounts.types import Caller, Role
from backend.adapters.policy.engine import EnginePolicy
from backend.compliance.repository.rules import RulesSeen
from backend.compliance.service import CapService, ComplianceGate, CredentialService, StandingService, StewardService
from backend.compliance.types import ClearedDecision, CredentialType, GateTerms
from backend.decisions.types import Decision
from backend.kernel.errors import Conflict, NotFound
from backend.kernel.refusal import Refused
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from oracle.compliance_watcher import watch
from tests.backend.pipeline.rooms import FakeGovernance
from tests.contracts.gate_world import (
    LIMIT,
    SETTLE_VOLUMES,
    GateWorld,
    gate_chain,
    gate_world,
    local_chain,
    node,
    parameters,
)
from tests.ports.conftest import SUBMIT_ORDER

__all__ = ["gate_chain", "gate_world", "local_chain", "node"]

KYC = CredentialType.KYC
CENT = 10**4


def wallet() -> str:
    return "0x" + secrets.token_hex(20)


def issuing(world: GateWorld) -> CredentialService:
    return CredentialService(world.chain, world.journal, CapService(world.chain).open)


async def credentialled(world: GateWorld) -> str:
    """Return a wallet that may trade."""
    address = wallet()
    await issuing(world).issue(world.database, address, KYC, None, actor="operator")
    return address


async def moved(world: GateWorld, version: int) -> RulesSeen:
    """Return the rules once their version is another; whoever waits bounds the time."""
    while True:
        seen = await world.rules()
        if seen.version != version:
            return seen
        await asyncio.sleep(0.005)


async def test_a_revoked_credential_reaches_the_version_within_a_look(gate_world: GateWorld) -> None:
    interval, stop = timedelta(milliseconds=100), asyncio.Event()
    address = await credentialled(gate_world)
    watching = asyncio.create_task(watch(gate_world.watcher(), stop, interval=interval))
    try:
        async with asyncio.timeout(10):
            before = (await moved(gate_world, 0)).version
            revoked = await issuing(gate_world).take(address, KYC)
            mined = time.monotonic()
            seen = await moved(gate_world, before)
        took = time.monotonic() - mined
    finally:
        stop.set()
        await watching
    print(f"revoked -> version moved: {1_000 * took:.0f} ms after the receipt, looking every 100 ms")  # noqa: T201
    assert seen.block_number >= revoked.block_number
    record = next(found for found in reversed(gate_world.journal.records) if found.event == "compliance.rules_changed")
    assert "CredentialRegistry.CredentialRemoved" in record.fields["changes"]


def buying(address: str) -> Decision:
    now = datetime(2016, 6, 1, 21, tzinfo=UTC)
    return Decision(
        secrets.token_hex(16), address, "person", "AAPL", "buy", Decimal(1), None, (), "", (), "buy", now
    )  # fmt: skip


def gate_of(world: GateWorld) -> ComplianceGate:
    relay = world.local.signer.address(KeyRole.ANCHORER)
    terms = GateTerms(cache_lifetime=timedelta(minutes=5), watched_within=timedelta(minutes=5))
    price = Decimal("0.05")
    return ComplianceGate(EnginePolicy(world.chain, relay), FakeGovernance(), lambda _: price, world.clock, terms)


async def test_an_order_in_flight_and_the_next_are_refused_once_the_credential_is_gone(gate_world: GateWorld) -> None:
    address, watcher, gate = await credentialled(gate_world), gate_world.watcher(), gate_of(gate_world)
    await watcher.poll()
    caller = Caller(1, address, "trader", frozenset({Role.TRADER}))
    async with gate_world.database.transaction() as session:
        first = await gate.clear(session, buying(address), caller)
        assert isinstance(first, ClearedDecision)
        assert await gate.hold(session, first) is None
    async with gate_world.database.transaction() as session:
        in_flight = await gate.clear(session, buying(address), caller)
    assert isinstance(in_flight, ClearedDecision)
    await issuing(gate_world).take(address, KYC)
    async with gate_world.database.transaction() as session:
        # Five minutes old it could be: only the watcher knows that the answer counts no more.
        assert isinstance(await gate.clear(session, buying(address), caller), ClearedDecision)
    await watcher.poll()
    async with gate_world.database.transaction() as session:
        stopped = await gate.hold(session, in_flight)
        refused = await gate.clear(session, buying(address), caller)
    assert stopped is not None
    assert stopped.rule == "rules_changed"
    assert isinstance(refused, Refused)
    assert refused.rule == "CredentialValidatorPolicy"


async def test_a_policy_that_leaves_or_joins_moves_the_version_and_is_watched_from_then_on(
    gate_world: GateWorld,
) -> None:
    watcher, local = gate_world.watcher(), gate_world.local
    gate, pause = local.addresses["OrderGate"], local.addresses["PausePolicy"]
    start = (await watcher.poll()).version
    local.transact("PolicyEngine", "removePolicy", gate, SUBMIT_ORDER, pause)
    assert (await watcher.poll()).version == start + 1
    local.transact("PausePolicy", "setPausedState", True)
    assert (await watcher.poll()).version == start + 1
    local.transact("PausePolicy", "setPausedState", False)
    await watcher.poll()
    local.transact("PolicyEngine", "addPolicyAt", gate, SUBMIT_ORDER, pause, [], 0)
    assert (await watcher.poll()).version == start + 2
    for paused in (True, False):
        local.transact("PausePolicy", "setPausedState", paused)
        assert "PausePolicy.PauseStateChanged" in (await watcher.poll()).changes


async def test_another_engine_moves_the_version_and_is_watched_from_then_on(gate_world: GateWorld) -> None:
    watcher, local = gate_world.watcher(), gate_world.local
    first = local.addresses["PolicyEngine"]
    kept = (local.deployments / "PolicyEngine.json").read_text()
    start = (await watcher.poll()).version
    second = local.deploy("PolicyEngine", local.owner)
    (local.deployments / "PolicyEngine.json").write_text(kept)
    local.addresses["PolicyEngine"] = first
    local.transact("OrderGate", "attachPolicyEngine", second)
    polled = await watcher.poll()
    assert polled.version == start + 1
    assert "OrderGate.PolicyEngineAttached" in polled.changes
    local.transact("OrderGate", "attachPolicyEngine", first)
    assert (await watcher.poll()).version == start + 2


async def test_orders_and_settlements_do_not_move_the_version(gate_world: GateWorld) -> None:
    address = await credentialled(gate_world)
    await gate_world.submit(address, 5 * CENT)
    await settle_by_hand(gate_world, (address, 7 * CENT))
    watcher = gate_world.watcher()
    start = (await watcher.poll()).version
    await gate_world.submit(address, 5 * CENT)
    await settle_by_hand(gate_world, (address, 9 * CENT))
    polled = await watcher.poll()
    assert (polled.version, polled.changes) == (start, ())
    assert (await gate_world.rules()).block_number == (await gate_world.chain.block()).number


async def test_a_reorganised_chain_moves_the_version(gate_world: GateWorld) -> None:
    watcher, local = gate_world.watcher(), gate_world.local
    for _ in range(3):
        local.rpc("evm_mine")
    start = (await watcher.poll()).version
    local.rpc("anvil_reorg", 2, [])
    polled = await watcher.poll()
    assert (polled.version, polled.changes) == (start + 1, ("reorganised",))
    local.rpc("anvil_rollback", 1)
    assert (await watcher.poll()).version == start + 2
    assert (await watcher.poll()).version == start + 2


async def test_an_operator_moves_a_limit_as_far_as_its_rule_lets_it_and_that_moves_the_version(
    gate_world: GateWorld,
) -> None:
    watcher, steward = gate_world.watcher(), StewardService(gate_world.chain, gate_world.journal)
    start = (await watcher.poll()).version
    rule = await steward.rule_of("SlidingVolumePolicy")
    assert (rule.value, rule.lowest, rule.highest) == (LIMIT, LIMIT * 9 // 10, LIMIT * 11 // 10)
    async with gate_world.database.transaction() as session:
        if not rule.is_open:
            with pytest.raises(Conflict, match=r"1000000 USD and may move to 900000 to 1100000 USD from .* UTC on"):
                await steward.move(session, "SlidingVolumePolicy", LIMIT - 1, actor="operator")
            await gate_world.chain.advance_to(int(rule.not_before.timestamp()))
        with pytest.raises(Conflict, match=r"900000 to 1100000 USD now"):
            await steward.move(session, "SlidingVolumePolicy", LIMIT * 11 // 10 + 1, actor="operator")
        moved_limit = await steward.move(session, "SlidingVolumePolicy", LIMIT - CENT, actor="operator")
        with pytest.raises(Conflict, match="UTC on"):
            await steward.move(session, "SlidingVolumePolicy", LIMIT, actor="operator")
        with pytest.raises(NotFound, match="by a vote only"):
            await steward.move(session, "VolumePolicy", LIMIT, actor="operator")
    assert (moved_limit.before, moved_limit.value) == (LIMIT, LIMIT - CENT)
    assert gate_world.journal.events() == ["compliance.rules_changed", "compliance.limit_moved"]
    polled = await watcher.poll()
    assert polled.version == start + 1
    assert set(polled.changes) == {"LimitSteward.LimitChanged", "SlidingVolumePolicy.LimitSet"}
    gate_world.local.transact("SlidingVolumePolicy", "setLimit", LIMIT)


async def test_a_credential_opens_the_cap_once_and_a_review_is_kept_on_chain(gate_world: GateWorld) -> None:
    caps, address = CapService(gate_world.chain), wallet()
    closed = await caps.cap_of(address)
    assert closed is not None
    assert (closed.cap, closed.opened_at, closed.review) == (0, None, "")
    assert not await caps.record_review(address, b"\x01" * 32)
    assert await caps.open(address)
    assert not await caps.open(address.upper().replace("0X", "0x"))
    opened = await caps.cap_of(address)
    assert opened is not None
    assert opened.cap == 100 * 10**6
    assert opened.opened_at is not None
    assert await caps.record_review(address, b"\x01" * 32)
    reviewed = await caps.cap_of(address)
    assert reviewed is not None
    assert reviewed.review == "0x" + "01" * 32


async def test_a_wallets_standing_shows_credential_cap_volume_and_lists(gate_world: GateWorld) -> None:
    address = await credentialled(gate_world)
    await gate_world.submit(address, 3 * CENT)
    await gate_world.trade(7, address, 5 * CENT)
    standings = StandingService(gate_world.chain, CapService(gate_world.chain), gate_world.clock)
    async with gate_world.database.reading() as session:
        found = await standings.of(session, address, 7)
        stranger = await standings.of(session, wallet())
    assert [held.type for held in found.credentials] == [KYC]
    assert found.cap is not None
    assert found.cap.cap == 100 * 10**6
    assert found.volume is not None
    assert (found.volume.recorded, found.volume.unsettled, found.volume.limit) == (3 * CENT, 5 * CENT, LIMIT)
    assert found.sanctions_list == ""
    assert (stranger.ccid, stranger.credentials) == ("", ())
    await gate_world.chain.send(KeyRole.ISSUER, "SanctionsPolicy", "list", address, b"\x05" * 32)
    async with gate_world.database.reading() as session:
        assert (await standings.of(session, address)).sanctions_list == "0x" + "05" * 32


async def settle_by_hand(world: GateWorld, *pairs: tuple[str, int]) -> None:
    await world.chain.send(KeyRole.ANCHORER, "OrderGate", "settleVolumes", [*pairs])


async def test_what_is_traded_is_settled_and_counted_within_the_window(gate_world: GateWorld) -> None:
    traded = {wallet(): (3 * CENT, 11 * CENT), wallet(): (5 * CENT,), wallet().upper().replace("0X", "0x"): (CENT,)}
    for number, (address, amounts) in enumerate(traded.items(), 1):
        for amount in amounts:
            await gate_world.trade(number, address, amount)
    service = gate_world.settlement()
    (made,) = await service.settle()
    assert (made.accounts, made.added) == (3, 20 * CENT)
    for number, (address, amounts) in enumerate(traded.items(), 1):
        volume = await gate_world.volume(number)
        assert volume.settled == volume.cumulative == sum(amounts)
        assert await service.settled_of(address) == sum(amounts)
        assert await gate_world.chain.call("SlidingVolumePolicy", "volumeOf", address.lower()) == sum(amounts)
    assert not await service.settle()
    record = gate_world.journal.records[-1]
    assert (record.event, record.fields["accounts"], record.fields["added"]) == ("volume.settled", 3, "0.2")
    assert record.fields["tx_hash"] == made.tx_hash
    await gate_world.trade(1, next(iter(traded)), CENT)
    (made,) = await service.settle()
    assert (made.accounts, made.added) == (1, CENT)


async def test_random_trades_and_settlements_leave_the_sums_equal(gate_world: GateWorld) -> None:
    chance, wallets = Random(7), {number: wallet() for number in range(1, 5)}
    traded = dict.fromkeys(wallets, 0)
    for _ in range(30):
        number = chance.randint(1, 4)
        units = chance.randint(1, 10**9)
        await gate_world.trade(number, wallets[number], units)
        traded[number] += units
        if chance.random() < 0.25:
            await gate_world.settlement().settle()
        volume = await gate_world.volume(number)
        settled = await gate_world.settlement().settled_of(wallets[number])
        assert volume.cumulative == traded[number]
        assert volume.settled == settled <= volume.cumulative
    await gate_world.settlement().settle()
    for number, total in traded.items():
        for count in ("volumeOf", "recordedOf"):
            assert await gate_world.chain.call("SlidingVolumePolicy", count, wallets[number]) == total


async def test_a_settlement_that_a_reorganised_chain_lost_is_settled_again(gate_world: GateWorld) -> None:
    address = wallet()
    await gate_world.trade(1, address, 5 * CENT)
    service = gate_world.settlement()
    await service.settle()
    await gate_world.trade(1, address, 2 * CENT)
    await service.settle()
    gate_world.local.rpc("anvil_rollback", 1)
    assert await service.settled_of(address) == 5 * CENT
    (made,) = await gate_world.settlement().settle()
    assert made.added == 2 * CENT
    assert await service.settled_of(address) == 7 * CENT
    assert (await gate_world.volume(1)).settled == 7 * CENT


async def test_two_relays_that_settle_at_once_settle_once(gate_world: GateWorld) -> None:
    address = wallet()
    await gate_world.trade(1, address, 5 * CENT)
    relays = [gate_world.settlement() for _ in range(3)]
    await asyncio.gather(*(relay.settle() for relay in relays), return_exceptions=True)
    assert await relays[0].settled_of(address) == 5 * CENT
    assert await gate_world.chain.call("SlidingVolumePolicy", "recordedOf", address) == 5 * CENT
    assert not await relays[0].settle()
    assert (await gate_world.volume(1)).settled == 5 * CENT


async def test_less_than_is_settled_is_never_sent(gate_world: GateWorld) -> None:
    address = wallet()
    await settle_by_hand(gate_world, (address, 9 * CENT))
    await gate_world.trade(1, address, 5 * CENT)
    assert sum(made.added for made in await gate_world.settlement().settle()) == 9 * CENT
    assert (await gate_world.volume(1)).settled == 9 * CENT
    with pytest.raises(Reverted, match=r"CumulativeDecreased|PolicyPostRunError"):
        await settle_by_hand(gate_world, (address, 8 * CENT))


async def test_without_rules_over_volumes_nothing_is_settled(gate_world: GateWorld) -> None:
    local = gate_world.local
    gate, sliding = local.addresses["OrderGate"], local.addresses["SlidingVolumePolicy"]
    local.transact("PolicyEngine", "removePolicy", gate, SETTLE_VOLUMES, sliding)
    await gate_world.trade(1, wallet(), CENT)
    assert not await gate_world.settlement().settle()
    assert (await gate_world.volume(1)).settled == 0
    local.transact("PolicyEngine", "addPolicy", gate, SETTLE_VOLUMES, sliding, parameters("settlements"))
    assert len(await gate_world.settlement().settle()) == 1
