"""The policy adapter against the real engine on a real node."""

import json
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.policy.engine import EnginePolicy, instrument_word, order_calldata
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid, Unavailable
from backend.ports.chain import Reverted
from backend.ports.policy import OrderCheck
from backend.ports.signer import KeyRole
from tests.fakes import FakeChain
from tests.ports.conftest import KYC, SUBMIT_ORDER, LocalChain


@pytest.fixture
async def chain(local_chain: LocalChain) -> AsyncIterator[RpcChain]:
    opened = RpcChain(local_chain.url, local_chain.deployments, local_chain.signer, timeout=timedelta(seconds=20))
    yield opened
    await opened.close()


@pytest.fixture
def policy(chain: RpcChain, local_chain: LocalChain) -> EnginePolicy:
    return EnginePolicy(chain, local_chain.signer.address(KeyRole.OPERATOR))


async def verified_wallet(chain: RpcChain) -> str:
    account, ccid = "0x" + secrets.token_hex(20), secrets.token_bytes(32)
    await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    await chain.send(KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, KYC, 0, b"", b"")
    return account


def order(subject: str, notional: str = "1000.5") -> OrderCheck:
    return OrderCheck(subject, "AAPL", Decimal(notional), None)


async def test_a_verified_wallet_is_allowed(chain: RpcChain, policy: EnginePolicy) -> None:
    asked = order(await verified_wallet(chain))
    verdict = await policy.check(asked)
    assert verdict.allowed
    assert (verdict.policy, verdict.reason) == ("", "")
    assert verdict.engine == chain.address("PolicyEngine")
    assert verdict.target == chain.address("OrderGate")
    assert verdict.selector == "0x" + SUBMIT_ORDER.hex()
    assert verdict.block_hash == (await chain.block(verdict.block_number)).hash
    assert verdict.calldata_sha256 == encode_bytes(sha256(order_calldata(chain, asked)).digest())


async def test_a_stranger_is_refused_by_the_credential_policy(policy: EnginePolicy) -> None:
    verdict = await policy.check(order("0x" + secrets.token_hex(20)))
    assert not verdict.allowed
    assert verdict.policy == "CredentialValidatorPolicy"
    assert verdict.reason


async def test_an_order_beyond_the_volume_is_refused_by_the_volume_policy(
    chain: RpcChain, policy: EnginePolicy
) -> None:
    account = await verified_wallet(chain)
    assert (await policy.check(order(account, "50000"))).allowed
    verdict = await policy.check(order(account, "50000.000001"))
    assert (verdict.allowed, verdict.policy) == (False, "VolumePolicy")


async def test_a_paused_gate_refuses_everybody(chain: RpcChain, policy: EnginePolicy, local_chain: LocalChain) -> None:
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


async def test_the_version_names_the_engine(chain: RpcChain, policy: EnginePolicy) -> None:
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
