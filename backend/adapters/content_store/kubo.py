"""Keeps content in an IPFS node through the Kubo RPC API; every answer is checked against the CID."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import ipfshttpclient
from ipfshttpclient.exceptions import Error, ErrorResponse

from backend.kernel.cid import CHUNK_BYTES, file_cid, parse_cid
from backend.kernel.errors import NotFound, Tampered, Unavailable
from backend.ports.content_store import Cid

T = TypeVar("T")
ADD_OPTIONS = {"cid-version": "1", "raw-leaves": "true", "chunker": f"size-{CHUNK_BYTES}", "pin": "false"}
OFFLINE = {"offline": "true"}
# What the client raises besides its own errors when an answer is malformed or breaks off.
MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError)


class KuboStore:
    """A content store behind an IPFS node; the node is not trusted with anything but keeping bytes."""

    def __init__(
        self, address: str, timeout: timedelta = timedelta(seconds=10), max_content_bytes: int = 2**28
    ) -> None:
        self._seconds = timeout.total_seconds()
        self._max_content_bytes = max_content_bytes
        # `connect` refuses every current node by its version; the constructor asks nothing.
        self._client: Any = ipfshttpclient.Client(address, timeout=self._seconds)

    async def put(self, content: bytes) -> Cid:
        """Add the content without pinning it and return its CID."""
        cid = file_cid(content)
        answer = await self._ask(lambda: str(self._client.add_bytes(content, opts=ADD_OPTIONS)))
        if answer != cid:
            raise Tampered("the node names the content otherwise", cid=cid, answer=answer)
        return cid

    async def get(self, cid: Cid) -> bytes:
        """Return the content that the node holds itself, checked against its CID."""
        parse_cid(cid)
        content = await self._ask(lambda: self._read(cid))
        if file_cid(content) != cid:
            raise Tampered("the node answers with other bytes", cid=cid)
        return content

    async def pin(self, cid: Cid) -> None:
        """Pin the content that the node holds."""
        if not await self.has(cid):
            raise NotFound("no such content", cid=cid)
        pinned = await self._ask(lambda: [str(pin) for pin in self._client.pin.add(cid)["Pins"]])
        if pinned != [cid]:
            raise Tampered("the node pins something else", cid=cid)

    async def has(self, cid: Cid) -> bool:
        """Tell whether the node itself holds the content's root block."""
        parse_cid(cid)
        try:
            key = await self._ask(lambda: str(self._client.block.stat(cid, opts=OFFLINE)["Key"]))
        except NotFound:
            return False
        return key == cid

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            # The client's timeout is one of silence; a slow trickle needs one of the whole.
            async with asyncio.timeout(2 * self._seconds):
                return await asyncio.to_thread(question)
        except ErrorResponse as error:
            if _is_absence(str(error)):
                raise NotFound("no such content") from error
            raise Unavailable(f"the IPFS node refuses: {str(error)[:120]}") from error
        except TimeoutError as error:
            raise Unavailable("the IPFS node is too slow") from error
        except (Error, *MALFORMED) as error:
            raise Unavailable(f"the IPFS node does not answer: {type(error).__name__}") from error

    def _read(self, cid: Cid) -> bytes:
        content, deadline = bytearray(), time.monotonic() + 2 * self._seconds
        with self._client.cat(cid, opts=OFFLINE, stream=True) as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > self._max_content_bytes or time.monotonic() > deadline:
                    raise Tampered("the node answers with more than it should", cid=cid)
        return bytes(content)


def _is_absence(message: str) -> bool:
    return "not found" in message or "could not find" in message
