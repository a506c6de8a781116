"""An L2 with an AuditAnchor, accounts beside it and anchors in it; and the vector that is made from one.

`python -m tests.contracts.l2_world` writes the vector anew.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract

from backend.adapters.chain.l2_proof import l2_proof, output_root
from backend.kernel.merkle import consistency_proof, leaf_hash, root
from scripts.local_node import LOG_KEY, ORIGIN, ask, deploy, node, send

VECTOR = Path(__file__).resolve().parents[1] / "vectors" / "l2_proof.json"
CHAIN_ID = 42069
ACCOUNTS, ANCHORS = 40, 12
# This anchor's word begins with a zero byte, which the chain's storage does not keep.
SHORT = 9
INDEX = 7
BLANK = (0, bytes(32), bytes(32))
Head = tuple[int, bytes, bytes]


def hexed(value: bytes) -> str:
    """Return 0x-hex in lower case."""
    return "0x" + value.hex()


def log_id_of(contract: str, origin: str = ORIGIN, chain_id: int = CHAIN_ID) -> bytes:
    """Return a log's id as AuditAnchor makes it."""
    address = Web3.to_checksum_address(contract)
    return keccak(encode(["string", "bytes32", "uint256", "address"], [origin, LOG_KEY, chain_id, address]))


def word_of(log_id: bytes, index: int, head: Head) -> bytes:
    """Return the word that an anchor stores."""
    return keccak(encode(["bytes32", "uint256", "uint64", "bytes32", "bytes32"], [log_id, index, *head]))


def leaves(size: int) -> list[bytes]:
    """Return the leaf hashes of a log of a size."""
    return [leaf_hash(b"entry %d" % number) for number in range(size)]


@dataclass(frozen=True, slots=True)
class L2:
    """A chain with one log and its anchors."""

    web3: Web3
    audit: Contract
    log_id: bytes
    heads: list[Head] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The RPC's address."""
        return str(self.web3.provider.endpoint_uri)  # type: ignore[attr-defined]

    def anchor(self, size: int, *, short: bool = False) -> int:
        """Anchor a larger tree; return the anchor's index."""
        index = len(self.heads)
        previous = self.heads[-1] if self.heads else BLANK
        hashes = leaves(size)
        for salt in range(100_000):
            head = (size, root(hashes), sha256(b"heads %d" % salt).digest())
            if not short or word_of(self.log_id, index, head)[0] == 0:
                break
        proof = consistency_proof(hashes, previous[0]) if self.heads else []
        send(self.web3, self.audit.functions.anchor(self.log_id, previous, head, proof))
        self.heads.append(head)
        return index

    def prove(self, index: int, block: int | None = None, contract: str | None = None) -> dict[str, Any]:
        """Return the proof of an anchor as of a block, the latest unless one is given."""
        at = self.web3.eth.block_number if block is None else block
        return asyncio.run(l2_proof(self.url, contract or self.audit.address.lower(), self.log_id, index, at))


@contextmanager
def l2() -> Iterator[L2]:
    """Run an L2 whose log has some anchors."""
    with node(CHAIN_ID, "--network", "optimism", "--timestamp", "1451606400") as web3:
        for number in range(ACCOUNTS):
            ask(web3, "anvil_setBalance", hexed(keccak(b"%d" % number)[:20]), hex(number + 1))
        anchorer = web3.eth.accounts[0]
        audit = deploy(web3, "AuditAnchor", anchorer)
        send(web3, audit.functions.registerLog(ORIGIN, LOG_KEY, [anchorer]))
        world = L2(web3, audit, log_id_of(audit.address))
        for index in range(ANCHORS):
            world.anchor(3 * index + 2, short=index == SHORT)
        yield world


def changed(nodes: list[str], place: int) -> list[str]:
    """Return nodes of which one has one bit changed in its middle."""
    flipped = bytearray.fromhex(nodes[place][2:])
    flipped[len(flipped) // 2] ^= 1
    return [hexed(bytes(flipped)) if at == place % len(nodes) else other for at, other in enumerate(nodes)]


def raw_proof(world: L2, address: str, slot: bytes, block: int) -> dict[str, Any]:
    """Return what the node itself proves, also of what is not there."""
    found: dict[str, Any] = ask(world.web3, "eth_getProof", address, [hexed(slot)], hex(block))
    return found


def absent(world: L2, proof: dict[str, Any], block: int) -> dict[str, Any]:
    """Return a proof of the same slot at a block at which nothing was stored there yet."""
    header = world.web3.eth.get_block(block)
    slot = bytes.fromhex(proof["storage_key"][2:])
    found = raw_proof(world, world.audit.address, slot, block)
    state, block_hash = bytes(header["stateRoot"]), bytes(header["hash"])
    passer = bytes.fromhex(proof["message_passer_storage_root"][2:])
    return proof | {
        "output_root": hexed(output_root(state, passer, block_hash)),
        "state_root": hexed(state),
        "block_hash": hexed(block_hash),
        "block_number": block,
        "account_proof": found["accountProof"],
        "storage_proof": found["storageProof"][0]["proof"],
    }


def forged(proof: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a proof with changes and an output root that fits them."""
    made = proof | changes
    members = (bytes.fromhex(made[name][2:]) for name in ("state_root", "message_passer_storage_root", "block_hash"))
    return made | {"output_root": hexed(output_root(*members))}


def bad_variants(world: L2, proof: dict[str, Any], other: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what must be refused: a name, and the parts of the vector that are replaced."""
    account, storage = proof["account_proof"], proof["storage_proof"]
    size, tree, heads = world.heads[INDEX]
    block = proof["block_number"]
    # The contract and its log take two blocks, every anchor one.
    before = absent(world, proof, 2 + INDEX)
    yield {"name": "another index", "index": INDEX - 1}
    yield {"name": "another log", "log_id": hexed(log_id_of(world.audit.address, "refi.trading/other"))}
    yield {"name": "another contract", "contract": "0x" + "12" * 20}
    yield {"name": "another size", "head": {"size": size + 1, "root": hexed(tree), "heads_root": hexed(heads)}}
    yield {"name": "another root", "head": {"size": size, "root": hexed(heads), "heads_root": hexed(heads)}}
    yield {"name": "another heads root", "head": {"size": size, "root": hexed(tree), "heads_root": hexed(tree)}}
    yield {"name": "an output root that nobody trusts", "trusted_output_root": before["output_root"]}
    yield {"name": "another version", "proof": proof | {"version": 1}}
    for member in ("output_root", "state_root", "message_passer_storage_root", "block_hash"):
        yield {"name": f"altered {member}", "proof": proof | {member: changed([proof[member]], 0)[0]}}
    # Whoever alters a preimage can also make the output root that belongs to it.
    for member in ("state_root", "message_passer_storage_root", "block_hash"):
        yield {
            "name": f"altered {member} under an output root that fits it",
            "proof": forged(proof, **{member: changed([proof[member]], 0)[0]}),
        }
    for kind, nodes in (("account", account), ("storage", storage)):
        for place in range(len(nodes)):
            yield {
                "name": f"altered {kind} node {place}",
                "proof": proof | {f"{kind}_proof": changed(nodes, place)},
            }
        yield {"name": f"{kind} proof without its last node", "proof": proof | {f"{kind}_proof": nodes[:-1]}}
        yield {"name": f"{kind} proof without its first node", "proof": proof | {f"{kind}_proof": nodes[1:]}}
        yield {"name": f"{kind} proof with one node more", "proof": proof | {f"{kind}_proof": [*nodes, nodes[-1]]}}
        yield {"name": f"{kind} proof in another order", "proof": proof | {f"{kind}_proof": nodes[::-1]}}
        yield {"name": f"empty {kind} proof", "proof": proof | {f"{kind}_proof": []}}
        yield {"name": f"empty {kind} node", "proof": proof | {f"{kind}_proof": ["0x", *nodes[1:]]}}
    yield {"name": "storage proof of another anchor", "proof": proof | {"storage_proof": other["storage_proof"]}}
    yield {
        "name": "storage proof and key of another anchor",
        "proof": proof | {"storage_proof": other["storage_proof"], "storage_key": other["storage_key"]},
    }
    eoa = raw_proof(world, world.web3.eth.accounts[0], bytes(32), block)["accountProof"]
    yield {"name": "account proof of another account", "proof": proof | {"account_proof": eoa}}
    yield {
        "name": "a true proof that nothing is stored yet",
        "trusted_output_root": before["output_root"],
        "proof": before,
    }


def vector(world: L2) -> dict[str, Any]:
    """Return one true proof with what belongs to it, others that hold too, and many that do not."""
    block = world.web3.eth.block_number
    proof, short, other = (world.prove(index, block) for index in (INDEX, SHORT, INDEX - 1))

    def named(index: int) -> dict[str, Any]:
        size, tree, heads = world.heads[index]
        return {
            "index": index,
            "head": {"size": size, "root": hexed(tree), "heads_root": hexed(heads)},
            "word": hexed(word_of(world.log_id, index, world.heads[index])),
        }

    return {
        "source": "AuditAnchor on a local L2; a variant replaces the members that it names",
        "chain_id": CHAIN_ID,
        "contract": world.audit.address.lower(),
        "origin": ORIGIN,
        "log_public_key": hexed(LOG_KEY),
        "log_id": hexed(world.log_id),
        **named(INDEX),
        "trusted_output_root": proof["output_root"],
        "proof": proof,
        "good": [{"name": "a word that begins with a zero byte", **named(SHORT), "proof": short}],
        "bad": list(bad_variants(world, proof, other)),
    }


def main() -> None:
    """Write the vector."""
    with l2() as world:
        VECTOR.write_text(json.dumps(vector(world), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
