"""A log over HTTP for the tests of those who watch it: honest, forked, or failing in a named way."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey("refi.trading/test", PRIVATE.public_key().public_bytes_raw())


def leaves(*runs: tuple[str, int]) -> list[bytes]:
    """Return leaf hashes: so many of each name."""
    return [merkle.leaf_hash(f"{name} {at}".encode()) for name, count in runs for at in range(count)]


class FakeLog:
    """The public routes of a log, from leaf hashes that a test sets."""

    def __init__(self, tree: Sequence[bytes], key: VerifierKey = KEY, private: Ed25519PrivateKey = PRIVATE) -> None:
        self.tree = list(tree)
        self.key = key
        self.private = private
        self.mode = "honest"

    def note(self, size: int | None = None) -> str:
        """Return the signed checkpoint of a size, the whole tree's unless one is given."""
        part = self.tree[:size]
        text = checkpoint_text(Checkpoint(self.key.name, len(part), merkle.root(part)))
        return sign_note(text, self.key, self.private.sign)

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """Answer one request."""
        if path == "/api/v1/log/checkpoint":
            return 200, self.note().encode()
        if path == "/api/v1/log/proof/consistency":
            return self._consistency(int(query["first"]), int(query["second"]))
        if path == "/api/v1/evidence/0":
            return 200, json.dumps({"log_public_key": str(self.key)}).encode()
        return problem(404, "no such thing")

    def _consistency(self, first: int, second: int) -> tuple[int, bytes]:
        if not first <= second <= len(self.tree):
            return problem(404, f"the log never had {second} entries")
        proof = merkle.consistency_proof(self.tree[:second], first)
        return 200, json.dumps({"first": first, "second": second, "proof": [encode_bytes(p) for p in proof]}).encode()


Answer = Callable[[str, dict[str, str]], tuple[int, bytes]]


def problem(status: int, detail: str) -> tuple[int, bytes]:
    """Return a refusal as the platform writes it."""
    return status, json.dumps({"detail": detail}).encode()


class Served(ThreadingHTTPServer):
    """Serves answers on a free loopback port; `mode` makes it fail in a named way."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.mode = "honest"
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.tokens: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def end(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Served)
        parts = urlsplit(self.path)
        server.asked.append(self.path)
        server.tokens.append(self.headers.get("Authorization", ""))
        if server.mode in {"dripping headers", "dripping body"}:
            self._drip(server.mode)
            return
        if server.mode == "endless":
            self._endless()
            return
        status, content = server.answer(parts.path, {name: value[0] for name, value in parse_qs(parts.query).items()})
        status = {"redirecting": 302, "failing": 500}.get(server.mode, status)
        content = {"garbage": b"<html>\xff", "empty": b""}.get(server.mode, content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        if status == 302:
            self.send_header("Location", "http://169.254.169.254/latest")
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"a" * 65_536)
            time.sleep(0.001)

    def _drip(self, mode: str) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if mode == "dripping body" else b"X-Long: "))
        for _ in range(100):
            self.wfile.write(b"a")
            time.sleep(0.05)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
