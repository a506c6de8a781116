"""JSON over HTTP with somebody else's service: bounded in time and size, and nobody is followed elsewhere."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from backend.kernel.canonical import require_shallow
from backend.kernel.errors import Invalid, Unavailable

MAX_ANSWER_BYTES = 65_536


class RestApi:
    """One service, named for what is said of it when it fails."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str], timeout: timedelta) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise Invalid(f"the URL of {name} begins with https:// (or http:// for a local one)")
        self._name = name
        self._url = url.rstrip("/")
        self._seconds = timeout.total_seconds()
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        self._client: httpx.AsyncClient | None = None

    async def ask(
        self, method: str, path: str, told: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object of an answer; raise Unavailable where there is none."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._seconds, follow_redirects=False, trust_env=False)
        try:
            status, body = await self._read(self._client, method, path, told, headers or {})
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # Without the library's text: it may quote the URL.
            raise Unavailable(f"{self._name} does not answer: {type(error).__name__}") from None
        return status, self._object(status, body)

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _read(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        told: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        body = bytearray()
        # A limit on the whole answer: the client's own is for each read, and a trickle never meets it.
        async with (
            asyncio.timeout(self._seconds),
            client.stream(method, self._url + path, headers={**self._headers, **headers}, json=told) as response,
        ):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise Unavailable(f"{self._name} answers with more than it should")
            return response.status_code, bytes(body)

    def _object(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            text = body.decode()
            require_shallow(text)
            answer = json.loads(text)
        except (ValueError, Invalid):
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(f"{self._name} answers {status} and no JSON object")
        return answer
