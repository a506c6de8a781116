"""The L2 over JSON-RPC, with the contracts of one deployments folder."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.types import LogReceipt, TxParams, TxReceipt

from backend.adapters.chain.abi import Deployed, Deployments, event_topics
from backend.adapters.chain.node import Node
from backend.adapters.chain.submitter import Submission, Submitter
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.ports.chain import Block, BlockId, Log, Receipt, Reverted
from backend.ports.signer import KeyRole, Signer

LOCAL_CHAIN_IDS = frozenset({31337, 42069})


class RpcChain:
    """Calls and sends to named contracts: those of a deployments folder, and those that a caller knows by address."""

    def __init__(
        self,
        url: str,
        deployments: Path,
        signer: Signer,
        *,
        timeout: timedelta,
        submission: Submission | None = None,
        known: Mapping[str, Deployed] | None = None,
    ) -> None:
        self._deployments = Deployments(deployments, known or {})
        self._node = Node(url, timeout, self._deployments.revert)
        self._signer = signer
        self._submitter = Submitter(self._node, signer, submission or Submission())
        self._chain_id: int | None = None

    async def close(self) -> None:
        """Close the connections to the RPC."""
        await self._node.close()

    async def chain_id(self) -> int:
        """Return the chain id that the RPC reports."""
        if self._chain_id is None:
            self._chain_id = await self._node.chain_id()
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

    def refusal(self, payload: bytes) -> Reverted:
        """Return what the bytes that a contract reverted with say."""
        return self._deployments.revert(payload)

    async def call(
        self, contract: str, function: str, *arguments: Any, sender: str | None = None, block: BlockId | None = None
    ) -> Any:
        """Return what a view function answers, at the latest block unless one is named."""
        target = self._deployments.get(contract)
        transaction: TxParams = {
            "to": to_checksum_address(target.address),
            "data": HexBytes(target.calldata(function, arguments)),
        }
        if sender is not None:
            transaction["from"] = to_checksum_address(sender)
        returned = await self._node.call(transaction, block)
        # Where there is no contract every call succeeds: silence is an answer only of one that is there.
        expected = target.function(function, len(arguments))["outputs"]
        if not (returned or (not expected and await self._node.code(target.address, block))):
            raise Unavailable(f"no contract answers at {target.address} ({contract})")
        try:
            return target.answer(function, len(arguments), returned)
        except DecodingError as error:
            raise Unavailable(f"another contract answers at {target.address} ({contract})") from error

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: Any) -> Receipt:
        """Send a transaction signed by the role's key, wait for it to be mined and return its receipt."""
        target = self._deployments.get(contract)
        await self._refuse_another_chain(target)
        call: TxParams = {
            "from": to_checksum_address(self._signer.address(role)),
            "to": to_checksum_address(target.address),
            "data": HexBytes(target.calldata(function, arguments)),
        }
        receipt = await self._submitter.submit(role, call, await self.chain_id())
        tx_hash = HexBytes(receipt["transactionHash"]).to_0x_hex()
        if receipt["status"] != 1:
            raise await self._reason(call, receipt)
        return Receipt(
            tx_hash=tx_hash,
            block_number=int(receipt["blockNumber"]),
            block_hash=HexBytes(receipt["blockHash"]).to_0x_hex(),
            gas_used=int(receipt["gasUsed"]),
            logs=tuple(self._deployments.log(entry) for entry in receipt["logs"]),
        )

    async def block(self, block: BlockId | None = None) -> Block:
        """Return a block, the latest unless one is named."""
        return await self._node.block(block)

    async def events(
        self,
        contract: str,
        event: str,
        *,
        from_block: int = 0,
        to_block: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Return decoded events, oldest first: arguments, contract, event, block_number, tx_hash, log_index."""
        target = self._deployments.get(contract)
        from_block = max(from_block, target.block_number)
        # Nodes answer a range beyond their head with an error.
        if from_block > 0 and from_block > (await self.block()).number:
            return []
        if to_block is not None and to_block < from_block:
            return []
        topics = event_topics(target.event(event), filters or {})
        query: dict[str, Any] = {
            "address": to_checksum_address(target.address),
            "fromBlock": from_block,
            "topics": topics,
        }
        if to_block is not None:
            query["toBlock"] = to_block
        return [self._asked(entry, target, topics, from_block, to_block) for entry in await self._node.logs(query)]

    async def logs(self, contracts: Sequence[str], *, from_block: int, to_block: int) -> list[Log]:
        """Return everything that contracts, by name or address, left in these blocks, oldest first."""
        if to_block < from_block or not contracts:
            return []
        asked = {name.lower() if name.startswith("0x") else self.address(name) for name in contracts}
        query = {
            "address": [to_checksum_address(address) for address in sorted(asked)],
            "fromBlock": from_block,
            "toBlock": to_block,
        }
        try:
            found = [self._deployments.left(entry) for entry in await self._node.logs(query)]
        except (DecodingError, LookupError, TypeError, ValueError) as error:
            raise Unavailable("the chain's RPC answered a log that cannot be read") from error
        if any(log.address not in asked or not from_block <= log.block_number <= to_block for log in found):
            raise Unavailable("the chain's RPC answered a log that it was not asked for")
        return found

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
        await self._node.rpc("evm_setNextBlockTimestamp", timestamp)
        await self._node.rpc("evm_mine")
        return await self.block()

    def _asked(
        self, entry: LogReceipt, target: Deployed, topics: list[str | None], first: int, last: int | None
    ) -> Mapping[str, Any]:
        """Return a log decoded; Unavailable when it is not what was asked for."""
        try:
            found = self._deployments.log(entry)
            given = [HexBytes(topic).to_0x_hex() for topic in entry["topics"]]
            matches = all(wanted in {None, got} for wanted, got in zip(topics, given, strict=True))
            is_within = first <= found["block_number"] and (last is None or found["block_number"] <= last)
        except (DecodingError, LookupError, TypeError, ValueError) as error:
            raise Unavailable(f"the chain's RPC answered an event of {target.name} that cannot be read") from error
        if found.get("contract") != target.name or not matches or not is_within:
            raise Unavailable(f"the chain's RPC answered an event that {target.name} was not asked for")
        return found

    async def _refuse_another_chain(self, target: Deployed) -> None:
        found = await self.chain_id()
        if target.chain_id is not None and found != target.chain_id:
            raise Conflict(f"{target.name} is deployed on chain {target.chain_id}, the RPC serves chain {found}")

    async def _reason(self, call: TxParams, receipt: TxReceipt) -> Reverted:
        try:
            await self._node.call(call, receipt["blockNumber"])
        except Reverted as error:
            return error
        except NotFound:
            pass
        return Reverted("a mined transaction failed", (HexBytes(receipt["transactionHash"]).to_0x_hex(),))
