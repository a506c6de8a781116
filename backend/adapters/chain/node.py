"""One JSON-RPC node: its answers as values, its faults as errors of ours."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

from aiohttp import ClientError
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import BlockIdentifier, FilterParams, LogReceipt, RPCEndpoint, TxParams, TxReceipt, Wei

from backend.adapters.chain.http import HttpProvider
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.ports.chain import Block, BlockId, Reverted

# Not every node knows every name for "what of this sender waits under this nonce".
POOL_METHODS = ("eth_getTransactionBySenderAndNonce", "txpool_contentFrom")

# What reading an answer raises that is not JSON, not complete or not of its type.
NONSENSE = (Web3Exception, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class Node:
    """Asks a node, each time within the timeout; a contract's refusal becomes its named error."""

    def __init__(self, url: str, timeout: timedelta, revert: Callable[[bytes], Reverted]) -> None:
        self._provider = HttpProvider(url, timeout)
        self._web3: AsyncWeb3[HttpProvider] = AsyncWeb3(self._provider)
        self._revert = revert

    async def close(self) -> None:
        """Close the connections."""
        await self._provider.disconnect()

    async def chain_id(self) -> int:
        """Return the chain id."""
        async with self._answers():
            return int(await self._web3.eth.chain_id)

    async def block(self, block: BlockId | None = None) -> Block:
        """Return a block, the latest unless one is named."""
        async with self._answers():
            found = await self._web3.eth.get_block(_at(block))
            return Block(int(found["number"]), HexBytes(found["hash"]).to_0x_hex(), int(found["timestamp"]))

    async def call(self, call: TxParams, block: BlockId | None = None) -> bytes:
        """Return what a call answers."""
        async with self._answers():
            return bytes(await self._web3.eth.call(call, _at(block)))

    async def code(self, address: str, block: BlockId | None = None) -> bytes:
        """Return the code at an address."""
        async with self._answers():
            return bytes(await self._web3.eth.get_code(to_checksum_address(address), _at(block)))

    async def logs(self, query: Mapping[str, Any]) -> list[LogReceipt]:
        """Return the logs that match."""
        async with self._answers():
            return list(await self._web3.eth.get_logs(cast("FilterParams", dict(query))))

    async def estimate_gas(self, call: TxParams) -> int:
        """Return the gas that a call would use now, in units."""
        async with self._answers():
            return int(await self._web3.eth.estimate_gas(call))

    async def fees(self) -> tuple[int, int]:
        """Return the latest block's base fee and the node's advice for the tip, in wei a unit of gas."""
        async with self._answers():
            latest = await self._web3.eth.get_block("latest")
            return int(latest["baseFeePerGas"]), int(await self._web3.eth.max_priority_fee)

    async def nonce(self, sender: str, *, pending: bool = False) -> int:
        """Return how many transactions of the sender are mined, or are mined and waiting without a gap."""
        async with self._answers():
            found = await self._web3.eth.get_transaction_count(
                to_checksum_address(sender), "pending" if pending else "latest"
            )
            return int(found)

    async def broadcast(self, raw: bytes) -> HexBytes:
        """Hand a signed transaction in and return its hash."""
        async with self._answers():
            return await self._web3.eth.send_raw_transaction(HexBytes(raw))

    async def receipt(self, tx_hash: HexBytes) -> TxReceipt | None:
        """Return a mined transaction's receipt."""
        async with self._answers():
            try:
                return await self._web3.eth.get_transaction_receipt(tx_hash)
            except TransactionNotFound:
                return None

    async def knows(self, tx_hash: HexBytes) -> bool:
        """Tell whether a transaction waits in the pool or is mined."""
        async with self._answers():
            try:
                await self._web3.eth.get_transaction(tx_hash)
            except TransactionNotFound:
                return False
        return True

    async def waiting(self, sender: str, nonce: int) -> TxParams | None:
        """Return what waits in the pool under a nonce, None when nothing does or the node does not tell.

        It holds to, data, value, gas, both fees and hash.
        """
        for method, *rest in ((POOL_METHODS[0], hex(nonce)), (POOL_METHODS[1],)):
            try:
                found = await self.rpc(method, to_checksum_address(sender), *rest)
            except Conflict:
                continue
            async with self._answers():
                if found and method == POOL_METHODS[1]:
                    found = {**found.get("pending", {}), **found.get("queued", {})}.get(str(nonce))
                return _transaction(found) if found and found.get("blockNumber") is None else None
        return None

    async def rpc(self, method: str, *parameters: Any) -> Any:
        """Return what any method answers; Conflict when the node refuses it."""
        async with self._answers():
            response = await self._provider.make_request(RPCEndpoint(method), parameters)
            if "error" in response:
                raise Conflict(f"{method}: {response['error']}")
            return response.get("result")

    @asynccontextmanager
    async def _answers(self) -> AsyncIterator[None]:
        try:
            yield
        except ContractLogicError as error:
            raise self._revert(_payload(error.data)) from error
        except BlockNotFound as error:
            raise NotFound(str(error)) from error
        except Web3RPCError as error:
            raise Unavailable(f"the chain's RPC refused: {error.message}") from error
        except (ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the chain's RPC does not answer: {type(error).__name__}") from error
        except NONSENSE as error:
            raise Unavailable(f"the chain's RPC answered nonsense: {error}") from error


def _at(block: BlockId | None) -> BlockIdentifier:
    return cast("BlockIdentifier", "latest" if block is None else block)


def _payload(content: Any) -> bytes:
    found = content.get("data") if isinstance(content, dict) else content
    if not isinstance(found, str) or not found.startswith("0x"):
        return b""
    return bytes(HexBytes(found))


def _transaction(found: Mapping[str, Any]) -> TxParams | None:
    if not found.get("to") or found.get("maxFeePerGas") is None:
        return None
    transaction: dict[str, Any] = {
        "to": to_checksum_address(found["to"]),
        "data": HexBytes(found["input"]),
        "value": int(found["value"], 16),
        "gas": int(found["gas"], 16),
        "maxFeePerGas": Wei(int(found["maxFeePerGas"], 16)),
        "maxPriorityFeePerGas": Wei(int(found["maxPriorityFeePerGas"], 16)),
        "hash": HexBytes(found["hash"]),
    }
    return cast("TxParams", transaction)
