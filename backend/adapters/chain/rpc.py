"""The L2 over JSON-RPC, with the contracts of one deployments folder."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientError
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import BlockNotFound, ContractLogicError, TimeExhausted, Web3Exception, Web3RPCError
from web3.types import BlockIdentifier, FilterParams, RPCEndpoint, TxParams, TxReceipt, Wei

from backend.adapters.chain.abi import Deployed, Deployments, event_topics
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.ports.chain import Block, Receipt, Reverted
from backend.ports.signer import KeyRole, Signer

LOCAL_CHAIN_IDS = frozenset({31337, 42069})
RECEIPT_POLL_SECONDS = 0.1
GAS_MARGIN_PERCENT = 20


class RpcChain:
    """Calls and sends to named contracts; one nonce sequence an address, EIP-1559 fees."""

    def __init__(self, url: str, deployments: Path, signer: Signer, *, timeout: timedelta) -> None:
        self._provider = AsyncHTTPProvider(
            url,
            request_kwargs={"timeout": timeout.total_seconds()},
            exception_retry_configuration=None,
        )
        self._web3: AsyncWeb3[AsyncHTTPProvider] = AsyncWeb3(self._provider)
        self._deployments = Deployments(deployments)
        self._signer = signer
        self._timeout = timeout
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next_nonce: dict[str, int] = {}
        self._chain_id: int | None = None

    async def close(self) -> None:
        """Close the connections to the RPC."""
        await self._provider.disconnect()

    async def chain_id(self) -> int:
        """Return the chain id that the RPC reports."""
        if self._chain_id is None:
            async with self._answers():
                self._chain_id = int(await self._web3.eth.chain_id)
        return self._chain_id

    def address(self, contract: str) -> str:
        """Return the contract's address in lower-case 0x-hex."""
        return self._deployments.get(contract).address

    def name_at(self, address: str) -> str:
        """Return the name of the contract at an address, or the address itself when it is none of ours."""
        found = self._deployments.at(address)
        return found.name if found else address.lower()

    def calldata(self, contract: str, function: str, *arguments: Any) -> bytes:
        """Return the encoded call: selector and arguments."""
        return self._deployments.get(contract).calldata(function, arguments)

    async def call(
        self, contract: str, function: str, *arguments: Any, sender: str | None = None, block: int | None = None
    ) -> Any:
        """Return what a view function answers, at the latest block unless one is given."""
        target = self._deployments.get(contract)
        transaction: TxParams = {
            "to": to_checksum_address(target.address),
            "data": HexBytes(target.calldata(function, arguments)),
        }
        if sender is not None:
            transaction["from"] = to_checksum_address(sender)
        async with self._answers():
            returned = await self._web3.eth.call(transaction, cast("BlockIdentifier", _at(block)))
            # Where there is no contract every call succeeds: silence is an answer only of one that is there.
            expected = target.function(function, len(arguments))["outputs"]
            there = returned or (not expected and await self._code(target, block))
        if not there:
            raise Unavailable(f"no contract answers at {target.address} ({contract})")
        try:
            return target.answer(function, len(arguments), bytes(returned))
        except DecodingError as error:
            raise Unavailable(f"another contract answers at {target.address} ({contract})") from error

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: Any) -> Receipt:
        """Send a transaction signed by the role's key, wait for it to be mined and return its receipt."""
        target = self._deployments.get(contract)
        await self._refuse_another_chain(target)
        sender = to_checksum_address(self._signer.address(role))
        call: TxParams = {
            "from": sender,
            "to": to_checksum_address(target.address),
            "data": HexBytes(target.calldata(function, arguments)),
        }
        async with self._locks[sender]:
            tx_hash = await self._broadcast(role, call)
        return await self._mined(call, tx_hash)

    async def block(self, number: int | None = None) -> Block:
        """Return a block, the latest unless a number is given."""
        async with self._answers():
            found = await self._web3.eth.get_block(cast("BlockIdentifier", _at(number)))
        return Block(int(found["number"]), HexBytes(found["hash"]).to_0x_hex(), int(found["timestamp"]))

    async def events(
        self, contract: str, event: str, *, from_block: int = 0, filters: Mapping[str, Any] | None = None
    ) -> list[Mapping[str, Any]]:
        """Return decoded events, oldest first: arguments, contract, event, block_number, tx_hash, log_index."""
        target = self._deployments.get(contract)
        # Nodes answer a range beyond their head with an error.
        if from_block > 0 and from_block > (await self.block()).number:
            return []
        query = {
            "address": to_checksum_address(target.address),
            "fromBlock": from_block,
            "topics": event_topics(target.event(event), filters or {}),
        }
        async with self._answers():
            logs = await self._web3.eth.get_logs(cast("FilterParams", query))
        return [self._deployments.log(entry) for entry in logs]

    async def advance_to(self, timestamp: int) -> Block:
        """Mine a block at the given time; local chains only, Conflict elsewhere or when it lies in the past."""
        chain_id = await self.chain_id()
        if chain_id not in LOCAL_CHAIN_IDS:
            raise Conflict(f"chain {chain_id} is not a local one: its time cannot be moved")
        latest = await self.block()
        if timestamp == latest.timestamp:
            return latest
        if timestamp < latest.timestamp:
            raise Conflict(f"the chain stands at {latest.timestamp} already, {timestamp} lies in the past")
        async with self._answers():
            await self._rpc("evm_setNextBlockTimestamp", timestamp)
            await self._rpc("evm_mine")
        return await self.block()

    async def _rpc(self, method: str, *parameters: Any) -> Any:
        response = await self._provider.make_request(RPCEndpoint(method), parameters)
        if "error" in response:
            raise Conflict(f"{method}: {response['error']}")
        return response.get("result")

    async def _code(self, target: Deployed, block: int | None) -> bytes:
        address = to_checksum_address(target.address)
        return bytes(await self._web3.eth.get_code(address, cast("BlockIdentifier", _at(block))))

    async def _refuse_another_chain(self, target: Deployed) -> None:
        found = await self.chain_id()
        if found != target.chain_id:
            raise Conflict(f"{target.name} is deployed on chain {target.chain_id}, the RPC serves chain {found}")

    async def _broadcast(self, role: KeyRole, call: TxParams) -> HexBytes:
        try:
            return await self._broadcast_once(role, call)
        except Unavailable as error:
            # Another process may have used the nonce; the chain's own count settles it.
            if "nonce" not in error.detail.lower():
                raise
        return await self._broadcast_once(role, call)

    async def _broadcast_once(self, role: KeyRole, call: TxParams) -> HexBytes:
        sender = str(call["from"])
        try:
            async with self._answers():
                latest = await self._web3.eth.get_block("latest")
                tip = await self._web3.eth.max_priority_fee
                gas = await self._web3.eth.estimate_gas(call)
                pending = await self._web3.eth.get_transaction_count(to_checksum_address(sender), "pending")
                nonce = max(int(pending), self._next_nonce.get(sender, 0))
                transaction = {
                    "to": call["to"],
                    "data": call["data"],
                    "value": 0,
                    "nonce": nonce,
                    "gas": gas * (100 + GAS_MARGIN_PERCENT) // 100,
                    "maxPriorityFeePerGas": tip,
                    "maxFeePerGas": Wei(2 * int(latest["baseFeePerGas"]) + int(tip)),
                    "chainId": await self.chain_id(),
                }
                raw = self._signer.sign_transaction(role, transaction)
                sent = await self._web3.eth.send_raw_transaction(raw)
        except (Unavailable, Reverted):
            self._next_nonce.pop(sender, None)
            raise
        self._next_nonce[sender] = nonce + 1
        return sent

    async def _mined(self, call: TxParams, tx_hash: HexBytes) -> Receipt:
        try:
            async with self._answers():
                receipt = await self._web3.eth.wait_for_transaction_receipt(
                    tx_hash, timeout=self._timeout.total_seconds(), poll_latency=RECEIPT_POLL_SECONDS
                )
        except Unavailable:
            self._next_nonce.pop(str(call["from"]), None)
            raise
        if receipt["status"] != 1:
            raise await self._reason(call, receipt)
        return Receipt(
            tx_hash=tx_hash.to_0x_hex(),
            block_number=int(receipt["blockNumber"]),
            block_hash=HexBytes(receipt["blockHash"]).to_0x_hex(),
            gas_used=int(receipt["gasUsed"]),
            logs=tuple(self._deployments.log(entry) for entry in receipt["logs"]),
        )

    async def _reason(self, call: TxParams, receipt: TxReceipt) -> Reverted:
        try:
            async with self._answers():
                await self._web3.eth.call(call, receipt["blockNumber"])
        except Reverted as error:
            return error
        return Reverted("a mined transaction failed", (HexBytes(receipt["transactionHash"]).to_0x_hex(),))

    @asynccontextmanager
    async def _answers(self) -> AsyncIterator[None]:
        try:
            yield
        except ContractLogicError as error:
            raise self._deployments.revert(_payload(error.data)) from error
        except BlockNotFound as error:
            raise NotFound(str(error)) from error
        except TimeExhausted as error:
            raise Unavailable(f"the transaction is not mined yet: {error}") from error
        except Web3RPCError as error:
            raise Unavailable(f"the chain's RPC refused: {error.message}") from error
        except (ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the chain's RPC does not answer: {type(error).__name__}") from error
        except Web3Exception as error:
            raise Unavailable(f"the chain's RPC answered nonsense: {error}") from error


def _at(number: int | None) -> int | str:
    return "latest" if number is None else number


def _payload(content: Any) -> bytes:
    found = content.get("data") if isinstance(content, dict) else content
    if not isinstance(found, str) or not found.startswith("0x"):
        return b""
    return bytes(HexBytes(found))
