"""Keeps content in an IPFS node through the Kubo RPC API; every answer is checked against the CID."""

import asyncio
import io
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPException
from typing import Any, TypeVar

import ipfshttpclient
from ipfshttpclient.exceptions import Error, ErrorResponse
from ipfshttpclient.exceptions import TimeoutError as Silence
from urllib3.exceptions import HTTPError

from backend.adapters.content_store.bounds import MIN_BYTES_A_SECOND, AnswerGuard, Asker
from backend.kernel.canonical import EncodingError
from backend.kernel.car import MAX_FILE_BYTES, archive_limit, archived_file
from backend.kernel.cid import CHUNK_BYTES, LINKS, file_cid, parse_cid
from backend.kernel.errors import NotFound, Tampered, TooLarge, Unavailable
from backend.ports.content_store import Cid

T = TypeVar("T")
# js-ipfs names CIDs in base58 unless it is told.
BASE = {"cid-base": "base32"}
OFFLINE = BASE | {"offline": "true"}
# All of the profile: a node's own configuration must not choose another one.
ADD_OPTIONS = BASE | {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "trickle": "false",
    "chunker": f"size-{CHUNK_BYTES}",
    "max-file-links": str(LINKS),
    "pin": "false",
}
# What the client raises besides its own errors when an answer is malformed or breaks off.
MALFORMED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
    HTTPException,
    HTTPError,
)


class KuboStore:
    """A content store behind an IPFS node; the node is not trusted with anything but keeping bytes."""

    def __init__(
        self, address: str, timeout: timedelta = timedelta(seconds=10), max_content_bytes: int = MAX_FILE_BYTES
    ) -> None:
        self._seconds = timeout.total_seconds()
        self._max_content_bytes = max_content_bytes
        self._asker = Asker()
        guard = AnswerGuard(2 * self._seconds, archive_limit(max_content_bytes))
        # `connect` refuses every current node by its version; the constructor asks nothing.
        self._client: Any = ipfshttpclient.Client(address, timeout=self._seconds, auth=guard)

    async def put(self, content: bytes) -> Cid:
        """Add the content without pinning it and return its CID."""
        if len(content) > self._max_content_bytes:
            raise TooLarge(f"more than {self._max_content_bytes} bytes")
        cid = file_cid(content)
        answer = await self._ask(lambda: self._client.add_bytes(content, opts=ADD_OPTIONS), len(content))
        if answer != cid:
            raise Tampered("the node names the content otherwise", cid=cid, answer=str(answer)[:80])
        return cid

    async def get(self, cid: Cid) -> bytes:
        """Return the content that the node holds itself, checked against its CID."""
        parse_cid(cid)
        content = await self._ask(lambda: self._client.cat(cid, opts=dict(OFFLINE)), self._max_content_bytes)
        if file_cid(content) != cid:
            raise Tampered("the node answers with other bytes", cid=cid)
        return bytes(content)

    async def pin(self, cid: Cid) -> None:
        """Pin the content that the node holds."""
        if not await self.has(cid):
            raise NotFound("no such content", cid=cid)
        pinned = await self._ask(lambda: list(self._client.pin.add(cid, opts=dict(BASE))["Pins"]))
        if pinned != [cid]:
            raise Tampered("the node pins something else", cid=cid)

    async def has(self, cid: Cid) -> bool:
        """Tell whether the node itself holds the content's root block."""
        parse_cid(cid)
        try:
            key = await self._ask(lambda: self._client.block.stat(cid, opts=dict(OFFLINE))["Key"])
        except NotFound:
            return False
        if key != cid:
            raise Tampered("the node tells of another block", cid=cid)
        return True

    async def archive(self, cid: Cid) -> bytes:
        """Return the content as a CARv1 archive, as the node exports it and checked block by block."""
        # A node asks the whole network for what it lacks, and hangs.
        if not await self.has(cid):
            raise NotFound("no such content", cid=cid)
        limit = archive_limit(self._max_content_bytes)
        archive = bytes(await self._ask(lambda: self._client.dag.export(cid, opts=dict(OFFLINE)), limit))
        try:
            found, _content = archived_file(archive, self._max_content_bytes)
        except EncodingError as error:
            raise Tampered(f"the node exports a bad archive: {error.detail}", cid=cid) from error
        if found != cid:
            raise Tampered("the node exports another file", cid=cid)
        return archive

    async def load_archive(self, archive: bytes) -> Cid:
        """Import the CARv1 archive of a file, every block checked here first, and return the file's CID."""
        cid, _content = archived_file(archive, self._max_content_bytes)
        root = await self._ask(lambda: self._import(archive), len(archive))
        if root != cid:
            raise Tampered("the node imports another root", cid=cid)
        return cid

    def _import(self, archive: bytes) -> Any:
        # Newer nodes add a line of statistics, which the client takes for a second answer: they are not asked for.
        opts = BASE | {"pin-roots": "true", "stats": "false", "allow-big-block": "false"}
        answer = self._client.dag.imprt(io.BytesIO(archive), opts=opts)["Root"]
        if answer.get("PinErrorMsg"):
            raise ValueError("the node did not keep all of the archive")
        return answer["Cid"]["/"]

    async def _ask(self, question: Callable[[], T], moved_bytes: int = 0) -> T:
        # The client's timeout is one of silence; a slow trickle needs one of the whole.
        seconds = 2 * self._seconds + moved_bytes / MIN_BYTES_A_SECOND
        try:
            async with asyncio.timeout(seconds):
                return await self._asker.ask(question)
        except ErrorResponse as error:
            message = _line(error)
            if _is_absence(message):
                raise NotFound("no such content") from error
            raise Unavailable(f"the IPFS node refuses: {message}") from error
        except (TimeoutError, Silence) as error:
            raise Unavailable("the IPFS node is too slow") from error
        except (Error, *MALFORMED) as error:
            raise Unavailable(f"the IPFS node does not answer: {type(error).__name__}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _is_absence(message: str) -> bool:
    return "not found" in message or "could not find" in message
