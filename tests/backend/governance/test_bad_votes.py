"""A node that lies about proposals, votes, fees or its chain is not believed, and no key signs what it says."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from backend.adapters.governance.votes import CAST_TOPIC, CREATED, CREATED_TOPIC, GovernorVotes
from backend.cli.gov.steps import Hand
from backend.kernel.errors import Conflict, Invalid, RefiError, Tampered, Unavailable
from backend.ports.governance import Call
from tests.backend.adapters.chain.test_bad_nodes import BadNode, node

__all__ = ["node"]

GOVERNOR, WALLET = "0x" + "11" * 20, "0x" + "22" * 20
CALL = Call(GOVERNOR, 0, b"\x01\x02\x03\x04")
ONE_GWEI = 10**9


@pytest.fixture
async def votes(node: BadNode, tmp_path: Path) -> AsyncIterator[GovernorVotes]:
    facts = {"address": GOVERNOR, "abi": [], "chain_id": 10, "block_number": 1}
    (tmp_path / "RefiGovernor.json").write_text(json.dumps(facts))
    made = GovernorVotes(node.url, tmp_path, timeout=timedelta(seconds=2))
    yield made
    await made.close()


def log(topic: bytes, data: bytes, **changed: Any) -> dict[str, Any]:
    """Return an event of the governor."""
    return {
        "address": GOVERNOR,
        "topics": ["0x" + topic.hex()],
        "data": "0x" + data.hex(),
        "blockNumber": "0x1",
        "blockHash": "0x" + "ab" * 32,
        "transactionHash": "0x" + "cd" * 32,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    } | changed


def answering(**answers: Any) -> Any:
    """Return what answers each method."""

    def answer(body: dict[str, Any]) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": body["id"], "result": answers[body["method"]]})

    return answer


MADE = encode(CREATED, [7, WALLET, [WALLET], [0], [""], [b""], 1, 2, "another proposal"])
VOTED = encode(["uint256", "uint8", "uint256", "string"], [7, 1, 1, ""])


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (log(CREATED_TOPIC, MADE), Tampered),
        (log(CREATED_TOPIC, MADE, topics=[]), Unavailable),
        (log(CREATED_TOPIC, MADE, topics=["0x"]), Unavailable),
        (log(CREATED_TOPIC, MADE, address=WALLET), Unavailable),
        (log(CREATED_TOPIC, MADE, removed=True), Unavailable),
        (log(CREATED_TOPIC, MADE, transactionHash="0x"), Unavailable),
        (log(CREATED_TOPIC, MADE[:-40]), Unavailable),
        (log(CREATED_TOPIC, b""), Unavailable),
        ({}, Unavailable),
        ("0x", Unavailable),
    ],
)
async def test_a_malformed_proposal_is_no_answer(
    event: Any, fault: type[RefiError], node: BadNode, votes: GovernorVotes
) -> None:
    node.answer = answering(eth_getLogs=[event])
    with pytest.raises(fault):
        await votes.proposals()


async def test_a_vote_of_nobody_is_no_answer(node: BadNode, votes: GovernorVotes) -> None:
    for topics in (["0x" + CAST_TOPIC.hex()], ["0x" + CAST_TOPIC.hex(), "0x11"]):
        node.answer = answering(eth_getLogs=[log(CAST_TOPIC, VOTED, topics=topics)])
        with pytest.raises(Unavailable):
            await votes.ballots(7)


def paying(base: int, chain_id: int = 10) -> Any:
    """Return a node with a base fee."""
    block = {"baseFeePerGas": hex(base), "number": "0x1", "timestamp": "0x1", "hash": "0x" + "ab" * 32}
    return answering(
        eth_chainId=hex(chain_id),
        eth_estimateGas=hex(100_000),
        eth_getBlockByNumber=block,
        eth_maxPriorityFeePerGas="0x1",
        eth_getTransactionCount="0x5",
    )


async def test_a_wallet_signs_for_the_deployments_chain_only(node: BadNode, votes: GovernorVotes) -> None:
    node.answer = paying(ONE_GWEI)
    assert (await votes.prepared(WALLET, CALL))["chainId"] == 10
    node.answer = paying(ONE_GWEI, chain_id=1)
    for asked in (votes.prepared, votes.gas):
        with pytest.raises(Conflict, match="deployed on chain 10, the RPC serves chain 1"):
            await asked(WALLET, CALL)


async def test_a_fee_that_would_empty_the_wallet_is_not_signed(node: BadNode, votes: GovernorVotes) -> None:
    node.answer = paying(1_000 * ONE_GWEI)
    with pytest.raises(Unavailable, match="nothing is signed"):
        await votes.prepared(WALLET, CALL)


def test_a_key_that_others_can_read_signs_nothing_and_no_error_tells_it(tmp_path: Path) -> None:
    file, secret = tmp_path / "wallet.key", "ab" * 32
    file.write_text(secret)
    file.chmod(0o600)
    assert Hand(file).key_file == file
    file.chmod(0o640)
    with pytest.raises(Invalid, match="chmod 600") as refused:
        Hand(file)
    assert secret not in str(refused.value)
    file.chmod(0o600)
    for wrong in ("00" * 32, "ff" * 32, secret[1:], secret + "\n" + secret):
        file.write_text(wrong)
        with pytest.raises(Invalid) as malformed:
            Hand(file)
        assert wrong not in str(malformed.value)
        assert malformed.value.__cause__ is None
