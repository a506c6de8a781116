"""The chain adapter against a real node."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from backend.adapters.chain.rpc import RpcChain
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from tests.fakes import FakeSigner
from tests.ports.conftest import CHAIN_ID, KYC, LocalChain

TIMEOUT = timedelta(seconds=20)


@pytest.fixture
async def chain(local_chain: LocalChain) -> AsyncIterator[RpcChain]:
    opened = RpcChain(local_chain.url, local_chain.deployments, local_chain.signer, timeout=TIMEOUT)
    yield opened
    await opened.close()


def wallet() -> str:
    return "0x" + secrets.token_hex(20)


async def test_it_reports_the_chain_it_talks_to(chain: RpcChain) -> None:
    assert await chain.chain_id() == CHAIN_ID
    latest = await chain.block()
    assert latest == await chain.block(latest.number)
    assert latest.hash.startswith("0x")
    with pytest.raises(NotFound):
        await chain.block(latest.number + 1_000)


async def test_a_transaction_is_mined_and_its_effect_can_be_read(chain: RpcChain) -> None:
    account, ccid = wallet(), secrets.token_bytes(32)
    receipt = await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    assert await chain.call("IdentityRegistry", "getIdentity", account) == ccid
    assert await chain.call("IdentityRegistry", "getAccounts", ccid) == (account,)
    assert await chain.call("IdentityRegistry", "getIdentity", account, block=receipt.block_number - 1) == bytes(32)
    assert receipt.gas_used > 21_000
    assert (await chain.block(receipt.block_number)).hash == receipt.block_hash
    registered = [log for log in receipt.logs if log.get("event") == "IdentityRegistered"]
    assert [(log["ccid"], log["account"], log["contract"]) for log in registered] == [
        (ccid, account, "IdentityRegistry")
    ]


async def test_events_are_found_by_their_indexed_arguments(chain: RpcChain) -> None:
    account, ccid = wallet(), secrets.token_bytes(32)
    receipt = await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    found = await chain.events("IdentityRegistry", "IdentityRegistered", filters={"account": account})
    assert [(event["ccid"], event["block_number"], event["tx_hash"]) for event in found] == [
        (ccid, receipt.block_number, receipt.tx_hash)
    ]
    assert not await chain.events("IdentityRegistry", "IdentityRegistered", filters={"account": wallet()})
    later = receipt.block_number + 1
    assert not await chain.events("IdentityRegistry", "IdentityRegistered", from_block=later)
    with pytest.raises(Invalid):
        await chain.events("IdentityRegistry", "IdentityRegistered", filters={"owner": account})


async def test_a_block_is_named_by_number_hash_or_tag(chain: RpcChain, local_chain: LocalChain) -> None:
    account, ccid = wallet(), secrets.token_bytes(32)
    receipt = await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    before = await chain.block(receipt.block_number - 1)
    assert await chain.block(before.hash) == before
    assert await chain.block("latest") == await chain.block()
    assert (await chain.block("finalized")).number <= (await chain.block("safe")).number < receipt.block_number
    for block, expected in ((before.hash, bytes(32)), (receipt.block_hash, ccid), ("latest", ccid)):
        assert await chain.call("IdentityRegistry", "getIdentity", account, block=block) == expected
    with pytest.raises((NotFound, Unavailable)):
        await chain.call("IdentityRegistry", "getIdentity", account, block="0x" + "12" * 32)


async def test_events_end_where_they_are_asked_to(chain: RpcChain) -> None:
    account = wallet()
    receipt = await chain.send(
        KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", secrets.token_bytes(32), account, b""
    )
    place = receipt.block_number
    for last, count in ((place - 1, 0), (place, 1)):
        found = await chain.events(
            "IdentityRegistry", "IdentityRegistered", to_block=last, filters={"account": account}
        )
        assert len(found) == count


async def test_everything_that_several_contracts_left_comes_in_one_answer(
    chain: RpcChain, local_chain: LocalChain
) -> None:
    account, ccid = wallet(), secrets.token_bytes(32)
    first = await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    last = await chain.send(KeyRole.ISSUER, "CredentialRegistry", "registerCredential", ccid, KYC, 0, b"", b"")
    blocks = {"from_block": first.block_number, "to_block": last.block_number}
    both = await chain.logs(["IdentityRegistry", chain.address("CredentialRegistry")], **blocks)
    assert [(log.contract, log.event, log.block_hash, log.tx_hash) for log in both] == [
        ("IdentityRegistry", "IdentityRegistered", first.block_hash, first.tx_hash),
        ("CredentialRegistry", "CredentialRegistered", last.block_hash, last.tx_hash),
    ]
    assert both[0].arguments["ccid"] == ccid
    assert both[1].address == local_chain.addresses["CredentialRegistry"].lower()
    assert await chain.logs(["IdentityRegistry"], **blocks) == both[:1]
    assert not await chain.logs(["IdentityRegistry"], from_block=last.block_number, to_block=last.block_number)
    assert not await chain.logs(["IdentityRegistry"], from_block=last.block_number, to_block=first.block_number)
    assert not await chain.logs([], **blocks)


async def test_a_log_that_no_abi_knows_comes_undecoded(chain: RpcChain, local_chain: LocalChain) -> None:
    stranger = wallet()
    # Leaves one log with the first topic 1 and no content, whatever it is asked.
    local_chain.rpc("anvil_setCode", stranger, "0x600160006000a100")
    local_chain.rpc("eth_sendTransaction", {"from": local_chain.owner, "to": stranger})
    head = (await chain.block()).number
    (found,) = await chain.logs([stranger], from_block=head, to_block=head)
    assert (found.address, found.contract, found.event) == (stranger, stranger, "")
    assert found.arguments["topics"] == [bytes(31) + b"\x01"]


async def test_a_contract_at_another_address_is_asked_as_the_named_one_is(
    chain: RpcChain, local_chain: LocalChain
) -> None:
    engine = local_chain.addresses["PolicyEngine"]
    gate = local_chain.addresses["OrderGate"]
    selector = chain.calldata("OrderGate", "submitOrder", gate, bytes(32), 1, bytes(32))[:4]
    named = await chain.call("PolicyEngine", "getPolicies", gate, selector)
    assert named
    assert await chain.call(f"PolicyEngine@{engine}", "getPolicies", gate, selector) == named
    with pytest.raises(Unavailable, match="no contract answers"):
        await chain.call(f"PolicyEngine@{wallet()}", "getPolicies", gate, selector)
    with pytest.raises(NotFound):
        await chain.call(f"Nowhere@{engine}", "getPolicies", gate, selector)


async def test_a_refusal_comes_back_with_the_contracts_own_words(chain: RpcChain, local_chain: LocalChain) -> None:
    with pytest.raises(Reverted) as refused:
        await chain.send(KeyRole.PUBLISHER, "IdentityRegistry", "registerIdentity", bytes(31) + b"1", wallet(), b"")
    assert refused.value.name == "PolicyRunRejected"
    policy, reason, payload = refused.value.arguments
    assert policy == local_chain.addresses["AuthorizedSenderPolicy"].lower()
    assert reason
    assert payload[1] == local_chain.signer.address(KeyRole.PUBLISHER)


async def test_a_named_error_of_a_view_is_decoded(chain: RpcChain) -> None:
    ccid = secrets.token_bytes(32)
    with pytest.raises(Reverted) as refused:
        await chain.call("CredentialRegistry", "getCredential", ccid, KYC)
    assert refused.value.name == "CredentialNotFound"
    assert refused.value.arguments == (ccid, KYC)


async def test_many_transactions_of_one_role_get_one_nonce_each(chain: RpcChain) -> None:
    receipts = await asyncio.gather(
        *(
            chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", secrets.token_bytes(32), wallet(), b"")
            for _ in range(12)
        )
    )
    assert len({receipt.tx_hash for receipt in receipts}) == 12


async def test_a_refused_transaction_does_not_use_a_nonce_up(chain: RpcChain) -> None:
    account, ccid = wallet(), secrets.token_bytes(32)
    await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    with pytest.raises(Reverted) as refused:
        await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", ccid, account, b"")
    assert refused.value.name == "IdentityAlreadyRegistered"
    await chain.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", secrets.token_bytes(32), wallet(), b"")


async def test_two_processes_may_share_a_key(chain: RpcChain, local_chain: LocalChain) -> None:
    other = RpcChain(local_chain.url, local_chain.deployments, local_chain.signer, timeout=TIMEOUT)
    for sender in (chain, other, chain):
        await sender.send(
            KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", secrets.token_bytes(32), wallet(), b""
        )
    await other.close()


async def test_a_key_without_funds_is_a_fault_not_a_refusal(local_chain: LocalChain) -> None:
    poor = RpcChain(local_chain.url, local_chain.deployments, FakeSigner("poor"), timeout=TIMEOUT)
    with pytest.raises((Unavailable, Reverted)):
        await poor.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", b"1" * 32, wallet(), b"")
    await poor.close()


async def test_time_moves_forward_and_never_back(chain: RpcChain) -> None:
    now = (await chain.block()).timestamp
    assert (await chain.advance_to(now + 86_400)).timestamp == now + 86_400
    with pytest.raises(Conflict):
        await chain.advance_to(now)


async def test_a_dead_rpc_is_unavailable(local_chain: LocalChain, unused_tcp_port: int) -> None:
    dead = RpcChain(
        f"http://127.0.0.1:{unused_tcp_port}",
        local_chain.deployments,
        local_chain.signer,
        timeout=timedelta(seconds=2),
    )
    with pytest.raises(Unavailable):
        await dead.block()
    with pytest.raises(Unavailable):
        await dead.call("IdentityRegistry", "getIdentity", wallet())
    with pytest.raises(Unavailable):
        await dead.send(KeyRole.ISSUER, "IdentityRegistry", "registerIdentity", b"1" * 32, wallet(), b"")
    await dead.close()


async def test_unknown_contracts_functions_and_bad_arguments_are_named(chain: RpcChain) -> None:
    with pytest.raises(NotFound, match="Nowhere"):
        chain.address("Nowhere")
    with pytest.raises(NotFound, match="fly"):
        await chain.call("IdentityRegistry", "fly")
    with pytest.raises(Invalid):
        chain.calldata("IdentityRegistry", "getIdentity", "no address")


async def test_a_contract_that_lost_its_code_is_unavailable(chain: RpcChain, local_chain: LocalChain) -> None:
    stored = (local_chain.deployments / "IdentityRegistry.json").read_text()
    address = local_chain.addresses["IdentityRegistry"].lower()
    (local_chain.deployments / "Ghost.json").write_text(stored.replace(address, wallet()))
    with pytest.raises(Unavailable, match="no contract answers"):
        await chain.call("Ghost", "getIdentity", wallet())


async def test_an_answer_that_cannot_be_read_is_unavailable(chain: RpcChain, local_chain: LocalChain) -> None:
    stored, other = (local_chain.deployments / "IdentityRegistry.json").read_text(), wallet()
    # Returns one zero byte, whatever it is asked.
    local_chain.rpc("anvil_setCode", other, "0x60016000f3")
    address = local_chain.addresses["IdentityRegistry"].lower()
    (local_chain.deployments / "Stranger.json").write_text(stored.replace(address, other))
    with pytest.raises(Unavailable, match="another contract answers"):
        await chain.call("Stranger", "getIdentity", wallet())
