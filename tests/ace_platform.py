"""A local ACE platform that speaks the Evaluation API: request, poll, one evaluation an id."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ADDRESS_WORD = 0


@dataclass
class FakeAcePlatform:
    """Evaluates after so many polls; rejects wallets that a test names; lies when told to."""

    api_key: str = "platform-key"
    polls_until_decided: int = 1
    rejects: set[str] = field(default_factory=set)
    fails: bool = False
    raw: tuple[int, bytes] | None = None
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    url: str = ""

    def start(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer POST /evaluate."""
        wanted = {
            "caller_address", "subject", "function_signature", "chain_selector", "parameters", "unique_evaluation_id",
        }  # fmt: skip
        if set(question) != wanted:
            return 422, {"error": "unexpected members"}
        permit_id = "0x" + hashlib.sha256(f"org/{question['unique_evaluation_id']}".encode()).hexdigest()
        if self.asked.setdefault(permit_id, question) != question:
            return 409, {"error": "the id names another evaluation"}
        return 202, {"permit_id": permit_id, "status": self._status(permit_id)}

    def poll(self, permit_id: str) -> tuple[int, dict[str, Any]]:
        """Answer GET /evaluate/{permit id}."""
        if permit_id not in self.asked:
            return 404, {"error": "no such evaluation"}
        self.polls[permit_id] = self.polls.get(permit_id, 0) + 1
        return 200, {"permit_id": permit_id, "status": self._status(permit_id)}

    def _status(self, permit_id: str) -> str:
        if self.polls.get(permit_id, 0) < self.polls_until_decided:
            return "evaluating" if self.polls.get(permit_id, 0) == 0 else "approving"
        if self.fails:
            return "failed"
        wallet = "0x" + self.asked[permit_id]["parameters"][ADDRESS_WORD][-40:]
        return "rejected" if wallet in self.rejects else "ready"


@contextmanager
def served(platform: FakeAcePlatform) -> Iterator[FakeAcePlatform]:
    """Serve on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(lambda: platform.start(told) if self.path == "/evaluate" else (404, {}))

        def do_GET(self) -> None:
            self._answer(lambda: platform.poll(self.path.removeprefix("/evaluate/")))

        def _answer(self, made: Any) -> None:
            if platform.raw is not None:
                status, body = platform.raw
            elif self.headers["Authorization"] != f"Apikey {platform.api_key}":
                status, body = 401, b'{"error": "unknown key"}'
            else:
                status, told = made()
                body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that hang up on a long answer."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    platform.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
