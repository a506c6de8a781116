"""An HTTP address that is asked and not trusted: bounded answers, no redirects, one clear line for each failure."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from backend.kernel.canonical import EncodingError, require_shallow
from backend.kernel.errors import Invalid, Unavailable

KIB, MIB = 2**10, 2**20
SECONDS = 15.0
# An exchange as a whole may take so many times the longest silence.
WHOLE = 4
# What Python's objects cost in memory; the largest honest answers stay below both.
MAX_CONTAINERS, MAX_COMMAS = 500_000, 2_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived whole: what was asked for, or a refusal (status 4xx)."""

    url: str
    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Tell whether it is what was asked for."""
        return self.status == httpx.codes.OK

    @property
    def said(self) -> str:
        """The refusal in one line."""
        try:
            document = _decoded(self.content)
            detail = str(document["detail"])
        except (ValueError, KeyError, TypeError):
            detail = "no reason given"
        return printable(f"{self.url} answers {self.status}: {detail}")

    def text(self) -> str:
        """Return the content as text."""
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise Unavailable(f"{self.url} answers with no text") from error

    def document(self) -> dict[str, Any]:
        """Return the content as a JSON object."""
        try:
            value = _decoded(self.content)
        except ValueError as error:
            raise Unavailable(f"{self.url} answers with no JSON") from error
        if not isinstance(value, dict):
            raise Unavailable(f"{self.url} answers with no JSON object")
        return value


def _decoded(content: bytes) -> Any:
    text = content.decode()
    if text.count("{") + text.count("[") > MAX_CONTAINERS or text.count(",") > MAX_COMMAS:
        raise EncodingError("too many values")
    require_shallow(text)
    return json.loads(text)


class Site:
    """One server by its base URL; `sign_in` returns a fresh access token where one is needed.

    Connections are kept, and then have to be closed, only where `keep_alive` asks for it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        sign_in: Callable[[], str] | None = None,
        seconds: float = SECONDS,
        keep_alive: bool = False,
    ) -> None:
        if urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).netloc:
            raise Invalid(f"{base_url} is no http address")
        self.base_url = base_url.rstrip("/")
        self._sign_in = sign_in
        self._token = ""
        self._seconds = seconds
        self._keep_alive = keep_alive
        self._client = self._connected()

    def _connected(self) -> httpx.Client:
        return httpx.Client(
            timeout=self._seconds,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            limits=httpx.Limits(max_keepalive_connections=4 if self._keep_alive else 0),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def get(self, path: str, most: int, /, **query: object) -> Reply:
        """Read up to `most` bytes; raise Unavailable for all that is neither an answer nor a refusal."""
        if self._sign_in is not None and not self._token:
            self._token = self._sign_in()
        reply = self._get(path, most, query)
        if reply.status == httpx.codes.UNAUTHORIZED and self._sign_in is not None:
            self._token = self._sign_in()
            reply = self._get(path, most, query)
        return reply

    def expect(self, path: str, most: int, /, **query: object) -> Reply:
        """Read what must be there; raise Unavailable where it is refused."""
        reply = self.get(path, most, **query)
        if not reply.ok:
            raise Unavailable(reply.said)
        return reply

    def _get(self, path: str, most: int, query: Mapping[str, object]) -> Reply:
        url = self.base_url + path
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        parameters = {name: str(value) for name, value in query.items()}
        request = self._client.build_request("GET", url, params=parameters, headers=headers)
        outcome: list[Reply | Exception] = []
        # A socket's timeout starts anew with every byte, and a name's look-up has none: only a thread can be left.
        arguments = (self._client, url, request, most, outcome)
        worker = threading.Thread(target=self._fetch, args=arguments, daemon=True)
        worker.start()
        worker.join(WHOLE * self._seconds)
        if not outcome:
            # Its next byte finds the connection closed, and the thread ends.
            self._client.close()
            self._client = self._connected()
            raise Unavailable(f"{url} answers too slowly")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _fetch(
        self, client: httpx.Client, url: str, request: httpx.Request, most: int, outcome: list[Reply | Exception]
    ) -> None:
        try:
            response = client.send(request, stream=True)
            try:
                self._require_answer(url, response)
                content = self._read(url, response, most)
                outcome.append(Reply(url, response.status_code, content, dict(response.headers)))
            finally:
                response.close()
        except Unavailable as refused:
            outcome.append(refused)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, RuntimeError) as silence:
            outcome.append(Unavailable(f"{url} does not answer: {silence or type(silence).__name__}"))

    def _require_answer(self, url: str, response: httpx.Response) -> None:
        if response.is_redirect:
            target = printable(response.headers.get("location", "elsewhere"))
            raise Unavailable(f"{url} redirects to {target}: redirects are not followed, name the address itself")
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or response.status_code == 429:
            raise Unavailable(f"{url} answers with status {response.status_code}")

    def _read(self, url: str, response: httpx.Response, most: int) -> bytes:
        content = bytearray()
        for piece in response.iter_raw():
            content += piece
            if len(content) > most:
                raise Unavailable(f"{url} answers with more than {most} bytes")
        return bytes(content)


def printable(text: str) -> str:
    """Return foreign text as one harmless line."""
    return "".join(character if character.isprintable() else "?" for character in text)[:400]
