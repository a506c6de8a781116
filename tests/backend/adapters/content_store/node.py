"""A Kubo RPC endpoint on loopback that keeps its promises, or breaks them in a way that is named."""

import gzip
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from backend.kernel.canonical import EncodingError
from backend.kernel.car import archived_file, car_archive
from backend.kernel.cid import file_blocks, file_cid

OTHER = file_cid(b"nobody stored this")
PIECE = b"a" * 2**16


class Node(ThreadingHTTPServer):
    """A node whose `mode` can be changed while it runs; `asked` holds (command, query) of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "honest"
        self.held: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.sent = 0
        self.release = threading.Event()

    @property
    def address(self) -> str:
        """The node's multiaddr."""
        return f"/ip4/127.0.0.1/tcp/{self.server_port}/http"

    def answer(self, command: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        """Return status and body of one command."""
        if command == "add":
            return self._add(_content(body))
        if command == "dag/import":
            return self._import(_content(body))
        cid = query["arg"][0]
        if cid not in self.held:
            return _error(f"block was not found locally (offline): ipld: could not find {cid}")
        return 200, self._told(command, cid)

    def _told(self, command: str, cid: str) -> bytes:
        lying = self.mode == "lying"
        content = self.held[cid] + b"!" * lying
        if command == "cat":
            return content
        if command == "dag/export":
            blocks = file_blocks(content)
            return car_archive(blocks[-1].cid, blocks)
        if command == "pin/add":
            self.pins.add(cid)
            return json.dumps({"Pins": [OTHER if lying else cid]}).encode()
        return json.dumps({"Key": OTHER if lying else cid, "Size": len(content)}).encode()

    def _add(self, content: bytes) -> tuple[int, bytes]:
        cid = file_cid(content)
        self.held[cid] = content
        named = OTHER if self.mode == "lying" else cid
        return 200, json.dumps({"Name": "bytes", "Hash": named, "Size": "1"}).encode() + b"\n"

    def _import(self, archive: bytes) -> tuple[int, bytes]:
        try:
            cid, content = archived_file(archive)
        except EncodingError as error:
            return _error(error.detail)
        self.held[cid] = content
        self.pins.add(cid)
        root = {"Cid": {"/": OTHER if self.mode == "lying" else cid}, "PinErrorMsg": ""}
        if self.mode == "unpinned":
            root["PinErrorMsg"] = "block not found"
        return 200, json.dumps({"Root": root}).encode() + b"\n"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one command."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer as the node's mode says."""
        url = urlsplit(self.path)
        command, query = url.path.removeprefix("/api/v0/"), parse_qs(url.query)
        body = self._body()
        self.node.asked.append((command, query))
        self.close_connection = True
        broken = BROKEN.get(self.node.mode)
        if broken is not None:
            broken(self)
            return
        status, content = self.node.answer(command, query, body)
        kind = "application/json" if status == 500 else "text/plain"
        if self.node.mode == "half":
            self.reply(status, content[: len(content) // 2], kind, length=len(content))
        else:
            self.reply(status, content, kind)

    do_GET = do_POST  # noqa: N815 - the name is the base class's

    @property
    def node(self) -> Node:
        """The server."""
        assert isinstance(self.server, Node)
        return self.server

    def reply(self, status: int, content: bytes, kind: str, length: int | None = None, **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length != -1:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def pour(self, status: int, piece: bytes, pause: float = 0) -> None:
        """Send a body without end."""
        self.reply(status, b"", "application/json", length=-1)
        while not self.node.release.wait(pause):
            self.wfile.write(piece)
            self.wfile.flush()
            self.node.sent += len(piece)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _content(body: bytes) -> bytes:
    # The body of the multipart request's one part.
    content = re.split(rb"\r\n\r\n", body, maxsplit=1)[1]
    return content[: content.rindex(b"\r\n--", 0, len(content) - 3)]


def _error(message: str) -> tuple[int, bytes]:
    return 500, json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()


def _reset(handler: Handler) -> None:
    # Closing with unsent data and no lingering sends RST.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _slow_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.node.release.wait(0.02):
        handler.wfile.write(b"a")
        handler.wfile.flush()


def _another_protocol(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")


def _silent(handler: Handler) -> None:
    handler.node.release.wait(5)


def _redirect(handler: Handler) -> None:
    where = f"http://127.0.0.1:{handler.node.server_port}/elsewhere"
    handler.reply(307, b"", "text/plain", Location=where)


BROKEN: dict[str, Callable[[Handler], None]] = {
    "failing": lambda handler: handler.reply(500, b'{"Message": "disk\\nfull", "Code": 0}', "application/json"),
    "failing without a word": lambda handler: handler.reply(500, b"", "text/plain"),
    "failing in HTML": lambda handler: handler.reply(500, b"<html><h1>Bad gateway</h1>", "text/html"),
    "failing without end": lambda handler: handler.pour(500, PIECE),
    "forbidden": lambda handler: handler.reply(403, b"403 - Forbidden", "text/plain"),
    "HTML": lambda handler: handler.reply(200, b"<html><h1>Welcome</h1>", "text/html"),
    "empty": lambda handler: handler.reply(200, b"", "application/json"),
    "another object": lambda handler: handler.reply(200, b"{}", "application/json"),
    "another type": lambda handler: handler.reply(200, b"[[1]]", "application/json"),
    "two answers": lambda handler: handler.reply(200, b'{"Hash": "a"}\n{"Hash": "b"}\n', "application/json"),
    "huge JSON": lambda handler: handler.reply(200, b'{"Hash": "' + b"a" * 2**22 + b'"}', "application/json"),
    "deep JSON": lambda handler: handler.reply(200, b"[" * 60_000, "application/json"),
    "not UTF-8": lambda handler: handler.reply(200, b'{"Hash": "\xff\xfe"}', "application/json"),
    "bad chunks": lambda handler: handler.reply(
        200, b"zz\r\n{}", "application/json", length=-1, Transfer_Encoding="chunked"
    ),
    "zipped": lambda handler: handler.reply(
        200, gzip.compress(bytes(2**20)), "application/json", Content_Encoding="gzip"
    ),
    "no HTTP": _another_protocol,
    "silent": _silent,
    "slow headers": _slow_headers,
    "slow body": lambda handler: handler.pour(200, b"a", 0.02),
    "without end": lambda handler: handler.pour(200, PIECE),
    "reset": _reset,
    "redirect": _redirect,
}


@contextmanager
def serving() -> Iterator[Node]:
    """Yield a node that answers on a free port."""
    server = Node()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
