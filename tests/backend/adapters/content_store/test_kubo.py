"""A node that misbehaves is told from an honest one, in bounded time and memory, in one line."""

import asyncio
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from hashlib import shake_256
from typing import Any

import pytest

from backend.adapters.content_store.kubo import KuboStore
from backend.kernel.canonical import EncodingError
from backend.kernel.car import car_archive
from backend.kernel.cid import file_blocks, file_cid
from backend.kernel.errors import NotFound, RefiError, Tampered, TooLarge, Unavailable
from tests.backend.adapters.content_store.node import BROKEN, OTHER, Node, serving

# ipfshttpclient 0.7.0 still passes an argument that urllib3 2 ignores.
pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning")

CONTENT = shake_256(b"refi").digest(1000)
CID = file_cid(CONTENT)
ARCHIVE = car_archive(file_blocks(CONTENT)[-1].cid, file_blocks(CONTENT))
LIMIT = 2**16
ASKS: dict[str, Callable[[KuboStore], Awaitable[Any]]] = {
    "put": lambda store: store.put(CONTENT),
    "get": lambda store: store.get(CID),
    "pin": lambda store: store.pin(CID),
    "has": lambda store: store.has(CID),
    "archive": lambda store: store.archive(CID),
    "load_archive": lambda store: store.load_archive(ARCHIVE),
}


@pytest.fixture
def node() -> Iterator[Node]:
    """Yield a node that holds the content."""
    with serving() as started:
        started.held[CID] = CONTENT
        yield started


@pytest.fixture
def store(node: Node) -> KuboStore:
    return KuboStore(node.address, timeout=timedelta(seconds=0.3), max_content_bytes=LIMIT)


@pytest.mark.parametrize("mode", BROKEN)
async def test_each_way_to_misbehave_is_a_fault_of_one_line_in_bounded_time(
    node: Node, store: KuboStore, mode: str
) -> None:
    node.mode = mode
    for name, ask in ASKS.items():
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable) as caught:
            await ask(store)
        assert asyncio.get_running_loop().time() - started < 7, name
        assert 0 < len(caught.value.detail) < 160, name
        assert "\n" not in caught.value.detail, name
        node.release.set()
        node.release.clear()
    node.mode = "honest"


@pytest.mark.parametrize("mode", ["failing", "reset", "redirect", "slow body", "without end", "half"])
async def test_a_node_that_is_honest_again_is_used_again(node: Node, store: KuboStore, mode: str) -> None:
    node.mode = mode
    with pytest.raises(Unavailable):
        await store.get(CID)
    node.mode = "honest"
    assert await store.get(CID) == CONTENT
    assert await store.put(b"next") == file_cid(b"next")


async def test_other_names_and_other_bytes_are_tampering(node: Node, store: KuboStore) -> None:
    node.mode = "lying"
    for name, ask in ASKS.items():
        with pytest.raises(Tampered) as caught:
            await ask(store)
        assert caught.value.context.get("cid", CID) == CID, name


async def test_half_an_answer_is_never_taken_for_the_whole(node: Node, store: KuboStore) -> None:
    node.mode = "half"
    for ask in ASKS.values():
        with pytest.raises(Unavailable):
            await ask(store)


async def test_nobody_is_asked_whom_the_node_points_to(node: Node, store: KuboStore) -> None:
    node.mode = "redirect"
    with pytest.raises(Unavailable, match="sends elsewhere"):
        await store.get(CID)
    assert [command for command, _query in node.asked] == ["cat"]


@pytest.mark.parametrize("mode", ["without end", "failing without end", "huge JSON", "zipped"])
async def test_an_answer_without_end_costs_little_memory(node: Node, store: KuboStore, mode: str) -> None:
    node.mode = mode
    tracemalloc.start()
    for ask in (store.put(b"x"), store.get(CID), store.has(CID)):
        with pytest.raises(Unavailable):
            await ask
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The node, which runs in this process, holds the 4 MiB of its huge answer twice over.
    assert peak < 16 * 2**20


async def test_a_node_that_holds_every_question_up_holds_up_nothing_else(node: Node, store: KuboStore) -> None:
    node.mode = "slow headers"
    faults = await asyncio.gather(*(store.has(CID) for _ in range(12)), return_exceptions=True)
    assert all(isinstance(fault, Unavailable) for fault in faults)
    # The process's own threads are free, and only so many are stuck with the node.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 0.5) == 1
    assert sum(thread.name == "content-store" for thread in threading.enumerate()) <= 4
    node.release.set()
    node.mode = "honest"
    async with asyncio.timeout(5):
        while not await _answers(store):  # noqa: ASYNC110 - the threads end in their own time
            await asyncio.sleep(0.02)


async def test_a_node_that_is_not_there_is_unavailable() -> None:
    store = KuboStore("/ip4/127.0.0.1/tcp/1/http", timeout=timedelta(seconds=1))
    for ask in ASKS.values():
        with pytest.raises(Unavailable):
            await ask(store)


async def test_the_profile_is_asked_for_in_full_and_nothing_is_pinned_by_the_way(node: Node, store: KuboStore) -> None:
    await store.put(b"model")
    [(command, query)] = node.asked
    assert command == "add"
    assert {name: values[0] for name, values in query.items() if name != "stream-channels"} == {
        "cid-version": "1",
        "cid-base": "base32",
        "raw-leaves": "true",
        "hash": "sha2-256",
        "trickle": "false",
        "chunker": "size-262144",
        "max-file-links": "174",
        "pin": "false",
    }
    assert node.pins == set()


async def test_a_node_is_asked_for_what_it_holds_itself_only(node: Node, store: KuboStore) -> None:
    for ask in (store.get(CID), store.has(CID), store.archive(CID)):
        await ask
    assert all(query["offline"] == ["true"] for _command, query in node.asked)


async def test_the_network_is_never_searched_for_an_archive(node: Node, store: KuboStore) -> None:
    with pytest.raises(NotFound):
        await store.archive(OTHER)
    assert [command for command, _query in node.asked] == ["block/stat"]


async def test_an_archive_that_the_node_does_not_keep_whole_is_no_success(node: Node, store: KuboStore) -> None:
    node.mode = "unpinned"
    with pytest.raises(Unavailable):
        await store.load_archive(ARCHIVE)


async def test_a_bad_archive_never_reaches_the_node(node: Node, store: KuboStore) -> None:
    with pytest.raises(EncodingError):
        await store.load_archive(ARCHIVE[:-1])
    assert node.asked == []


async def test_what_could_not_be_read_again_is_not_stored(node: Node, store: KuboStore) -> None:
    with pytest.raises(TooLarge):
        await store.put(bytes(LIMIT + 1))
    assert node.asked == []


async def _answers(store: KuboStore) -> bool:
    try:
        return await store.has(CID)
    except RefiError:
        return False
