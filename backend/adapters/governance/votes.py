"""The governor's events, read by their bytes, and a wallet's transactions."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.types import TxReceipt

from backend.adapters.chain.abi import Deployments
from backend.adapters.chain.node import Node
from backend.adapters.governance.values import lenient_codec
from backend.kernel.errors import Conflict, Tampered, Unavailable
from backend.ports.chain import Receipt
from backend.ports.governance import Ballot, Call, Proposed

GOVERNOR = "RefiGovernor"
CREATED = ("uint256", "address", "address[]", "uint256[]", "string[]", "bytes[]", "uint256", "uint256", "string")
CAST = ("uint256", "uint8", "uint256", "string")
CREATED_TOPIC = bytes(keccak(text=f"ProposalCreated({','.join(CREATED)})"))
CAST_TOPIC = bytes(keccak(text="VoteCast(address,uint256,uint8,uint256,string)"))
CAST_WITH_TOPIC = bytes(keccak(text="VoteCastWithParams(address,uint256,uint8,uint256,string,bytes)"))
# As in the submitter: a word that stands when gas is estimated may be a new one in the block that mines.
GAS_MARGIN_PERCENT = 100
POLL_SECONDS = 0.2
WORD = 32
# No step of the DAO is worth more than a tenth of an ether: a node that asks for it is not believed.
MOST_FEE = 10**17
PATIENCE = timedelta(minutes=1)


class GovernorVotes:
    """Reads one governor's proposals and ballots; nothing that they say is trusted to be text."""

    def __init__(self, url: str, folder: Path, *, timeout: timedelta, patience: timedelta = PATIENCE) -> None:
        self._deployments = Deployments(folder, {})
        self._node = Node(url, timeout, self._deployments.revert)
        self._codec = lenient_codec()
        self._patience = patience

    async def close(self) -> None:
        """Close the connections to the RPC."""
        await self._node.close()

    async def proposals(self) -> Sequence[Proposed]:
        """Return every proposal, oldest first."""
        return [self._proposed(entry) for entry in await self._logs(CREATED_TOPIC)]

    async def ballots(self, number: int) -> Sequence[Ballot]:
        """Return the votes on a proposal, oldest first."""
        found = []
        for entry in await self._logs(CAST_TOPIC, CAST_WITH_TOPIC):
            voted, support, weight, reason = self._decoded(CAST, entry)
            if voted == number:
                voter = "0x" + _voter(entry).hex()
                found.append(Ballot(voter, support, weight, reason, _hash(entry)))
        return found

    async def gas(self, sender: str, call: Call) -> int:
        """Return the gas that a call needs now."""
        chain_id, deployed = await self._node.chain_id(), self._deployments.get(GOVERNOR).chain_id
        if chain_id != deployed:
            raise Conflict(f"{GOVERNOR} is deployed on chain {deployed}, the RPC serves chain {chain_id}")
        return await self._node.estimate_gas(
            {
                "from": to_checksum_address(sender),
                "to": to_checksum_address(call.target),
                "data": HexBytes(call.data),
                "value": _wei(call.value),
            }
        )

    async def prepared(self, sender: str, call: Call) -> Mapping[str, Any]:
        """Return a whole transaction for the sender's key to sign."""
        gas = await self.gas(sender, call)
        base, tip = await self._node.fees()
        gas += gas * GAS_MARGIN_PERCENT // 100
        if gas * (3 * base + tip) > MOST_FEE:
            raise Unavailable(
                f"the chain's RPC asks for a fee of up to {gas * (3 * base + tip)} wei: nothing is signed"
            )
        return {
            "type": 2,
            "chainId": self._deployments.get(GOVERNOR).chain_id,
            "nonce": await self._node.nonce(sender, pending=True),
            "to": to_checksum_address(call.target),
            "value": call.value,
            "data": call.data,
            "gas": gas,
            # Three times today's base fee outlasts nine full blocks in a row.
            "maxFeePerGas": 3 * base + tip,
            "maxPriorityFeePerGas": tip,
        }

    async def broadcast(self, raw: bytes) -> Receipt:
        """Hand a signed transaction in and wait until it is mined."""
        tx_hash = await self._node.broadcast(raw)
        receipt = await self._mined(tx_hash)
        if receipt["status"] != 1:
            raise Conflict(f"{tx_hash.to_0x_hex()} was mined and failed")
        block_hash, gas = HexBytes(receipt["blockHash"]).to_0x_hex(), int(receipt["gasUsed"])
        return Receipt(tx_hash.to_0x_hex(), int(receipt["blockNumber"]), block_hash, gas)

    async def _mined(self, tx_hash: HexBytes) -> TxReceipt:
        for _ in range(max(1, int(self._patience.total_seconds() / POLL_SECONDS))):
            receipt = await self._node.receipt(tx_hash)
            if receipt is not None:
                return receipt
            await asyncio.sleep(POLL_SECONDS)
        raise Unavailable(f"{tx_hash.to_0x_hex()} is sent and not mined yet")

    async def _logs(self, *topics: bytes) -> list[Any]:
        governor = self._deployments.get(GOVERNOR)
        query = {
            "address": to_checksum_address(governor.address),
            "fromBlock": governor.block_number,
            "topics": [["0x" + topic.hex() for topic in topics]],
        }
        found = await self._node.logs(query)
        for entry in found:
            if not _is_asked(entry, governor.address, topics):
                raise Unavailable("the chain's RPC answered an event that the governor was not asked for")
        return found

    def _proposed(self, entry: Any) -> Proposed:
        number, proposer, targets, values, _, calldatas, opens, closes, text = self._decoded(CREATED, entry)
        calls = tuple(map(Call, targets, values, calldatas))
        text_hash = keccak(text.encode("utf-8", "surrogateescape"))
        known = encode(["address[]", "uint256[]", "bytes[]", "bytes32"], [targets, values, calldatas, text_hash])
        if int.from_bytes(keccak(known), "big") != number:
            raise Tampered(f"what the RPC says of proposal {number} is another proposal")
        return Proposed(number, proposer, calls, text, opens, closes, int(entry["blockNumber"]), _hash(entry))

    def _decoded(self, types: Sequence[str], entry: Any) -> tuple[Any, ...]:
        try:
            return tuple(self._codec.decode(types, bytes(entry["data"])))
        except (DecodingError, ValueError, OverflowError) as error:
            raise Unavailable("the chain's RPC answered an event of the governor that cannot be read") from error


def _is_asked(entry: Any, governor: str, topics: Sequence[bytes]) -> bool:
    try:
        is_ours = str(entry["address"]).lower() == governor and bytes(entry["topics"][0]) in topics
        return is_ours and not entry.get("removed", False) and len(entry["transactionHash"]) == WORD
    except (LookupError, TypeError, ValueError, AttributeError):
        return False


def _voter(entry: Any) -> bytes:
    topics = entry["topics"]
    if len(topics) < 2 or len(topics[1]) != WORD:
        raise Unavailable("the chain's RPC answered a vote of nobody")
    return bytes(topics[1])[-20:]


def _hash(entry: Any) -> str:
    return HexBytes(entry["transactionHash"]).to_0x_hex()


def _wei(value: int) -> Any:
    # web3 has a type of its own for what is an integer here.
    return value
