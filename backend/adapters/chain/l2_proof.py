"""The proof of an anchor's stored word against an L2 output root, as the OP stack claims them on L1."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

from aiohttp import ClientError
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.exceptions import BlockNotFound, Web3Exception
from web3.types import RPCEndpoint

from backend.adapters.chain.http import HttpProvider
from backend.kernel.errors import NotFound, Tampered, Unavailable

# The predeploy whose storage root is part of every output root (OP stack specification, "L2 output root").
MESSAGE_PASSER = "0x4200000000000000000000000000000000000016"
OUTPUT_ROOT_VERSION = bytes(32)
# The place of AuditAnchor's `_anchors` in its storage; a test reads it from the compiler.
ANCHORS_SLOT = 4
PATIENCE = timedelta(seconds=30)

Tag = Literal["finalized", "safe", "latest"]


def anchor_slot(log_id: bytes, index: int) -> bytes:
    """Return the storage slot of an anchor's word: Solidity's layout of a mapping in a mapping."""
    log = keccak(encode(["bytes32", "uint256"], [log_id, ANCHORS_SLOT]))
    return keccak(encode(["uint256", "bytes32"], [index, log]))


def output_root(state_root: bytes, message_passer_storage_root: bytes, block_hash: bytes) -> bytes:
    """Return the OP stack's output root, version 0."""
    return keccak(OUTPUT_ROOT_VERSION + state_root + message_passer_storage_root + block_hash)


async def l2_proof(
    rpc_url: str,
    contract: str,
    log_id: bytes,
    index: int,
    block: Tag | int = "finalized",
    *,
    patience: timedelta = PATIENCE,
) -> dict[str, Any]:
    """Return a pack's `l2_proof` of an anchor as of one block; NotFound where the block holds no such anchor."""
    provider = HttpProvider(rpc_url, patience)
    try:
        async with _answers():
            return await _proof(AsyncWeb3(provider), contract, anchor_slot(log_id, index), block)
    finally:
        await provider.disconnect()


async def _proof(web3: AsyncWeb3[HttpProvider], contract: str, slot: bytes, at: Tag | int) -> dict[str, Any]:
    block = await web3.eth.get_block(at)
    number, state_root = block["number"], bytes(block["stateRoot"])

    async def proof_of(address: str, *slots: str) -> Any:
        answer = await web3.manager.coro_request(RPCEndpoint("eth_getProof"), [address, slots, hex(number)])
        # Two calls may be answered from two sides of a reorg, or by two nodes behind one address.
        if keccak(HexBytes(answer["accountProof"][0])) != state_root:
            raise Tampered(f"the proof of {address} does not belong to the state of block {number}")
        return answer

    account, passer = await proof_of(contract, _hex(slot)), await proof_of(MESSAGE_PASSER)
    stored = account["storageProof"][0]
    if not int(stored["value"], 16):
        raise NotFound(f"block {number} holds no such anchor")
    passer_root, block_hash = bytes(HexBytes(passer["storageHash"])), bytes(block["hash"])
    return {
        "version": 0,
        "output_root": _hex(output_root(state_root, passer_root, block_hash)),
        "state_root": _hex(state_root),
        "message_passer_storage_root": _hex(passer_root),
        "block_hash": _hex(block_hash),
        "block_number": number,
        "account_proof": [_hex(node) for node in account["accountProof"]],
        "storage_proof": [_hex(node) for node in stored["proof"]],
        "storage_key": _hex(slot),
    }


@asynccontextmanager
async def _answers() -> AsyncIterator[None]:
    try:
        yield
    except BlockNotFound as error:
        raise NotFound(str(error)) from error
    except (ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"the chain's RPC does not answer: {type(error).__name__}") from error
    except (Web3Exception, LookupError, TypeError, ValueError) as error:
        raise Unavailable(f"the chain's RPC answered nonsense: {error}") from error


def _hex(value: bytes | str) -> str:
    return HexBytes(value).to_0x_hex()
