"""Every content store keeps content under its CID and is caught when it does not."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import shake_256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.adapters.content_store.directory import DirectoryStore
from backend.adapters.content_store.kubo import KuboStore
from backend.kernel.canonical import EncodingError
from backend.kernel.cid import CHUNK_BYTES, file_cid, parse_cid
from backend.kernel.errors import NotFound, Tampered, Unavailable
from backend.ports.content_store import ContentStore

# ipfshttpclient 0.7.0 still passes an argument that urllib3 2 ignores.
pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning")

LARGE = shake_256(b"refi").digest(3 * CHUNK_BYTES + 7)
ABSENT = file_cid(b"nobody stored this")


class Node(ThreadingHTTPServer):
    """A Kubo RPC endpoint on a free port, in a mode that can be changed while it runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "honest"
        self.held: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.options: list[dict[str, list[str]]] = []
        self.release = threading.Event()

    def answer(self, command: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        """Return status and body of one command."""
        self.options.append(query)
        fixed = {
            "failing": (500, b'{"Message": "disk full", "Code": 0}'),
            "garbage": (200, b"<html>"),
            "empty": (200, b"{}"),
        }
        if self.mode in fixed:
            return fixed[self.mode]
        if command == "add":
            return self._add(body)
        cid = query["arg"][0]
        if cid not in self.held:
            return 500, json.dumps({"Message": f"block was not found locally (offline): {cid}", "Code": 0}).encode()
        if command == "cat":
            return 200, self.held[cid] if self.mode == "honest" else self.held[cid] + b"!"
        return 200, json.dumps(self._told(command, cid)).encode()

    def _told(self, command: str, cid: str) -> dict[str, Any]:
        if command == "pin/add":
            self.pins.add(cid)
            return {"Pins": [cid if self.mode == "honest" else ABSENT]}
        return {"Key": cid, "Size": len(self.held[cid])}

    def _add(self, body: bytes) -> tuple[int, bytes]:
        # The body of the multipart request's one part.
        content = re.split(rb"\r\n\r\n", body, maxsplit=1)[1]
        content = content[: content.rindex(b"\r\n--", 0, len(content) - 3)]
        cid = file_cid(content)
        self.held[cid] = content
        return 200, json.dumps({"Name": "bytes", "Hash": cid if self.mode == "honest" else ABSENT}).encode() + b"\n"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one command."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer as the node's mode says."""
        node = self.server
        assert isinstance(node, Node)
        url = urlsplit(self.path)
        body = self._body()
        if node.mode == "hanging":
            node.release.wait(5)
        status, content = node.answer(url.path.removeprefix("/api/v0/"), parse_qs(url.query), body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 500 else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def node() -> Iterator[Node]:
    server = Node()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def kubo(node: Node) -> KuboStore:
    return KuboStore(f"/ip4/127.0.0.1/tcp/{node.server_port}/http", timeout=timedelta(seconds=5))


@pytest.fixture(params=["directory", "kubo"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "content")
    found = request.getfixturevalue("kubo")
    assert isinstance(found, KuboStore)
    return found


@pytest.fixture
def tamper(store: ContentStore, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts other bytes under a CID."""

    def change(cid: str) -> None:
        if isinstance(store, DirectoryStore):
            (tmp_path / "content" / "content" / cid).write_bytes(b"other")
        else:
            request.getfixturevalue("node").held[cid] = b"other"

    return change


@pytest.mark.parametrize("content", [b"", b"hello world", LARGE], ids=["empty", "small", "several chunks"])
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


async def test_stored_content_can_be_pinned_twice(store: ContentStore) -> None:
    cid = await store.put(b"model")
    await store.pin(cid)
    await store.pin(cid)
    assert await store.get(cid) == b"model"


async def test_other_bytes_under_a_cid_are_refused(store: ContentStore, tamper: Callable[[str], None]) -> None:
    cid = await store.put(b"proof")
    tamper(cid)
    with pytest.raises(Tampered):
        await store.get(cid)


@pytest.mark.parametrize("text", ["", "../secret", "/etc/passwd", ABSENT.upper(), ABSENT + "/..", "Qm" + "a" * 44])
async def test_a_text_that_is_no_cid_is_refused(store: ContentStore, text: str) -> None:
    for ask in (store.get, store.pin, store.has):
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


# --- directory


async def test_a_directory_repairs_a_file_that_is_stored_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    cid = await store.put(b"bundle")
    (tmp_path / "content" / cid).write_bytes(b"bund")
    await store.put(b"bundle")
    assert await store.get(cid) == b"bundle"
    assert [path.name for path in (tmp_path / "content").iterdir()] == [cid]


async def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        await DirectoryStore(tmp_path / "file").put(b"bundle")


async def test_a_directory_exports_an_archive_of_its_content(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    cid = await store.put(LARGE)
    archive = await store.archive(cid)
    assert parse_cid(cid) in archive[:64]
    assert len(archive) > len(LARGE)


# --- kubo


async def test_a_node_is_asked_for_the_profile_and_keeps_the_pin(node: Node, kubo: KuboStore) -> None:
    cid = await kubo.put(b"model")
    assert node.options[0]["cid-version"] == ["1"]
    assert node.options[0]["chunker"] == ["size-262144"]
    assert (node.options[0]["raw-leaves"], node.options[0]["pin"]) == (["true"], ["false"])
    assert node.pins == set()
    await kubo.pin(cid)
    assert node.pins == {cid}


@pytest.mark.parametrize("mode", ["failing", "garbage", "empty"])
async def test_a_node_that_fails_is_unavailable(node: Node, kubo: KuboStore, mode: str) -> None:
    cid = await kubo.put(b"model")
    node.mode = mode
    for ask in (kubo.put(b"other"), kubo.pin(cid), kubo.has(cid)):
        with pytest.raises(Unavailable):
            await ask
    with pytest.raises(Unavailable):
        await kubo.get(cid)
    node.mode = "honest"
    assert await kubo.get(cid) == b"model"


async def test_a_node_that_lies_is_caught(node: Node, kubo: KuboStore) -> None:
    cid = await kubo.put(b"model")
    node.mode = "lying"
    for ask in (kubo.put(b"other"), kubo.pin(cid), kubo.get(cid)):
        with pytest.raises(Tampered):
            await ask


async def test_a_node_that_answers_without_end_is_cut_off(node: Node) -> None:
    address = f"/ip4/127.0.0.1/tcp/{node.server_port}/http"
    store = KuboStore(address, timeout=timedelta(seconds=5), max_content_bytes=1000)
    cid = await store.put(bytes(5000))
    with pytest.raises(Tampered):
        await store.get(cid)


async def test_a_node_that_hangs_is_unavailable_in_time(node: Node) -> None:
    store = KuboStore(f"/ip4/127.0.0.1/tcp/{node.server_port}/http", timeout=timedelta(seconds=0.2))
    node.mode = "hanging"
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await store.get(ABSENT)
    assert asyncio.get_running_loop().time() - started < 2


async def test_a_node_that_is_not_there_is_unavailable() -> None:
    store = KuboStore("/ip4/127.0.0.1/tcp/1/http", timeout=timedelta(seconds=1))
    for ask in (store.put(b"model"), store.has(ABSENT)):
        with pytest.raises(Unavailable):
            await ask
