"""Bounds around a node that is not trusted: no redirect, no endless answer, no thread that anybody waits for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from backend.kernel.errors import Tampered, Unavailable

T = TypeVar("T")
PIECE_BYTES = 2**16
# What a command answers in JSON is one or two short lines.
MAX_REPLY_BYTES = 2**16
CONTENT_COMMANDS = ("/cat", "/dag/export")
SUCCESS = 200
# A node that sends content more slowly than this is as good as gone.
MIN_BYTES_A_SECOND = 2**18
PARALLEL = 4


class AnswerGuard:
    """Looks at each answer before the HTTP client does; passed to it as its `auth`, which may add such a hook.

    The client itself follows redirects, unpacks compressed answers and reads all of a body that has no end.
    """

    def __init__(self, seconds: float, max_content_bytes: int) -> None:
        self._seconds = seconds
        self._max_content_bytes = max_content_bytes

    def __call__(self, request: Any) -> Any:
        """Have the answer to a request looked at."""
        request.register_hook("response", self._bound)
        return request

    def _bound(self, response: Any, **_options: Any) -> Any:
        content = response.status_code == SUCCESS and response.url.partition("?")[0].endswith(CONTENT_COMMANDS)
        if wrong := _refusal(response, content=content):
            response.close()
            raise Unavailable(f"the IPFS node {wrong}")
        limit = self._max_content_bytes if content else MAX_REPLY_BYTES
        response.raw = _BoundedBody(response.raw, limit, self._seconds, content=content)
        return response


class _BoundedBody:
    """The part of a response's body that requests asks for; it ends in time and in size."""

    def __init__(self, raw: Any, limit: int, seconds: float, *, content: bool) -> None:
        self._raw = raw
        self._limit = limit
        self._seconds = seconds
        self._content = content

    def stream(self, _amount: int | None, **_options: Any) -> Iterator[bytes]:
        """Yield the body: content piece by piece, a reply in JSON at once."""
        if self._content:
            yield from self._pieces()
        else:
            yield b"".join(self._pieces())

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    def release_conn(self) -> None:
        """Give the connection back."""
        self._raw.release_conn()

    def _pieces(self) -> Iterator[bytes]:
        received, started = 0, time.monotonic()
        # One read of the socket at a time: a trickle must not hide behind a piece that never fills.
        while piece := self._raw.read1(PIECE_BYTES, decode_content=False):
            received += len(piece)
            if received > self._limit:
                self._refuse(Tampered("the IPFS node answers with more than it should"))
            if time.monotonic() - started > self._seconds + received / MIN_BYTES_A_SECOND:
                self._refuse(Unavailable("the IPFS node is too slow"))
            yield piece

    def _refuse(self, error: Unavailable) -> None:
        self._raw.close()
        raise error


class Asker:
    """Runs blocking questions on threads of its own, a few at a time.

    A question that nobody waits for any more keeps its place until it ends: a node that holds them all only holds up
    this store, neither the process's other threads nor its end.
    """

    def __init__(self, parallel: int = PARALLEL) -> None:
        self._free = asyncio.Semaphore(parallel)

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the answer, or raise what the question raised."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(act: Callable[[Any], None], outcome: Any) -> None:
            self._free.release()
            if not answer.done():
                act(outcome)

        def work() -> None:
            act: Callable[[Any], None]
            outcome: Any
            try:
                act, outcome = answer.set_result, question()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the question was asked
                act, outcome = answer.set_exception, error
            # The loop may be over by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, act, outcome)

        threading.Thread(target=work, daemon=True, name="content-store").start()
        return await answer


def _refusal(response: Any, *, content: bool) -> str | None:
    if 300 <= response.status_code < 400:
        return "sends elsewhere"
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "answers in an encoding that was not asked for"
    if content and "html" in response.headers.get("Content-Type", "").lower():
        return "answers with a web page"
    return None
