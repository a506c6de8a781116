"""A node that hangs, lies or talks nonsense is unavailable; it never takes anything else down with it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3.types import RPCEndpoint

from backend.adapters.chain.http import HttpProvider
from backend.adapters.chain.rpc import RpcChain
from backend.kernel.errors import Unavailable
from backend.ports.chain import Reverted
from tests.fakes import FakeSigner

ADDRESS, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
SEEN = "0x" + keccak(b"Seen(uint256,uint64)").hex()
HASH = "0x" + "ab" * 32
EVENT = {
    "type": "event",
    "name": "Seen",
    "anonymous": False,
    "inputs": [
        {"name": "id", "type": "uint256", "indexed": True},
        {"name": "size", "type": "uint64", "indexed": False},
    ],
}
VIEW = {
    "type": "function",
    "name": "count",
    "stateMutability": "view",
    "inputs": [],
    "outputs": [{"name": "", "type": "uint256"}],
}


class BadNode:
    """A server that answers each request as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.answer: Callable[[dict[str, Any]], str] = result("0x1")
        self.status = 200
        self.headers: dict[str, str] = {}
        self.hangs = False

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.json() if request.method == "POST" else {"method": "GET"}
        self.asked.append(body["method"])
        if self.hangs:
            await asyncio.sleep(60)
        return web.Response(text=self.answer(body), status=self.status, headers=self.headers)


def result(value: object) -> Callable[[dict[str, Any]], str]:
    return lambda body: json.dumps({"jsonrpc": "2.0", "id": body.get("id"), "result": value})


def text(content: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: content


@pytest.fixture
async def node() -> AsyncIterator[BadNode]:
    """Yield a running bad node."""
    made, application = BadNode(), web.Application()
    application.router.add_route("*", "/{rest:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = "http://{}:{}".format(*runner.addresses[0])
    yield made
    await runner.cleanup()


def chain_of(node: BadNode, folder: Path) -> RpcChain:
    facts = {"address": ADDRESS, "abi": [EVENT, VIEW], "chain_id": 1}
    (folder / "Watched.json").write_text(json.dumps(facts))
    return RpcChain(node.url, folder, FakeSigner("bad"), timeout=timedelta(seconds=2))


@pytest.fixture
async def chain(node: BadNode, tmp_path: Path) -> AsyncIterator[RpcChain]:
    """Yield a chain over the bad node."""
    made = chain_of(node, tmp_path)
    yield made
    await made.close()


async def test_a_cancelled_call_never_holds_up_another_one(node: BadNode, tmp_path: Path) -> None:
    chains = [chain_of(node, tmp_path) for _ in range(3)]
    node.answer = result([])
    try:
        for turn in range(60):
            calls = [asyncio.create_task(chain.events("Watched", "Seen")) for chain in chains]
            for _ in range(turn % 6):
                await asyncio.sleep(0)
            calls[turn % 3].cancel()
            done, late = await asyncio.wait(calls, timeout=5)
            assert len(done) == 3
            assert not late
    finally:
        for chain in chains:
            await chain.close()


async def test_a_node_that_hangs_is_unavailable_in_time(node: BadNode, tmp_path: Path) -> None:
    node.hangs = True
    chain = RpcChain(node.url, tmp_path, FakeSigner("bad"), timeout=timedelta(seconds=0.2))
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable):
            await chain.block()
    await chain.close()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<html>bad gateway</html>",
        "null",
        "[]",
        "1",
        "{}",
        '{"result": {}}',
        '{"result": 7}',
        "[" * 100_000,
        '"\\ud8',
    ],
)
async def test_nonsense_is_unavailable_whatever_was_asked(node: BadNode, chain: RpcChain, content: str) -> None:
    node.answer = text(content)
    for asked in (chain.block(), chain.chain_id(), chain.call("Watched", "count"), chain.events("Watched", "Seen")):
        with pytest.raises(Unavailable):
            await asked


async def test_an_answer_without_end_is_cut_off(node: BadNode) -> None:
    provider = HttpProvider(node.url, timedelta(seconds=2), longest_answer=1_000)
    node.answer = text("x" * 2_000)
    with pytest.raises(Unavailable, match="without end"):
        await provider.make_request(RPCEndpoint("eth_chainId"), [])
    await provider.disconnect()


async def test_a_node_sends_nobody_elsewhere(node: BadNode, chain: RpcChain) -> None:
    node.status, node.headers = 302, {"Location": node.url + "/inside"}
    with pytest.raises(Unavailable):
        await chain.block()
    assert "GET" not in node.asked


async def test_a_contract_that_names_an_address_is_not_followed_there(node: BadNode, chain: RpcChain) -> None:
    lookup = encode(
        ["address", "string[]", "bytes", "bytes4", "bytes"], [ADDRESS, [node.url + "/{sender}"], b"", b"1234", b""]
    )
    error = {"code": 3, "message": "execution reverted", "data": "0x556f1830" + lookup.hex()}

    def refusal(body: dict[str, Any]) -> str:
        told = {"error": error} if body["method"] == "eth_call" else {"result": "0x1"}
        return json.dumps({"jsonrpc": "2.0", "id": body.get("id"), **told})

    node.answer = refusal
    with pytest.raises(Reverted):
        await chain.call("Watched", "count")
    assert set(node.asked) == {"eth_call", "eth_chainId"}


def seen(**changes: object) -> dict[str, object]:
    entry = {
        "address": ADDRESS,
        "topics": [SEEN, "0x" + "00" * 31 + "07"],
        "data": "0x" + "00" * 31 + "05",
        "blockNumber": "0x5",
        "blockHash": HASH,
        "transactionHash": HASH,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }
    return entry | changes


async def test_events_are_those_that_were_asked_for(node: BadNode, chain: RpcChain) -> None:
    node.answer = result([seen()])
    found = await chain.events("Watched", "Seen", to_block=5, filters={"id": 7})
    assert [(event["id"], event["size"]) for event in found] == [(7, 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"address": OTHER},
        {"topics": []},
        {"topics": [SEEN]},
        {"topics": ["0x" + "12" * 32, "0x" + "00" * 31 + "07"]},
        {"topics": [SEEN, "0x" + "00" * 31 + "08"]},
        {"data": "0x"},
        {"data": "0x" + "ff" * 32},
        {"blockNumber": "0x6"},
        {"blockNumber": None},
        {"transactionHash": None},
    ],
)
async def test_events_that_nobody_asked_for_are_nonsense(
    node: BadNode, chain: RpcChain, changes: dict[str, object]
) -> None:
    node.answer = result([seen(**changes)])
    with pytest.raises(Unavailable):
        await chain.events("Watched", "Seen", to_block=5, filters={"id": 7})


async def test_deep_nonsense_does_no_harm_where_a_library_raised_the_recursion_limit(
    node: BadNode, chain: RpcChain
) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        node.answer = text("[" * 100_000)
        with pytest.raises(Unavailable, match="nested"):
            await chain.block()
    finally:
        sys.setrecursionlimit(before)


async def test_many_events_are_not_nested_deeply(node: BadNode, chain: RpcChain) -> None:
    node.answer = result([seen()] * 3_000)
    assert len(await chain.events("Watched", "Seen", to_block=5, filters={"id": 7})) == 3_000
