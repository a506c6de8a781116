"""JSON-RPC over HTTP for web3, without a lock that a cancelled call could keep.

web3's own provider takes one lock of the whole process in a thread for each request. A task that is cancelled while it
waits there leaves the lock taken: no request of any provider is ever sent again.
"""

import asyncio
from datetime import timedelta
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from backend.kernel.errors import Unavailable

HEADERS = {"Content-Type": "application/json"}
# Some 10^5 events; a node that sends more than this is not one to listen to.
LONGEST_ANSWER = 128 * 2**20
# Python's parser of JSON goes as deep as the recursion limit lets it, and libraries raise that beyond the stack's end.
DEEPEST = 32
FEW_BRACKETS = 2_000
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class HttpProvider(AsyncJSONBaseProvider):
    """Asks one URL, each time within the timeout; follows nobody elsewhere."""

    # A contract's refusal must not make this process fetch an address that the contract names (EIP-3668).
    global_ccip_read_enabled = False

    def __init__(self, url: str, timeout: timedelta, *, longest_answer: int = LONGEST_ANSWER) -> None:
        super().__init__()
        self._url = url
        self._longest_answer = longest_answer
        self._timeout = ClientTimeout(total=timeout.total_seconds())
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Return what a method answers."""
        body = self.encode_rpc_request(method, params)
        async with self._opened().post(self._url, data=body, headers=HEADERS, allow_redirects=False) as response:
            response.raise_for_status()
            return self.decode_rpc_response(await self._read(response))

    async def disconnect(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            self._session = ClientSession(connector=TCPConnector(force_close=True), timeout=self._timeout)
            self._loop = loop
        return self._session

    async def _read(self, response: ClientResponse) -> bytes:
        content = bytearray()
        async for part in response.content.iter_any():
            content += part
            if len(content) > self._longest_answer:
                raise Unavailable("the chain's RPC answers without end")
        if _is_deep(content):
            raise Unavailable("the chain's RPC answered nonsense: it is nested too deeply")
        return bytes(content)


def _is_deep(content: bytearray) -> bool:
    brackets = content.translate(None, NO_BRACKETS)
    for _ in range(DEEPEST):
        if len(brackets) <= FEW_BRACKETS:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return True
