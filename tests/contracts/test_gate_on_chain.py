"""The gate before the real rules on a real node: races, misconfiguration, and a node that lies or says nothing."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3

from backend.accounts.types import Caller
from backend.adapters.chain.rpc import RpcChain
from backend.adapters.policy.engine import EnginePolicy
from backend.compliance.repository import receipts
from backend.compliance.service import ComplianceGate
from backend.compliance.types import GateTerms
from backend.decisions.service import PersonIntent
from backend.execution.service import ExecutionService
from backend.kernel.errors import Conflict, Unavailable
from backend.kit.db import Database
from backend.pipeline.schemas import OrderIn
from backend.pipeline.service import OrderService
from backend.pipeline.stages import Stages, Submission, run
from backend.pipeline.types import Outcome
from backend.ports.chain import Reverted
from backend.ports.policy import OrderCheck, Policy, Silent, Verdict
from backend.ports.signer import KeyRole
from tests.backend.conftest import postgres, postgres_database, postgres_url
from tests.backend.pipeline.rooms import INITIAL_CASH, House
from tests.contracts.gate_world import GateWorld, gate_chain, gate_world, local_chain, node
from tests.fakes import FakeChain
from tests.ports.conftest import KYC, SUBMIT_ORDER

__all__ = ["gate_chain", "gate_world", "local_chain", "node", "postgres", "postgres_database", "postgres_url"]

TERMS = GateTerms(timedelta(seconds=30), timedelta(minutes=15), timedelta(minutes=1))
USD = 10**6


@dataclass
class Floor:
    """A platform whose gate asks the real rules."""

    world: GateWorld
    house: House
    policy: Policy
    stages: Stages
    trader: Caller

    async def order(self, side: str, quantity: str, policy: Policy | None = None) -> Outcome:
        """Place an order of the trader's."""
        intent = PersonIntent("AAPL", "buy" if side == "buy" else "sell", Decimal(quantity))
        stages = self.stages if policy is None else ruled(self.house, policy)
        async with self.house.session() as session:
            return await run(Submission(session, self.trader, secrets.token_hex(8), intent), stages)

    async def receipt(self) -> dict[str, Any]:
        """Return the receipt of the last order."""
        named = self.house.journal.records[-1].fields["compliance_receipt"]
        async with self.house.session() as session:
            text = await receipts.receipt_json(session, str(named))
        assert text is not None
        found: dict[str, Any] = json.loads(text)
        return found

    def owner(self, contract: str, function: str, *arguments: Any) -> None:
        """Change the rules."""
        self.world.local.transact(contract, function, *arguments)

    def at(self, contract: str) -> str:
        """Return a contract's address with its checksum."""
        return self.world.local.addresses[contract]

    def question(self, notional: str) -> OrderCheck:
        """Return what an order of the trader's would ask."""
        return OrderCheck(self.trader.address, "AAPL", Decimal(notional), None)

    def another_engine(self) -> str:
        """Deploy an engine without any rule beside the deployment's."""
        local = self.world.local
        kept, address = (local.deployments / "PolicyEngine.json").read_text(), self.at("PolicyEngine")
        made = local.deploy("PolicyEngine", local.owner)
        (local.deployments / "PolicyEngine.json").write_text(kept)
        local.addresses["PolicyEngine"] = address
        return made

    async def revoke(self) -> None:
        """Take the trader's credential."""
        chain = self.world.chain
        ccid = await chain.call("IdentityRegistry", "getIdentity", self.trader.address)
        await chain.send(KeyRole.ISSUER, "CredentialRegistry", "removeCredential", ccid, KYC, b"")


def ruled(house: House, policy: Policy) -> Stages:
    """Return the stages behind a gate that asks this policy."""
    gate = ComplianceGate(policy, house.governance, house.close, house.wall, TERMS)
    execution = ExecutionService(house.broker, gate, house.risk, house.decisions, house.journal, INITIAL_CASH)
    return replace(house.stages, compliance=gate, execution=execution)


async def credential(chain: RpcChain, account: str, expires: int = 0) -> None:
    """Identify a wallet and give it a credential."""
    ccid = secrets.token_bytes(32)
    await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    await chain.send(KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, KYC, expires, b"", b"")


async def grown(world: GateWorld, account: str) -> None:
    """Identify a wallet, open its caps and let them grow to 500 USD."""
    await credential(world.chain, account)
    await world.chain.send(KeyRole.ISSUER, "ProgressiveCapPolicy", "open", account)
    world.local.rpc("evm_increaseTime", hex(4 * 86_400))
    world.local.rpc("evm_mine")


async def opened(world: GateWorld, folder: Path) -> Floor:
    """Return a floor with a trader who may trade."""
    house = House(world.database, folder / "models", terms=TERMS)
    trader = await house.trader(secrets.randbelow(2**64) + 1)
    await grown(world, trader.address)
    policy = EnginePolicy(world.chain, relay(world))
    await world.watcher().poll()
    return Floor(world, house, policy, ruled(house, policy), trader)


def relay(world: GateWorld) -> str:
    return world.local.signer.address(KeyRole.ANCHORER)


@pytest.fixture
async def floor(gate_world: GateWorld, tmp_path: Path) -> AsyncIterator[Floor]:
    """Yield a trader who may trade, and put the chain back afterwards."""
    before = gate_world.local.rpc("evm_snapshot")
    yield await opened(gate_world, tmp_path)
    gate_world.local.rpc("evm_revert", before)


@pytest.fixture
async def busy(gate_world: GateWorld, postgres_database: Database, tmp_path: Path) -> AsyncIterator[Floor]:
    """Yield the same on PostgreSQL, where the watcher writes while an order is on its way."""
    before = gate_world.local.rpc("evm_snapshot")
    yield await opened(replace(gate_world, database=postgres_database), tmp_path)
    gate_world.local.rpc("evm_revert", before)


def refusal(outcome: Outcome) -> tuple[str, str]:
    assert outcome.refused is not None
    return outcome.refused.rule, outcome.refused.reason


# --- who may trade


async def test_who_is_identified_trades_and_the_receipt_replays_word_for_word(floor: Floor) -> None:
    for _ in range(2):
        outcome = await floor.order("buy", "1")
        assert outcome.state == "filled"
    receipt = await floor.receipt()
    cumulative = floor.house.close("AAPL")
    assert cumulative is not None
    tag = keccak(text="refi.trading/order-context/1")
    assert (
        receipt["context"] == "0x" + encode(["bytes32", "uint256", "bool"], [tag, int(cumulative * USD), False]).hex()
    )
    assert outcome.order is not None
    assert outcome.order.notional is not None
    asked = OrderCheck(floor.trader.address, "AAPL", outcome.order.notional, None, cumulative)
    again = await floor.policy.check(asked)
    assert again.calldata_sha256 == receipt["calldata_sha256"]
    assert again.context == receipt["context"]


async def test_who_was_never_identified_does_not_trade(floor: Floor) -> None:
    stranger = replace(floor, trader=await floor.house.trader(secrets.randbelow(2**64) + 1))
    assert refusal(await stranger.order("buy", "1"))[0] == "CredentialValidatorPolicy"
    assert (await floor.receipt())["verdict"] == "refused"


async def test_an_expired_credential_ends_trading(floor: Floor) -> None:
    chain = floor.world.chain
    now = (await chain.block()).timestamp
    ccid = await chain.call("IdentityRegistry", "getIdentity", floor.trader.address)
    await chain.send(KeyRole.ISSUER, "CredentialRegistry", "renewCredential", ccid, KYC, now + 100, b"")
    assert (await floor.order("buy", "1")).state == "filled"
    floor.world.local.rpc("evm_increaseTime", hex(101))
    floor.world.local.rpc("evm_mine")
    assert refusal(await floor.order("buy", "1"))[0] == "CredentialValidatorPolicy"


async def test_a_credential_of_another_wallet_is_of_no_use(floor: Floor) -> None:
    stranger = replace(floor, trader=await floor.house.trader(secrets.randbelow(2**64) + 1))
    chain = floor.world.chain
    # An identity without a credential; the trader's stands beside it.
    await chain.send(
        KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", secrets.token_bytes(32), stranger.trader.address, b""
    )
    assert refusal(await stranger.order("buy", "1"))[0] == "CredentialValidatorPolicy"
    assert (await floor.order("buy", "1")).state == "filled"


async def test_a_sanctioned_wallet_is_refused_from_the_next_block_on(floor: Floor) -> None:
    await floor.world.chain.send(KeyRole.ISSUER, "SanctionsPolicy", "list", floor.trader.address, b"\x07" * 32)
    assert refusal(await floor.order("buy", "1")) == ("SanctionsPolicy", "account is sanctioned")


# --- between the verdict and the trade


@dataclass
class Meddled:
    """The real rules; something happens behind each answer, and the watcher sees it."""

    policy: Policy
    world: GateWorld
    meanwhile: Any

    async def check(self, order: OrderCheck) -> Verdict:
        """Answer, then let it happen."""
        verdict = await self.policy.check(order)
        await self.meanwhile()
        return verdict

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Answer together."""
        return await self.policy.check_all(orders)

    async def close(self) -> None:
        """Hold nothing."""

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Restate."""
        return self.policy.restated(order, verdict)

    async def version(self) -> str:
        """Name the rules."""
        return await self.policy.version()


async def test_a_credential_that_is_revoked_between_check_and_trade_stops_the_order(busy: Floor) -> None:
    async def revoke() -> None:
        await busy.revoke()
        await busy.world.watcher().poll()

    before = await busy.world.rules()
    outcome = await busy.order("buy", "1", Meddled(busy.policy, busy.world, revoke))
    assert refusal(outcome)[0] == "rules_changed"
    assert (await busy.world.rules()).version == before.version + 1
    assert not busy.house.broker.seen
    assert (await busy.receipt())["verdict"] == "allowed"
    # The next one is refused by the rules themselves.
    assert refusal(await busy.order("buy", "1"))[0] == "CredentialValidatorPolicy"


async def test_a_policy_that_is_taken_away_in_flight_stops_the_order_and_the_next_names_other_rules(
    busy: Floor,
) -> None:
    before = await busy.world.rules()

    async def downgrade() -> None:
        busy.owner("PolicyEngine", "removePolicy", busy.at("OrderGate"), SUBMIT_ORDER, busy.at("VolumePolicy"))
        await busy.world.watcher().poll()

    outcome = await busy.order("buy", "1", Meddled(busy.policy, busy.world, downgrade))
    assert refusal(outcome)[0] == "rules_changed"
    assert (await busy.order("buy", "1")).state == "filled"
    assert busy.house.journal.records[-1].policy.endswith(f"/{before.version + 1}")


async def test_a_block_that_is_reorganised_away_takes_its_verdicts_with_it(floor: Floor) -> None:
    local = floor.world.local
    snapshot = local.rpc("evm_snapshot")
    local.rpc("evm_mine")
    await floor.world.watcher().poll()
    # Refused by the risk gate: its verdict is kept, for the same question.
    assert refusal(await floor.order("sell", "1"))[0] == "insufficient_holding"
    gone = (await floor.receipt())["block_hash"]
    local.rpc("evm_revert", snapshot)
    await floor.revoke()
    await floor.world.watcher().poll()
    assert refusal(await floor.order("sell", "1"))[0] == "CredentialValidatorPolicy"
    assert (await floor.receipt())["block_hash"] != gone


# --- misconfiguration


async def test_a_gate_that_left_its_engine_is_refused_one_by_one_and_together(floor: Floor) -> None:
    other = floor.another_engine()
    asked = floor.question("10")
    assert (await floor.policy.check(asked)).allowed
    floor.owner("OrderGate", "attachPolicyEngine", other)
    verdict = await floor.policy.check(asked)
    assert (verdict.allowed, verdict.policy, verdict.reason) == (False, "PolicyEngine", "TargetNotAttached")
    with pytest.raises(Conflict, match="another engine"):
        await floor.policy.check_all([asked])


async def test_an_engine_is_chosen_by_its_address_and_refuses_what_no_policy_judges(floor: Floor) -> None:
    other = floor.another_engine()
    floor.owner("OrderGate", "attachPolicyEngine", other)
    chosen = EnginePolicy(floor.world.chain, relay(floor.world), other)
    asked = floor.question("10")
    one, (together,) = await chosen.check(asked), await chosen.check_all([asked])
    assert (one.allowed, one.engine) == (together.allowed, together.engine) == (False, other.lower())
    assert (one.policy, one.reason) == (together.policy, together.reason)
    assert await chosen.version() == f"policy-engine:{other.lower()}@latest"


async def test_a_default_that_allows_opens_no_gate_that_says_otherwise_or_is_not_attached(floor: Floor) -> None:
    stranger = replace(floor.question("10"), subject="0x" + secrets.token_hex(20))
    floor.owner("PolicyEngine", "setDefaultPolicyAllow", True)
    assert not (await floor.policy.check(stranger)).allowed
    floor.owner("PolicyEngine", "setTargetDefaultPolicyAllow", floor.at("OrderGate"), False)
    for name in await floor.world.chain.call("PolicyEngine", "getPolicies", floor.at("OrderGate"), SUBMIT_ORDER):
        floor.owner("PolicyEngine", "removePolicy", floor.at("OrderGate"), SUBMIT_ORDER, Web3.to_checksum_address(name))
    assert not (await floor.policy.check(floor.question("10"))).allowed
    assert not any(verdict.allowed for verdict in await floor.policy.check_all([floor.question("10"), stranger]))


async def test_permissions_that_rest_on_no_rule_are_none(floor: Floor) -> None:
    gate, credentials = floor.at("OrderGate"), floor.at("CredentialValidatorPolicy")
    floor.owner("PolicyEngine", "setTargetDefaultPolicyAllow", gate, True)
    assert (await floor.policy.check(floor.question("10"))).allowed
    floor.owner("PolicyEngine", "removePolicy", gate, SUBMIT_ORDER, credentials)
    for _ in range(2):
        with pytest.raises(Conflict, match="without asking for a credential"):
            await floor.policy.check(floor.question("10"))
        with pytest.raises(Conflict, match="without asking for a credential"):
            await floor.policy.check_all([floor.question("10")])
    assert refusal(await floor.order("buy", "1"))[0] == "policy_unavailable"


async def test_another_engine_that_allows_by_default_and_lost_its_rules_allows_nothing() -> None:
    chain, own = FakeChain(), "0x" + "e1" * 20
    held: list[str] = ["0x" + "11" * 20]
    chain.answer("OrderGate", "getPolicyEngine", lambda: own)
    chain.answer("PolicyEngine", "getPolicies", lambda *_: held)
    chain.answer("PolicyEngine", "check", lambda *_: ())
    policy, asked = EnginePolicy(chain, "0x" + "33" * 20, own), OrderCheck("0x" + "22" * 20, "AAPL", Decimal(1), None)
    assert (await policy.check(asked)).allowed
    held.clear()
    await chain.advance_to(chain.blocks[-1].timestamp + 2)
    with pytest.raises(Conflict, match="without asking for a credential"):
        await policy.check(asked)


async def test_an_engine_by_address_that_nods_at_everything_allows_nothing(floor: Floor) -> None:
    # PUSH1 0 PUSH1 0 RETURN: takes any call, as an address without code does.
    nodding = "0x" + secrets.token_hex(20)
    floor.world.local.rpc("anvil_setCode", nodding, "0x60006000f3")
    for engine in (nodding, "0x" + secrets.token_hex(20)):
        chosen = EnginePolicy(floor.world.chain, relay(floor.world), engine)
        for _ in range(2):
            with pytest.raises((Conflict, Unavailable)):
                await chosen.check(floor.question("10"))
            with pytest.raises(Conflict, match="another engine"):
                await chosen.check_all([floor.question("10")])


# --- a batch


def person(side: str, quantity: str) -> OrderIn:
    wanted = {"kind": "person", "instrument": "AAPL", "side": side, "quantity": quantity}
    return OrderIn.model_validate({"decision": wanted})


async def test_a_batch_within_the_limit_one_by_one_and_beyond_it_together_is_refused_from_there_on(
    floor: Floor,
) -> None:
    floor.owner("SlidingVolumePolicy", "setLimit", 350 * USD)
    async with floor.house.session() as session:
        orders = [person("buy", "2"), person("buy", "2"), person("buy", "1"), person("sell", "1")]
        results = await OrderService(floor.stages).place_all(session, floor.trader, "batch", orders)
    assert [result["state"] for result in results] == ["filled", "refused", "filled", "refused"]
    assert {result["rule"] for result in results if result["state"] == "refused"} == {"SlidingVolumePolicy"}


async def test_a_hundred_orders_of_a_block_are_answered_as_one_by_one(floor: Floor) -> None:
    stranger = "0x" + secrets.token_hex(20)
    asked = [
        replace(floor.question(str(number)), cumulative=Decimal(number * 9_000)) if number % 3 else
        replace(floor.question(str(number * 7)), subject=floor.trader.address if number % 2 else stranger)
        for number in range(100)
    ]  # fmt: skip
    together = await floor.policy.check_all(asked)
    singly = [await floor.policy.check(order) for order in asked]
    assert list(together) == singly
    assert len({verdict.policy for verdict in together}) >= 3


async def test_a_check_that_fails_without_a_word_is_asked_about_alone() -> None:
    chain = FakeChain()
    chain.answer("OrderGate", "getPolicyEngine", lambda: chain.address("PolicyEngine"))
    chain.answer("OrderGate", "checkOrders", lambda _sender, orders: [b"CheckFailed"] * len(orders))

    def refuse(*_arguments: object) -> None:
        raise Reverted("PolicyRunRejected", ("0x" + "11" * 20, "no"))

    chain.answer("PolicyEngine", "check", refuse)
    asked = OrderCheck("0x" + "22" * 20, "AAPL", Decimal(1), None)
    (verdict,) = await EnginePolicy(chain, "0x" + "33" * 20).check_all([asked])
    assert (verdict.allowed, verdict.reason) == (False, "no")
    chain.answer("OrderGate", "checkOrders", lambda _sender, _orders: [])
    with pytest.raises(Unavailable):
        await EnginePolicy(chain, "0x" + "33" * 20).check_all([asked])


# --- a node that lies, babbles, or says nothing


@asynccontextmanager
async def bad_node(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve JSON-RPC that a test makes up."""
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def rpc_of(url: str, world: GateWorld) -> RpcChain:
    return RpcChain(url, world.local.deployments, world.local.signer, timeout=timedelta(seconds=2))


async def slow(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(4)
    return web.Response()


async def refusing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def babbling(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>hello</html>", content_type="application/json")


async def erring(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": "busy"}})


async def empty(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    block = {"number": "0x1", "hash": "0x" + "11" * 32, "timestamp": "0x1"}
    result = block if asked["method"] == "eth_getBlockByNumber" else "0x"
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})


@pytest.mark.parametrize(
    ("answer", "silent"), [(slow, True), (refusing, True), (babbling, False), (erring, False), (empty, False)]
)
async def test_a_node_that_gives_no_verdict_refuses_and_only_silence_leaves_a_grace(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], silent: bool, floor: Floor
) -> None:
    assert (await floor.order("buy", "2")).state == "filled"
    async with bad_node(answer) as url:
        chain = await rpc_of(url, floor.world)
        policy = Failing(floor.policy, EnginePolicy(chain, relay(floor.world)))
        try:
            stages = ruled(floor.house, policy)
            shaky = replace(floor, stages=stages)
            assert (await shaky.order("buy", "1")).state == "filled"
            policy.fails = True
            assert refusal(await shaky.order("buy", "1"))[0] == "policy_unavailable"
            sold = await shaky.order("sell", "1")
            assert sold.state == ("filled" if silent else "refused")
            if silent:
                assert (await shaky.receipt())["verdict"] == "grace"
        finally:
            await chain.close()


@dataclass
class Failing:
    """The rules over a good node, later over a bad one."""

    good: Policy
    bad: Policy
    fails: bool = False

    @property
    def policy(self) -> Policy:
        """Who is asked now."""
        return self.bad if self.fails else self.good

    async def check(self, order: OrderCheck) -> Verdict:
        """Ask."""
        return await self.policy.check(order)

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Ask together."""
        return await self.policy.check_all(orders)

    async def close(self) -> None:
        """Hold nothing."""

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Restate."""
        return self.policy.restated(order, verdict)

    async def version(self) -> str:
        """Name the rules."""
        return await self.policy.version()


async def test_a_node_of_another_chain_without_the_contracts_allows_nothing(floor: Floor) -> None:
    async with bad_node(empty) as url:
        chain = await rpc_of(url, floor.world)
        try:
            policy = EnginePolicy(chain, relay(floor.world))
            for asked in (policy.check(floor.question("1")), policy.check_all([floor.question("1")])):
                with pytest.raises(Unavailable) as found:
                    await asked
                assert not isinstance(found.value, Silent)
        finally:
            await chain.close()
