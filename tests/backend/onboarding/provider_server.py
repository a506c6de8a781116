"""An outside identity provider on loopback that keeps its promises, or breaks them in a way that is named."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "provider-api-key"
LIES: dict[str, dict[str, Any]] = {
    "endless": {"more": "x" * 2**20},
    "another review": {"reference": "rev-of-somebody-else"},
    "no review": {"reference": None},
    "unknown finding": {"finding": "perhaps"},
    "script": {"redirect_url": "javascript:alert(1)"},
}
BODIES = {"malformed": b"<html>maintenance</html>", "deep": b"[" * 20_000}
STATUSES = {"error": 500, "elsewhere": 302}


class Provider(ThreadingHTTPServer):
    """A provider whose `mode` and `finding` can be changed while it runs; `asked` holds what it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "honest"
        self.finding = "pending"
        self.reviews: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []
        self.hold = 0.0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def start(self, key: str, told: dict[str, Any]) -> dict[str, Any]:
        """Begin a review, the same for the same key."""
        self.asked.append(told)
        reference = self.reviews.setdefault(key, f"rev-{len(self.reviews)}-{key[:8]}")
        return self.view(reference) | {"redirect_url": f"https://id.example/{reference}"}

    def view(self, reference: str) -> dict[str, Any]:
        """Return what is known of a review."""
        return {"reference": reference, "finding": self.finding}


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for a Provider."""

    server: Provider

    def do_POST(self) -> None:
        """Begin a review."""
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(201, self.server.start(self.headers["Idempotency-Key"], told))

    def do_GET(self) -> None:
        """Return a review."""
        reference = self.path.rpartition("/")[2]
        known = reference in self.server.reviews.values()
        self._answer(200, self.server.view(reference)) if known else self._answer(404, {"error": "unknown"})

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""

    def _answer(self, status: int, told: dict[str, Any]) -> None:
        if self.headers["Authorization"] != f"Bearer {API_KEY}":
            status, told = 401, {"error": "who are you?"}
        mode = self.server.mode
        body = BODIES.get(mode) or json.dumps(told | LIES.get(mode, {})).encode()
        status = STATUSES.get(mode, status)
        if mode == "slow":
            time.sleep(self.server.hold)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.url + "/reviews/rev-0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        pieces = [bytes([byte]) for byte in body] if mode == "trickle" else [body]
        try:
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(self.server.hold if mode == "trickle" else 0)
        except OSError:
            # The asker had enough.
            return


@contextmanager
def serving() -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider()
    thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.shutdown()
        thread.join(5)
        provider.server_close()
