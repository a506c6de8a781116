"""What a tamperer can recompute without the log's key: commitments, trees, checkpoints under another key, heads."""

import base64
import json
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.kernel import merkle
from backend.kernel.canonical import canonical_json, decode_bytes, encode_bytes
from backend.kernel.commitment import commit, disclose
from backend.kernel.heads import AccountHead, head_proof, heads_root
from backend.kernel.keccak import keccak256
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note


class Forger:
    """Rebuilds a log around the entries of a pack, under a key of its own."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._private = Ed25519PrivateKey.from_private_bytes(draw.randbytes(32))

    def key(self, origin: str) -> VerifierKey:
        """Return the forger's verifier key for an origin."""
        return VerifierKey(origin, self._private.public_key().public_bytes_raw())

    def sign(self, origin: str, size: int, root: str) -> str:
        """Return a checkpoint under the forger's key, its root in base64."""
        text = checkpoint_text(Checkpoint(origin, size, base64.b64decode(root)))
        return sign_note(text, self.key(origin), self._private.sign)

    def rebuild(self, pack: Any, *, own_key: bool, own_identity: bool) -> Any:
        """Give the pack's entries a tree, proofs and a checkpoint; sign with the own key, or keep the old signature."""
        origin, old_size, *_ = pack["checkpoint"].split("\n")
        size = max(int(old_size), *(entry["index"] + 1 for entry in pack["entries"]))
        anchor = pack["anchor"]
        anchor["size"] = min(max(anchor["size"], *(entry["index"] + 1 for entry in pack["entries"])), size)
        leaves = self._leaves(pack, size)
        for entry in pack["entries"]:
            entry["inclusion"] = [encode_bytes(node) for node in merkle.inclusion_path(leaves, entry["index"])]
        anchor["root"] = encode_bytes(merkle.root(leaves[: anchor["size"]]))
        pack["consistency"] = [encode_bytes(node) for node in merkle.consistency_proof(leaves, anchor["size"])]
        root = base64.b64encode(merkle.root(leaves)).decode()
        signature = pack["checkpoint"].partition("\n\n")[2]
        pack["checkpoint"] = self.sign(origin, size, root) if own_key else f"{origin}\n{size}\n{root}\n\n{signature}"
        if own_identity:
            pack["log_public_key"] = str(self.key(origin))
            self.claim(pack)
        return pack

    def claim(self, pack: Any) -> None:
        """Compute the log id that follows from what the pack says."""
        anchor, origin = pack["anchor"], pack["origin"].encode()
        key = base64.b64decode(pack["log_public_key"].split("+", 2)[2])[1:]
        head = _word(128) + key + _word(anchor["chain_id"]) + bytes.fromhex(anchor["contract"][2:]).rjust(32, b"\0")
        padded = origin + bytes(-len(origin) % 32)
        anchor["log_id"] = "0x" + keccak256(head + _word(len(origin)) + padded).hex()

    def _leaves(self, pack: Any, size: int) -> list[bytes]:
        leaves = [self._draw.randbytes(32) for _ in range(size)]
        for entry in pack["entries"]:
            leaves[entry["index"]] = merkle.leaf_hash(entry["entry"].encode())
        return leaves


def chain_of(pack: Any) -> list[Any]:
    """Return the entries that disclose account and seq, in the account's order."""
    chain = [entry for entry in pack["entries"] if {"account", "seq"} <= entry["disclosed"].keys()]
    return sorted(chain, key=lambda entry: int(entry["disclosed"]["seq"]["value"]))


def recommit(entry: Any, draw: Random) -> None:
    """Make a record of the disclosed values alone, and the entry its commitment."""
    fields = {name: field["value"] for name, field in entry["disclosed"].items()}
    salt = draw.randbytes(32)
    entry["disclosed"] = disclose(fields, salt, list(fields))
    content = json.loads(entry["entry"])
    event = fields.get("event", content["t"])
    entry["entry"] = canonical_json({"c": encode_bytes(commit(fields, salt)), "t": event, "v": 1}).decode()


def rechain(chain: list[Any], start: int, draw: Random) -> None:
    """Number the records from place `start` on anew and make each name the one before."""
    for place in range(max(start, 1), len(chain)):
        before, entry = chain[place - 1], chain[place]
        entry["disclosed"]["seq"]["value"] = before["disclosed"]["seq"]["value"] + 1
        if "prev" in entry["disclosed"]:
            entry["disclosed"]["prev"]["value"] = json.loads(before["entry"])["c"]
        recommit(entry, draw)


def cut_out(pack: Any, draw: Random) -> None:
    """Take a record out of the middle and close the gap."""
    chain = chain_of(pack)
    place = draw.randrange(1, len(chain) - 1)
    pack["entries"].remove(chain.pop(place))
    if draw.random() < 0.8:
        rechain(chain, place, draw)
    else:
        for entry in chain[place:]:
            entry["disclosed"]["seq"]["value"] -= 1


def insert_back_dated(pack: Any, draw: Random) -> bool:
    """Put a made-up record between two others; False where the log has no room between them."""
    chain = chain_of(pack)
    place = draw.randrange(1, len(chain))
    index = chain[place]["index"] - 1
    if any(entry["index"] == index for entry in pack["entries"]):
        index = chain[place]["index"]
        for entry in pack["entries"]:
            entry["index"] += entry["index"] >= index
    fields = {"event": "order.filled", "account": chain[0]["disclosed"]["account"]["value"], "seq": 0, "prev": ""}
    made = {"index": index, "entry": '{"t":""}', "inclusion": chain[place]["inclusion"]}
    made["disclosed"] = {name: {"value": value} for name, value in fields.items()}
    chain.insert(place, made)
    rechain(chain, place, draw)
    pack["entries"] = sorted([*pack["entries"], made], key=lambda entry: int(entry["index"]))
    return True


def forge_heads(pack: Any) -> None:
    """Build a heads tree of one account, whose head is the pack's last record."""
    chain = chain_of(pack)
    if not chain:
        return
    last = chain[-1]
    commitment = decode_bytes(json.loads(last["entry"])["c"])
    head = AccountHead(decode_bytes(pack["heads"]["id"]), last["disclosed"]["seq"]["value"], commitment)
    proof = head_proof([head], head.id)
    pack["heads"] |= {"count": head.count, "head": encode_bytes(head.head), "index": proof.index, "of": proof.of}
    pack["heads"]["path"] = [encode_bytes(node) for node in proof.path]
    pack["anchor"]["heads_root"] = encode_bytes(heads_root([head]))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
