"""Every content store keeps content under its CID and is caught when it does not."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import shake_256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.adapters.content_store.directory import DirectoryStore
from backend.adapters.content_store.kubo import KuboStore
from backend.kernel.canonical import EncodingError
from backend.kernel.car import archived_file, car_archive
from backend.kernel.cid import CHUNK_BYTES, file_blocks, file_cid
from backend.kernel.errors import NotFound, Tampered, TooLarge
from backend.ports.content_store import ContentStore
from tests.backend.adapters.content_store.node import Node, serving

# ipfshttpclient 0.7.0 still passes an argument that urllib3 2 ignores.
pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning")

LIMIT = 2**20
LARGE = shake_256(b"refi").digest(3 * CHUNK_BYTES + 7)
REPEATED = bytes(3 * CHUNK_BYTES)
ABSENT = file_cid(b"nobody stored this")
SIZES = pytest.mark.parametrize(
    "content",
    [b"", b"hello world", LARGE[:CHUNK_BYTES], LARGE[: CHUNK_BYTES + 1], LARGE, REPEATED],
    ids=["empty", "small", "one chunk", "one byte more", "several chunks", "the same chunk again"],
)


@pytest.fixture
def node() -> Iterator[Node]:
    with serving() as started:
        yield started


@pytest.fixture(params=["directory", "kubo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "content", LIMIT)
    node = request.getfixturevalue("node")
    return KuboStore(node.address, timedelta(seconds=5), LIMIT)


@pytest.fixture
def tamper(store: ContentStore, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Return a function that puts other bytes under a CID."""

    def change(cid: str, content: bytes) -> None:
        if isinstance(store, DirectoryStore):
            (tmp_path / "content" / "content" / cid).write_bytes(content)
        else:
            request.getfixturevalue("node").held[cid] = content

    return change


def archive_of(content: bytes) -> bytes:
    """Return a file's archive."""
    blocks = file_blocks(content)
    return car_archive(blocks[-1].cid, blocks)


@SIZES
async def test_what_was_stored_is_found_under_its_cid(store: ContentStore, content: bytes) -> None:
    cid = await store.put(content)
    assert cid == file_cid(content)
    assert await store.get(cid) == content
    assert await store.has(cid)
    assert await store.put(content) == cid


async def test_what_was_never_stored_is_not_found(store: ContentStore) -> None:
    assert not await store.has(ABSENT)
    with pytest.raises(NotFound):
        await store.get(ABSENT)
    with pytest.raises(NotFound):
        await store.pin(ABSENT)
    with pytest.raises(NotFound):
        await store.archive(ABSENT)


async def test_stored_content_can_be_pinned_twice(store: ContentStore) -> None:
    cid = await store.put(b"model")
    await store.pin(cid)
    await store.pin(cid)
    assert await store.get(cid) == b"model"


@pytest.mark.parametrize("other", [b"other", b"", bytes(2 * LIMIT)], ids=["other", "nothing", "too much"])
async def test_other_bytes_under_a_cid_are_refused(
    store: ContentStore, tamper: Callable[[str, bytes], None], other: bytes
) -> None:
    cid = await store.put(b"proof")
    tamper(cid, other)
    for ask in (store.get, store.archive):
        with pytest.raises(Tampered):
            await ask(cid)


async def test_what_could_not_be_read_again_is_not_stored(store: ContentStore) -> None:
    content = bytes(LIMIT + 1)
    with pytest.raises(TooLarge):
        await store.put(content)
    with pytest.raises(EncodingError):
        await store.load_archive(archive_of(content))
    assert not await store.has(file_cid(content))


@SIZES
async def test_an_archive_holds_the_whole_content(store: ContentStore, content: bytes) -> None:
    cid = await store.put(content)
    archive = await store.archive(cid)
    assert archived_file(archive) == (cid, content)
    assert archive == archive_of(content)


@SIZES
async def test_the_file_of_an_archive_is_stored(store: ContentStore, content: bytes) -> None:
    cid = await store.load_archive(archive_of(content))
    assert cid == file_cid(content)
    assert await store.get(cid) == content
    assert await store.load_archive(archive_of(content)) == cid


async def test_nothing_of_a_bad_archive_is_stored(store: ContentStore) -> None:
    archive = archive_of(LARGE)
    for bad in (b"", archive[:-1], archive + b"\x00", archive[:-1] + bytes([archive[-1] ^ 1])):
        with pytest.raises(EncodingError):
            await store.load_archive(bad)
    assert not await store.has(file_cid(LARGE))


@pytest.mark.parametrize("text", ["", "../secret", "/etc/passwd", ABSENT.upper(), ABSENT + "/..", "Qm" + "a" * 44])
async def test_a_text_that_is_no_cid_is_refused(store: ContentStore, text: str) -> None:
    for ask in (store.get, store.pin, store.has, store.archive):
        with pytest.raises(EncodingError):
            await ask(text)


async def test_many_may_store_at_once(store: ContentStore) -> None:
    contents = [b"%d" % (number % 4) for number in range(12)]
    cids = await asyncio.gather(*(store.put(content) for content in contents))
    assert [await store.get(cid) for cid in cids] == contents


@given(content=st.binary(max_size=64))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_content_comes_back_the_same(store: ContentStore, content: bytes) -> None:
    assert await store.get(await store.put(content)) == content
