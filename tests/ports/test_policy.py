"""The policy adapter against the real engine on a real node."""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.policy.ace_platform import AcePlatform, AcePlatformPolicy
from backend.adapters.policy.engine import EnginePolicy, instrument_word, order_calldata
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid, Unavailable
from backend.ports.chain import Reverted
from backend.ports.policy import OrderCheck, Policy
from backend.ports.signer import KeyRole
from tests.ace_platform import FakeAcePlatform, served
from tests.backend.pipeline.rooms import FakePolicy
from tests.fakes import FakeChain
from tests.ports.conftest import KYC, SUBMIT_ORDER, LocalChain

POLL = timedelta(seconds=0.01)


@pytest.fixture
async def chain(local_chain: LocalChain) -> AsyncIterator[RpcChain]:
    opened = RpcChain(local_chain.url, local_chain.deployments, local_chain.signer, timeout=timedelta(seconds=20))
    yield opened
    await opened.close()


@pytest.fixture(params=["engine", "ace"])
async def policy(request: pytest.FixtureRequest, chain: RpcChain, local_chain: LocalChain) -> AsyncIterator[Policy]:
    """Yield each adapter over one engine; the ACE platform in front of the second approves everything."""
    relay = local_chain.signer.address(KeyRole.OPERATOR)
    engine = EnginePolicy(chain, relay)
    if request.param == "engine":
        yield engine
        await engine.close()
        return
    with served(FakeAcePlatform()) as running:
        client = AcePlatform(running.url, running.api_key, timeout=timedelta(seconds=5))
        made = AcePlatformPolicy(engine, client, chain, relay, "1", lambda: date(2026, 1, 2), poll=POLL)
        yield made
        await made.close()


async def verified_wallet(chain: RpcChain) -> str:
    account, ccid = "0x" + secrets.token_hex(20), secrets.token_bytes(32)
    await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    await chain.send(KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, KYC, 0, b"", b"")
    return account


def order(subject: str, notional: str = "1000.5") -> OrderCheck:
    return OrderCheck(subject, "AAPL", Decimal(notional), None)


async def test_a_verified_wallet_is_allowed(chain: RpcChain, policy: Policy) -> None:
    asked = order(await verified_wallet(chain))
    verdict = await policy.check(asked)
    assert verdict.allowed
    assert (verdict.policy, verdict.reason) == ("", "")
    assert verdict.engine == chain.address("PolicyEngine")
    assert verdict.target == chain.address("OrderGate")
    assert verdict.selector == "0x" + SUBMIT_ORDER.hex()
    assert verdict.block_hash == (await chain.block(verdict.block_number)).hash
    assert verdict.calldata_sha256 == encode_bytes(sha256(order_calldata(chain, asked)).digest())


async def test_a_stranger_is_refused_by_the_credential_policy(policy: Policy) -> None:
    verdict = await policy.check(order("0x" + secrets.token_hex(20)))
    assert not verdict.allowed
    assert verdict.policy == "CredentialValidatorPolicy"
    assert verdict.reason


async def test_an_order_beyond_the_volume_is_refused_by_the_volume_policy(chain: RpcChain, policy: Policy) -> None:
    account = await verified_wallet(chain)
    assert (await policy.check(order(account, "50000"))).allowed
    verdict = await policy.check(order(account, "50000.000001"))
    assert (verdict.allowed, verdict.policy) == (False, "VolumePolicy")


async def test_a_paused_gate_refuses_everybody(chain: RpcChain, policy: Policy, local_chain: LocalChain) -> None:
    account = await verified_wallet(chain)
    local_chain.transact("PausePolicy", "setPausedState", True)
    try:
        verdict = await policy.check(order(account))
    finally:
        local_chain.transact("PausePolicy", "setPausedState", False)
    assert (verdict.allowed, verdict.policy) == (False, "PausePolicy")
    assert (await policy.check(order(account))).allowed


async def test_an_engine_that_lost_its_code_allows_nothing(local_chain: LocalChain, tmp_path: Path) -> None:
    for file in local_chain.deployments.glob("*.json"):
        stored = file.read_text()
        if file.stem == "PolicyEngine":
            stored = stored.replace(json.loads(stored)["address"], "0x" + secrets.token_hex(20))
        (tmp_path / file.name).write_text(stored)
    chain = RpcChain(local_chain.url, tmp_path, local_chain.signer, timeout=timedelta(seconds=20))
    try:
        with pytest.raises(Unavailable, match="no contract answers"):
            await EnginePolicy(chain, local_chain.signer.address(KeyRole.OPERATOR)).check(order("0x" + "22" * 20))
    finally:
        await chain.close()


async def test_the_version_names_the_engine(chain: RpcChain, policy: Policy) -> None:
    assert await policy.version() == f"policy-engine:{chain.address('PolicyEngine')}@latest"


async def test_a_silent_chain_gives_no_verdict() -> None:
    chain = FakeChain()
    chain.down = True
    with pytest.raises(Unavailable):
        await EnginePolicy(chain, "0x" + "11" * 20).check(order("0x" + "22" * 20))


async def test_an_error_without_a_policy_still_refuses() -> None:
    chain = FakeChain()
    silent = EnginePolicy(chain, "0x" + "11" * 20)

    def not_attached(*_arguments: object) -> None:
        raise Reverted("TargetNotAttached", ("0x" + "33" * 20,))

    chain.answer("PolicyEngine", "check", not_attached)
    verdict = await silent.check(order("0x" + "22" * 20))
    assert (verdict.allowed, verdict.policy, verdict.reason) == (False, "PolicyEngine", "TargetNotAttached")


def test_a_ticker_becomes_a_padded_word() -> None:
    assert instrument_word("BRK-B") == b"BRK-B" + bytes(27)
    for wrong in ("", "A" * 33, "é"):
        with pytest.raises(Invalid):
            instrument_word(wrong)


async def test_several_orders_are_answered_at_one_block_in_their_order(chain: RpcChain, policy: Policy) -> None:
    asked = [order(await verified_wallet(chain)), order("0x" + secrets.token_hex(20))]
    verdicts = await policy.check_all(asked)
    assert [verdict.allowed for verdict in verdicts] == [True, False]
    assert len({verdict.block_hash for verdict in verdicts}) == 1
    assert await policy.check_all([]) == []


async def test_a_verdict_restated_for_another_order_is_about_that_orders_call(chain: RpcChain, policy: Policy) -> None:
    asked = order(await verified_wallet(chain))
    verdict = await policy.check(asked)
    other = replace(asked, notional=asked.notional + 1)
    restated = policy.restated(other, verdict)
    assert restated.calldata_sha256 == encode_bytes(sha256(order_calldata(chain, other)).digest())
    assert restated.block_hash == verdict.block_hash


async def test_closing_closes_what_is_asked_first_and_the_engine_behind_it() -> None:
    with served(FakeAcePlatform()) as running:
        client, engine = AcePlatform(running.url, running.api_key, timeout=timedelta(seconds=5)), FakePolicy()
        made = AcePlatformPolicy(engine, client, FakeChain(), "0x" + "11" * 20, "1", lambda: date(2026, 1, 2))
        with pytest.raises(Unavailable, match="404"):
            await client.find("0x00")
        await made.close()
    # A session that is left open warns, and warnings fail a test.
    assert engine.closed == 1
