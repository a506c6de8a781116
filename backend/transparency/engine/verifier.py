"""Check an evidence pack without trusting who made it: one file, to be copied away and read.

Needs Python 3.11 and `cryptography`; `py_ecc` only for the VaR proof. Usage:

    python verifier.py PACK [--contract ADDRESS --chain-id N] [--rpc URL]... [--model FILE] [--returns FILE] [--json]
                       [--attestor ADDRESS] [--circuit-hash WORD] [--engine ADDRESS] [--target ADDRESS]
                       [--l1-output-root WORD] [--l1-rpc URL]... [--l1-verifier ADDRESS]

Trusted: the AuditAnchor address and chain id that the user names, the RPCs' answers (all of them are compared) or the
output root that the user names, and SHA-256, Keccak-256, Ed25519 and BN254. Nothing inside the pack is trusted. Exit
status: 0 nothing failed, 1 something did, 2 wrong usage, 3 a named RPC did not answer.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import re
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from http.client import HTTPException
from itertools import pairwise
from math import gcd, isfinite
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "refi-evidence/1"
CHECKS = (
    "format",
    "log identity",
    "commitment",
    "disclosed fields",
    "leaf",
    "inclusion",
    "checkpoint signature",
    "consistency",
    "anchor on chain",
    "account chain",
    "heads",
    "model hash",
    "replayed decision",
    "compliance receipt",
    "VaR proof",
    "VaR binding",
)
MAX_PACK_BYTES = 16 * 2**20
MAX_MODEL_BYTES = 16 * 2**20
MAX_ANSWER_BYTES = 4 * 2**20
MAX_ENTRY_BYTES = 512
MAX_PATH = 64
MAX_DEPTH = 32
# What Python's objects cost in memory: a pack of MAX_PACK_BYTES that holds disclosures stays below both.
MAX_CONTAINERS = 500_000
MAX_COMMAS = 2_000_000
Q_TOLERANCE = 1e-4
EXECUTED = frozenset({"order.filled", "order.unknown"})
# The prev of a first record: 32 zero bytes.
NO_RECORD = "A" * 43

Result = Literal["pass", "fail", "skipped"]
Pack = dict[str, Any]


class Failed(Exception):
    """The pack does not hold what it claims."""


class Skipped(Exception):
    """The check cannot be made with what is at hand."""


class Unreachable(Skipped):
    """An RPC that the user named gives no usable answer."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check's name, its result, and why."""

    name: str
    result: Result
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """All checks in order; `identified` says whether the user named the log's contract."""

    checks: tuple[Check, ...]
    identified: bool
    unreachable: bool

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed and every named RPC answered."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """Return the process's exit status."""
        if any(check.result == "fail" for check in self.checks):
            return 1
        return 3 if self.unreachable else 0

    @property
    def verdict(self) -> str:
        """Say in one line what the checks amount to."""
        failed = ", ".join(check.name for check in self.checks if check.result == "fail")
        if failed:
            return f"refused: {failed}"
        passed = sum(check.result == "pass" for check in self.checks)
        text = f"{passed} of {len(self.checks)} checks passed, none failed"
        if self.unreachable:
            text = f"unreachable: {text}"
        return text if self.identified else f"log not identified: {text}"


@dataclass(frozen=True, slots=True)
class Named:
    """What the user names and therefore trusts; addresses in lower-case 0x-hex."""

    contract: str | None = None
    chain_id: int | None = None
    attestor: str | None = None
    engine: str | None = None
    target: str | None = None
    rpc_urls: tuple[str, ...] = ()
    model_path: Path | None = None
    returns_path: Path | None = None
    l1_output_root: str | None = None
    l1_rpc_urls: tuple[str, ...] = ()
    l1_verifier: str | None = None
    circuit_hash: str | None = None
    timeout: float = 10.0


# --- encodings: canonical JSON, base64url, hex -----------------------------------------------------------------------

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_BRACKETS = re.compile(r""""(?:[^"\\]++|\\.)*+"?|[\[\]{}]""", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"(?!-0\Z)-?(0|[1-9][0-9]{0,60})(\.[0-9]{0,60}[1-9])?")


def canonical_json(value: object) -> bytes:
    """Encode strings, integers below 2^53, booleans, arrays and objects with ASCII keys; refuse everything else."""
    _require_profile(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_json(content: bytes | str) -> Any:
    """Decode JSON of the profile in any layout; refuse duplicate keys, floats, null and deep nesting."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Failed("a key occurs twice")
        return found

    def refuse(text: str) -> Any:
        raise Failed(f"a number that is no integer: {text[:20]}")

    def whole(text: str) -> int:
        if len(text) > 17 or text == "-0":
            raise Failed(f"an integer outside the profile: {text[:20]}")
        return int(text)

    try:
        text = content.decode() if isinstance(content, bytes) else content
        _require_shallow(text)
        value = json.loads(text, object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse, parse_int=whole)
    except ValueError as error:
        raise Failed(f"not JSON: {str(error)[:80]}") from error
    _require_profile(value)
    return value


def _require_shallow(text: str) -> None:
    # The decoder recurses in C: where a library has raised Python's recursion limit, nesting would overrun the stack.
    if text.count(",") > MAX_COMMAS or text.count('"') > 2 * MAX_COMMAS:
        raise Failed(f"more than {MAX_COMMAS} values")
    depth = opened = 0
    for match in _BRACKETS.finditer(text):
        step = {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        depth, opened = depth + step, opened + (step == 1)
        if depth > MAX_DEPTH:
            raise Failed("nested too deeply")
        if opened > MAX_CONTAINERS:
            raise Failed(f"more than {MAX_CONTAINERS} objects and arrays")


def _require_profile(value: object) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise Failed("a key is not an ASCII string")
        for item in value.values():
            _require_profile(item)
    elif isinstance(value, list):
        for item in value:
            _require_profile(item)
    elif not isinstance(value, str | bool | int) or (isinstance(value, int) and abs(value) >= 2**53):
        raise Failed("a value outside the profile (null, or an integer of 2^53 or more)")
    elif isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        raise Failed("a string holds a lone surrogate")


def decode_base64url(text: str, length: int) -> bytes:
    """Decode unpadded base64url of exactly `length` bytes in its one canonical form."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Failed("not unpadded base64url")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(content) != length or base64.urlsafe_b64encode(content).rstrip(b"=").decode() != text:
        raise Failed(f"not base64url of {length} bytes in canonical form")
    return content


def decode_base64(text: str) -> bytes:
    """Decode padded base64 in its one canonical form."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Failed("not base64") from error
    if base64.b64encode(content).decode() != text:
        raise Failed("base64 that is not canonical")
    return content


def from_hex(text: str) -> bytes:
    """Decode 0x-hex whose form the format check has seen."""
    return bytes.fromhex(text[2:])


def hashes(texts: Sequence[str]) -> list[bytes]:
    """Decode a list of 32-byte hashes."""
    return [decode_base64url(text, 32) for text in texts]


def scaled(text: str, places: int) -> int:
    """Return a decimal string times 10^places, exactly; fail where that is no integer."""
    whole, _, part = text.partition(".")
    if len(part) > places:
        raise Failed(f"more than {places} decimals")
    return int(whole + part.ljust(places, "0"))


# --- Keccak-256 (Ethereum's padding) ---------------------------------------------------------------------------------

_ROTATIONS = (1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44)
_LANES = (10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1)
_LANE = 2**64 - 1


def _round_constants() -> tuple[int, ...]:
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for exponent in range(7):
            constant |= (register & 1) << ((1 << exponent) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


_CONSTANTS = _round_constants()


def keccak256(content: bytes) -> bytes:
    """Return the Keccak-256 of the content."""
    padded = bytearray(content + bytes(136 - len(content) % 136))
    padded[len(content)] ^= 0x01
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), 136):
        for at, lane in enumerate(struct.unpack_from("<17Q", padded, start)):
            lanes[at] ^= lane
        _permute(lanes)
    return struct.pack("<4Q", *lanes[:4])


def _permute(lanes: list[int]) -> None:
    for constant in _CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        for x in range(5):
            mixed = columns[x - 1] ^ _rotate(columns[(x + 1) % 5], 1)
            for y in range(0, 25, 5):
                lanes[y + x] ^= mixed
        carried = lanes[1]
        for lane, rotation in zip(_LANES, _ROTATIONS, strict=True):
            lanes[lane], carried = _rotate(carried, rotation), lanes[lane]
        for y in range(0, 25, 5):
            row = lanes[y : y + 5]
            for x in range(5):
                lanes[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5] & _LANE)
        lanes[0] ^= constant


def _rotate(lane: int, by: int) -> int:
    return ((lane << by) | (lane >> (64 - by))) & _LANE


# --- Merkle trees (RFC 9162 section 2.1) -----------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry into its leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent."""
    return sha256(b"\x01" + left + right).digest()


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that a path leads to; fail where its shape does not fit (index, size)."""
    if not 0 <= index < size:
        raise Failed(f"no leaf {index} in a tree of {size}")
    at, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Failed("a path that is too long")
        if at % 2 or at == last:
            computed = node_hash(sibling, computed)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise Failed("a path that is too short")
    return computed


def require_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Fail unless the tree (size, root) extends the tree (old_size, old_root)."""
    if not 1 <= old_size <= size:
        raise Failed(f"a tree of {size} does not extend one of {old_size}")
    if old_size == size:
        if proof or old_root != root:
            raise Failed("two roots for one size")
        return
    # A whole subtree's root is known to the verifier and is not sent.
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not nodes or _proved_roots(old_size, size, nodes) != (old_root, root):
        raise Failed("the checkpoint's tree does not extend the anchored one")


def _proved_roots(old_size: int, size: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    at, last = old_size - 1, size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return None
        if at % 2 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None


# --- ABI encoding and JSON-RPC ---------------------------------------------------------------------------------------

_ANCHORED = keccak256(b"Anchored(bytes32,uint256,uint64,bytes32,bytes32)")
_ATTESTED = keccak256(b"Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)")
# OrderContext.sol: what an order says to the rules beside its arguments.
CONTEXT_TAG = keccak256(b"refi.trading/order-context/1")
PAPER_VENUE = "PAPER"
_REJECTED = keccak256(b"PolicyRunRejected(address,string,(bytes4,address,bytes,bytes))")[:4]


def word(value: int | str | bytes) -> bytes:
    """Encode an integer, an address or bytes32 (both 0x-hex or bytes) as one ABI word."""
    if isinstance(value, str):
        value = from_hex(value)
    if isinstance(value, bytes):
        return value.rjust(32, b"\0")
    return value.to_bytes(32, "big")


def words(*values: int | str | bytes) -> bytes:
    """Encode static values."""
    return b"".join(word(value) for value in values)


def tail(content: bytes) -> bytes:
    """Encode dynamic bytes: their length and the bytes, padded."""
    return word(len(content)) + content + bytes(-len(content) % 32)


def selector(signature: str) -> bytes:
    """Return a function's four bytes."""
    return keccak256(signature.encode())[:4]


@dataclass(frozen=True, slots=True)
class Reverted:
    """A call that the contract refused, with its revert data."""

    data: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


class Rpc:
    """One JSON-RPC endpoint that the user named; an answer is bounded in bytes, and in time as a whole."""

    def __init__(self, url: str, timeout: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise Unreachable(f"{url} is no http address")
        self.url = url
        self.timeout = timeout

    def ask(self, method: str, *parameters: object) -> Any:
        """Return the result of one request, raising Unreachable for every other outcome but a revert."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}).encode()
        # The user's own address, http or https only.
        try:
            request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310
            answer = self._parsed(self._fetched(request))
        except urllib.error.HTTPError as error:
            error.close()
            raise Unreachable(f"{self.url} answers {method} with status {error.code}") from None
        except (OSError, ValueError, HTTPException, Failed) as error:
            raise Unreachable(f"{self.url} does not answer {method}: {str(error)[:80]}") from error
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            return self._refusal(method, answer["error"])
        if not isinstance(answer, dict) or "result" not in answer:
            raise Unreachable(f"{self.url} answers {method} with no result")
        return answer["result"]

    def call(self, to: str, data: bytes, block: int | None = None, sender: str | None = None) -> bytes | Reverted:
        """Return what a contract answers."""
        transaction = {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})
        answer = self.ask("eth_call", transaction, "latest" if block is None else hex(block))
        return answer if isinstance(answer, Reverted) else self._bytes(answer)

    def read(self, to: str, data: bytes, at_least: int = 32, block: int | None = None) -> bytes:
        """Return what a view answers, failing where there is no such contract."""
        answer = self.call(to, data, block)
        if isinstance(answer, Reverted) or len(answer) < at_least:
            raise Failed(f"{to} is not the contract that it should be")
        return answer

    def code(self, address: str, block: int) -> bytes:
        """Return a contract's code at a block, empty where there is none."""
        return self._bytes(self.ask("eth_getCode", address, hex(block)))

    def quantity(self, method: str) -> int:
        """Return a method's integer answer."""
        answer = self.ask(method)
        if not isinstance(answer, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,64}", answer):
            raise Unreachable(f"{self.url} answers {method} with no number")
        return int(answer, 16)

    def _fetched(self, request: urllib.request.Request) -> bytes:
        outcome: list[bytes | Exception] = []
        # A socket's timeout starts anew with every byte, and a name's look-up has none: only a thread can be left.
        worker = threading.Thread(target=self._fetch, args=(request, outcome), daemon=True)
        worker.start()
        worker.join(self.timeout)
        if not outcome:
            raise TimeoutError("no answer in time")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _fetch(self, request: urllib.request.Request, outcome: list[bytes | Exception]) -> None:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
                outcome.append(self._read(response))
        except (OSError, ValueError, HTTPException) as error:
            outcome.append(error)

    def _read(self, response: Any) -> bytes:
        deadline, content = time.monotonic() + self.timeout, b""
        while chunk := response.read1(65536):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                raise ValueError("the answer is too long or too slow")
        return content

    def _parsed(self, content: bytes) -> Any:
        _require_shallow(content.decode())
        return json.loads(content)

    def _refusal(self, method: str, error: Mapping[str, Any]) -> Reverted:
        data, message = error.get("data"), str(error.get("message", ""))
        if isinstance(data, dict):
            data = data.get("data")
        reverted = error.get("code") == 3 or "revert" in message.lower()
        if method == "eth_call" and reverted:
            return Reverted(self._bytes(data) if isinstance(data, str) else b"")
        raise Unreachable(f"{self.url} refuses {method}: {message[:80]}")

    def _bytes(self, text: object) -> bytes:
        if not isinstance(text, str) or not re.fullmatch(r"0x([0-9a-fA-F]{2})*", text):
            raise Unreachable(f"{self.url} answers with no bytes")
        return from_hex(text)


# --- Merkle-Patricia proofs and CIDs ---------------------------------------------------------------------------------

MAX_NODE_BYTES = 1024
MAX_TRIE_NODES = 65
# The place of AuditAnchor's `_anchors` in its storage, which is part of what the user names with its address.
ANCHORS_SLOT = 4

Rlp = bytes | list[Any]


def rlp_decode(content: bytes) -> Rlp:
    """Decode one RLP item in its one canonical form, with nothing after it."""
    item, end = _rlp_item(content, 0, 0)
    if end != len(content):
        raise Failed("bytes after an RLP item")
    return item


def _rlp_item(content: bytes, at: int, depth: int) -> tuple[Rlp, int]:
    if at >= len(content) or depth > 4:
        raise Failed("RLP that is cut off or nested too deeply")
    first = content[at]
    if first < 0x80:
        return content[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, stop = _rlp_bounds(content, at + 1, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if stop - start == 1 and content[start] < 0x80:
            raise Failed("RLP that is not canonical")
        return content[start:stop], stop
    items = []
    while start < stop:
        item, start = _rlp_item(content, start, depth + 1)
        items.append(item)
    if start != stop:
        raise Failed("an RLP item reaches beyond its list")
    return items, stop


def _rlp_bounds(content: bytes, start: int, length: int) -> tuple[int, int]:
    if length > 55:
        digits = content[start : start + length - 55]
        start, width = start + length - 55, length - 55
        length = int.from_bytes(digits, "big")
        if len(digits) != width or digits[0] == 0 or length < 56:
            raise Failed("RLP that is not canonical")
    if start + length > len(content):
        raise Failed("RLP that is cut off")
    return start, start + length


def trie_value(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes:
    """Return what a secure Merkle-Patricia trie holds under a key; fail unless the proof is exactly the way to it."""
    path, at, expected = _nibbles(keccak256(key)), 0, root
    for place, node in enumerate(proof):
        if keccak256(node) != expected:
            raise Failed("a node is not the one that its parent or the root names")
        items = rlp_decode(node)
        if isinstance(items, list) and len(items) == 17 and at < len(path):
            child, at = items[path[at]], at + 1
        elif isinstance(items, list) and len(items) == 2:
            part, is_leaf = _compact(items[0])
            if path[at : at + len(part)] != part:
                raise Failed("the proof shows that the key holds nothing")
            child, at = items[1], at + len(part)
            if is_leaf:
                return _leaf_value(child, whole=at == len(path) and place == len(proof) - 1)
        else:
            raise Failed("neither a branch nor a short node")
        # On the way to 32 bytes every node has at least 32 itself: none stands inside its parent.
        if not isinstance(child, bytes) or len(child) != 32:
            raise Failed("the proof shows that the key holds nothing")
        expected = child
    raise Failed("the proof ends before the leaf")


def _leaf_value(value: Rlp, *, whole: bool) -> bytes:
    if not whole or not isinstance(value, bytes):
        raise Failed("a leaf that is not the proof's last node, or not the key's")
    return value


def _nibbles(content: bytes) -> list[int]:
    return [nibble for byte in content for nibble in (byte >> 4, byte & 15)]


def _compact(encoded: Rlp) -> tuple[list[int], bool]:
    if not isinstance(encoded, bytes) or not encoded:
        raise Failed("a short node without a path")
    nibbles = _nibbles(encoded)
    flag, is_odd = nibbles[0], nibbles[0] & 1
    if flag > 3 or (not is_odd and nibbles[1]) or (flag < 2 and len(nibbles) == 2 and not is_odd):
        raise Failed("a path that is not canonical")
    return nibbles[2 - is_odd :], flag > 1


def anchor_slot(log_id: str, index: int) -> bytes:
    """Return where AuditAnchor keeps an anchor's word: Solidity's place of _anchors[logId][index]."""
    return keccak256(words(index, keccak256(words(log_id, ANCHORS_SLOT))))


def file_cid(content: bytes) -> str:
    """Return the CIDv1 of a file: raw leaves of 256 KiB under balanced UnixFS nodes of 174 links."""
    chunks = [content[at : at + 2**18] for at in range(0, len(content), 2**18)] or [b""]
    level = [(b"\x01\x55\x12\x20" + sha256(chunk).digest(), len(chunk), len(chunk)) for chunk in chunks]
    while len(level) > 1:
        level = [_unixfs_node(level[at : at + 174]) for at in range(0, len(level), 174)]
    return "b" + base64.b32encode(level[0][0]).decode().lower().rstrip("=")


def _unixfs_node(children: Sequence[tuple[bytes, int, int]]) -> tuple[bytes, int, int]:
    # (cid, bytes of the file below, bytes of the blocks below) into a dag-pb node: its links, then its data.
    size = sum(child[1] for child in children)
    data = b"\x08\x02\x18" + _varint(size) + b"".join(b"\x20" + _varint(child[1]) for child in children)
    links = [b"\x0a" + _varint(len(cid)) + cid + b"\x12\x00\x18" + _varint(total) for cid, _, total in children]
    node = b"".join(b"\x12" + _varint(len(link)) + link for link in links) + b"\x0a" + _varint(len(data)) + data
    return b"\x01\x70\x12\x20" + sha256(node).digest(), size, len(node) + sum(child[2] for child in children)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


# --- format ----------------------------------------------------------------------------------------------------------

Shape = Callable[[Any, str], None]


def text(pattern: str = r".{1,1024}") -> Shape:
    """Accept a string that matches a pattern as a whole."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Failed(f"{where} is malformed")

    return check


def integer(value: Any, where: str) -> None:
    """Accept an integer from 0 to 2^53 - 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Failed(f"{where} is not a whole number")


def base64_of(length: int) -> Shape:
    """Accept canonical base64url of so many bytes."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str):
            raise Failed(f"{where} is no text")
        try:
            decode_base64url(value, length)
        except Failed as error:
            raise Failed(f"{where}: {error}") from error

    return check


def many(shape: Shape, limit: int, least: int = 0) -> Shape:
    """Accept an array of items of one shape."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= limit:
            raise Failed(f"{where} is no array of {least} to {limit} items")
        for at, item in enumerate(value):
            shape(item, f"{where}[{at}]")

    return check


def table(shape: Shape) -> Shape:
    """Accept an object whose values have one shape."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Failed(f"{where} is no object")
        for key, item in value.items():
            shape(item, f"{where}.{key}")

    return check


def members(optional: Sequence[str] = (), **shapes: Shape) -> Shape:
    """Accept an object with exactly these members, the optional ones at will."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise Failed(f"{where} is no object")
        missing = sorted(shapes.keys() - value.keys() - set(optional))
        unknown = [key[:40] for key in value if key not in shapes]
        if missing or unknown:
            raise Failed(f"{where}: missing {missing[:5]}, unknown {unknown[:5]}"[:200])
        for key, item in value.items():
            shapes[key](item, f"{where}.{key}")

    return check


def anything(value: Any, where: str) -> None:
    """Accept every value of the profile."""


HASH = base64_of(32)
PATH = many(HASH, MAX_PATH)
FINALITIES = ("L2 unsafe", "L2 safe", "L2 finalized")
ADDRESS = text(r"0x[0-9a-f]{40}")
WORD = text(r"0x[0-9a-f]{64}")
SHA256_HEX = text(r"[0-9a-f]{64}")
DECIMAL = text(_DECIMAL.pattern)
FREE_TEXT = text(r".{0,4096}")
TRIE_PROOF = many(text(rf"0x(?:[0-9a-f]{{2}}){{1,{MAX_NODE_BYTES}}}"), MAX_TRIE_NODES, least=1)
PACK = members(
    optional=("heads", "model", "compliance", "var"),
    format=text(re.escape(FORMAT)),
    origin=text(r"[^\s+]{1,200}"),
    log_public_key=text(r"[^\s]{1,400}"),
    entries=many(
        members(
            index=integer,
            entry=text(r".{1,2048}"),
            disclosed=table(members(value=anything, salt=HASH, index=integer, count=integer, path=PATH)),
            inclusion=PATH,
        ),
        limit=100_000,
        least=1,
    ),
    checkpoint=text(r".{1,16384}"),
    anchor=members(
        optional=("l2_proof",),
        chain_id=integer,
        contract=ADDRESS,
        log_id=WORD,
        index=integer,
        size=integer,
        root=HASH,
        heads_root=HASH,
        block_number=integer,
        tx_hash=WORD,
        l2_proof=members(
            version=integer,
            output_root=WORD,
            state_root=WORD,
            message_passer_storage_root=WORD,
            block_hash=WORD,
            block_number=integer,
            account_proof=TRIE_PROOF,
            storage_proof=TRIE_PROOF,
            storage_key=WORD,
        ),
    ),
    consistency=PATH,
    heads=members(id=HASH, count=integer, head=HASH, index=integer, of=integer, path=PATH),
    model=members(
        sha256=SHA256_HEX,
        cid=FREE_TEXT,
        feature_schema_sha256=SHA256_HEX,
        features=many(DECIMAL, 4096),
        q_values=many(DECIMAL, 4096, least=1),
        action=text(),
    ),
    compliance=members(
        optional=("context",),
        engine=ADDRESS,
        target=ADDRESS,
        sender=ADDRESS,
        selector=text(r"0x[0-9a-f]{8}"),
        calldata_sha256=base64_of(32),
        block_number=integer,
        block_hash=WORD,
        verdict=text(r"allowed|refused|grace"),
        policy=FREE_TEXT,
        reason=FREE_TEXT,
        context=text(r"0x[0-9a-f]{192}"),
    ),
    var=members(
        attestor=ADDRESS,
        subject=ADDRESS,
        epoch=integer,
        policy_id=WORD,
        previous=WORD,
        anchor_index=integer,
        position_commitment=WORD,
        returns_id=WORD,
        returns_cid=FREE_TEXT,
        public_inputs=many(WORD, 9, least=9),
        proof=text(r"0x[0-9a-f]{512}"),
        tx_hash=WORD,
    ),
)


# --- the checks ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Examination:
    """One pack under examination: each method is a check, returns its detail, and raises Failed or Skipped."""

    pack: Pack
    named: Named
    unreachable: bool = False
    tree: tuple[int, bytes] | None = None
    rpcs: list[Rpc] = field(default_factory=list)
    silent: Unreachable | None = None

    # --- the log

    def log_identity(self) -> str:
        """The log's id follows from origin, key, chain id and the contract that the user names."""
        anchor, named = self.pack["anchor"], self.named
        name, _ = self.log_key()
        if name != self.pack["origin"]:
            raise Failed("the key belongs to another origin")
        if self.log_id(anchor["chain_id"], anchor["contract"]) != from_hex(anchor["log_id"]):
            raise Failed("log_id does not follow from origin, key, chain id and contract")
        if named.contract is None or named.chain_id is None:
            raise Skipped("log not identified: no contract and chain id named")
        if (anchor["contract"], anchor["chain_id"]) != (named.contract, named.chain_id):
            raise Failed("the pack is about another contract or chain than the one named")
        return f"{self.pack['origin']} at {named.contract} on chain {named.chain_id}"

    def log_key(self) -> tuple[str, bytes]:
        """Return the name and Ed25519 key of the verifier key string."""
        parts = self.pack["log_public_key"].split("+", 2)
        content = decode_base64(parts[-1])
        if len(parts) != 3 or len(content) != 33 or content[0] != 1:
            raise Failed("log_public_key is no Ed25519 verifier key")
        if sha256(parts[0].encode() + b"\n" + content).hexdigest()[:8] != parts[1]:
            raise Failed("the key hash belongs to another key")
        return parts[0], content[1:]

    def log_id(self, chain_id: int, contract: str) -> bytes:
        """Return keccak256(abi.encode(string origin, bytes32 key, uint256 chain id, address contract))."""
        _, key = self.log_key()
        return keccak256(words(128, key, chain_id, contract) + tail(self.pack["origin"].encode()))

    # --- entries

    def commitment(self) -> str:
        """Every entry is the canonical JSON of a commitment, an event and version 1."""
        for entry in self.pack["entries"]:
            _content(entry)
        return f"{len(self.pack['entries'])} entries"

    def disclosed_fields(self) -> str:
        """Every disclosed field leads to its entry's commitment, and what must be disclosed is."""
        count = 0
        for entry in self.pack["entries"]:
            shown, content = entry["disclosed"], _content(entry)
            if not shown:
                continue
            for name, disclosure in shown.items():
                if self._commitment_behind(name, disclosure) != decode_base64url(content["c"], 32):
                    raise Failed(f"{name} of entry {entry['index']} does not lead to the commitment")
            if shown.get("event", {}).get("value") != content["t"]:
                raise Failed(f"entry {entry['index']} does not disclose its event")
            places = [shown[name]["index"] for name in sorted(shown)]
            if any(after <= before for before, after in pairwise(places)):
                raise Failed(f"the fields of entry {entry['index']} do not stand in the order of their names")
            if "heads" in self.pack and not {"account", "seq"} <= shown.keys():
                raise Failed(f"entry {entry['index']}: a pack with heads discloses account and seq")
            count += len(shown)
        if "heads" in self.pack and not count:
            raise Failed("a pack with heads discloses account and seq")
        if not count:
            raise Skipped("nothing is disclosed")
        return f"{count} fields"

    def _commitment_behind(self, name: str, disclosure: Mapping[str, Any]) -> bytes:
        salt, total = decode_base64url(disclosure["salt"], 32), disclosure["count"]
        leaf = leaf_hash(b"refi/field/v1\0" + salt + name.encode("ascii") + b"\0" + canonical_json(disclosure["value"]))
        if not total < 2**16:
            raise Failed(f"{name}: more fields than a record can have")
        root = root_from_path(leaf, disclosure["index"], total, hashes(disclosure["path"]))
        return sha256(b"refi/record/v1\0" + total.to_bytes(2, "big") + root).digest()

    def leaf(self) -> str:
        """Every entry is short enough and has a place of its own, in the order of the log."""
        places = [entry["index"] for entry in self.pack["entries"]]
        if any(after <= before for before, after in pairwise(places)):
            raise Failed("the entries do not stand in the order of the log, each once")
        if any(len(entry["entry"].encode()) > MAX_ENTRY_BYTES for entry in self.pack["entries"]):
            raise Failed(f"an entry of more than {MAX_ENTRY_BYTES} bytes")
        return f"index {', '.join(map(str, places[:5]))}{' ...' * (len(places) > 5)}"

    def inclusion(self) -> str:
        """Every entry stands at its index of the checkpoint's tree."""
        size, root = self.checkpoint_tree()
        for entry in self.pack["entries"]:
            leaf = leaf_hash(entry["entry"].encode())
            if root_from_path(leaf, entry["index"], size, hashes(entry["inclusion"])) != root:
                raise Failed(f"entry {entry['index']} is not in the checkpoint's tree")
        return f"in the tree of {size}"

    def checkpoint_signature(self) -> str:
        """The checkpoint is signed by the log's key."""
        body, separator, signatures = self.pack["checkpoint"].rpartition("\n\n")
        name, key = self.log_key()
        key_hash = sha256(name.encode() + b"\n\x01" + key).digest()[:4]
        if not separator or not signatures.endswith("\n"):
            raise Failed("the checkpoint is no signed note")
        found = 0
        for line in signatures[:-1].split("\n"):
            match = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
            if not match:
                raise Failed("a malformed signature line")
            content = decode_base64(match[2])
            if match[1] == name and content[:4] == key_hash:
                _require_signature(key, content[4:], (body + "\n").encode())
                found += 1
        if not found:
            raise Failed("not signed by the log's key")
        self.checkpoint_tree()
        return f"signed by {name}"

    def checkpoint_tree(self) -> tuple[int, bytes]:
        """Return the checkpoint's size and root."""
        if self.tree is None:
            lines = self.pack["checkpoint"].rpartition("\n\n")[0].split("\n")
            if len(lines) != 3 or lines[0] != self.pack["origin"] or not re.fullmatch(r"[1-9][0-9]{0,15}", lines[1]):
                raise Failed("the checkpoint is not origin, size and root of this log")
            root = decode_base64(lines[2])
            if len(root) != 32:
                raise Failed("the checkpoint's root has not 32 bytes")
            self.tree = int(lines[1]), root
        return self.tree

    def consistency(self) -> str:
        """The checkpoint's tree extends the anchored one."""
        size, root = self.checkpoint_tree()
        anchor = self.pack["anchor"]
        anchored = decode_base64url(anchor["root"], 32)
        require_consistency(anchor["size"], anchored, size, root, hashes(self.pack["consistency"]))
        return f"{anchor['size']} to {size}"

    # --- the chain

    def chain(self) -> list[Rpc]:
        """Return the RPCs, each on the chain that the user names."""
        if self.named.contract is None or self.named.chain_id is None:
            raise Skipped("log not identified")
        if not self.named.rpc_urls:
            raise Skipped("no RPC named")
        if self.silent is not None:
            raise self.silent
        if not self.rpcs:
            try:
                self.rpcs = [self._connected(url) for url in self.named.rpc_urls]
            except Unreachable as error:
                self.silent = error
                raise
        return self.rpcs

    def _connected(self, url: str) -> Rpc:
        rpc = Rpc(url, self.named.timeout)
        if rpc.quantity("eth_chainId") != self.named.chain_id:
            raise Unreachable(f"{url} is on another chain")
        return rpc

    def anchor_on_chain(self) -> str:
        """The contract holds the anchor, and the anchor holds every listed entry."""
        anchor = self.pack["anchor"]
        size, _ = self.checkpoint_tree()
        if not all(entry["index"] < anchor["size"] for entry in self.pack["entries"]) or anchor["size"] > size:
            raise Failed("an entry is not below the anchored size, or that is above the checkpoint's")
        expected = self.anchor_word(anchor["index"], anchor["size"], anchor["root"], anchor["heads_root"])
        if "l2_proof" in anchor:
            self._require_l2_proof(anchor["l2_proof"], expected)
        if self.named.contract is None or self.named.chain_id is None:
            raise Skipped("log not identified")
        shown = [*self._proved_by_output_root(), *self._proved_on_l1(expected)]
        if self.named.rpc_urls:
            shown.append(self._held_by_contract(expected))
        if not shown:
            raise Skipped(self._why_unproven())
        return "; ".join(shown)

    def _held_by_contract(self, expected: bytes) -> str:
        index = self.pack["anchor"]["index"]
        for rpc in self.chain():
            if self._anchor_at(rpc, index) != expected:
                raise Failed(f"{rpc.url}: the contract holds no such anchor")
            self._require_anchoring_transaction(rpc)
            self._require_proved_block(rpc)
        finality = min(map(self._finality, self.rpcs), key=FINALITIES.index)
        return f"anchor {index} as {len(self.rpcs)} RPC(s) say, {finality}"

    def _why_unproven(self) -> str:
        if self.named.l1_verifier is not None:
            return "not proven on L1 yet"
        if "l2_proof" in self.pack["anchor"]:
            return "no output root named"
        return "the pack holds no l2_proof" if self.named.l1_output_root is not None else "no RPC named"

    def _require_proved_block(self, rpc: Rpc) -> None:
        proof = self.pack["anchor"].get("l2_proof")
        if proof is None:
            return
        block = rpc.ask("eth_getBlockByNumber", hex(proof["block_number"]), False)
        found = (str(block.get("hash")).lower(), str(block.get("stateRoot")).lower()) if isinstance(block, dict) else ()
        if found != (proof["block_hash"], proof["state_root"]):
            raise Failed(f"{rpc.url}: the l2_proof's block has another hash or state")

    def _require_l2_proof(self, proof: Mapping[str, Any], expected: bytes) -> None:
        """Fail unless account and storage proof lead from the output root to the anchor's word."""
        anchor = self.pack["anchor"]
        parts = (proof["state_root"], proof["message_passer_storage_root"], proof["block_hash"])
        if proof["version"] != 0 or keccak256(words(0, *parts)) != from_hex(proof["output_root"]):
            raise Failed("l2_proof: the output root does not follow from its parts")
        if anchor["block_number"] > proof["block_number"]:
            raise Failed("l2_proof: its block is older than the anchor")
        slot = anchor_slot(anchor["log_id"], anchor["index"])
        if from_hex(proof["storage_key"]) != slot:
            raise Failed("l2_proof: storage_key is not the place of this anchor")
        try:
            storage = _storage_root(proof, anchor["contract"])
            stored = rlp_decode(trie_value(storage, slot, [from_hex(node) for node in proof["storage_proof"]]))
        except Failed as error:
            raise Failed(f"l2_proof: {error}") from error
        if stored != expected.lstrip(b"\0"):
            raise Failed("l2_proof: the contract holds another word")

    def _proved_by_output_root(self) -> list[str]:
        proof, root = self.pack["anchor"].get("l2_proof"), self.named.l1_output_root
        if proof is None or root is None:
            return []
        if proof["output_root"] != root:
            raise Failed("l2_proof: another output root than the one named")
        return [f"proved against output root {root}"]

    def _proved_on_l1(self, expected: bytes) -> list[str]:
        if not self.named.l1_rpc_urls or self.named.l1_verifier is None:
            return []
        anchor, verifier = self.pack["anchor"], self.named.l1_verifier
        call = selector("provenAt(bytes32,uint256)") + words(anchor["log_id"], anchor["index"])
        is_proven = True
        for url in self.named.l1_rpc_urls:
            proven = Rpc(url, self.named.timeout).read(verifier, call)[:32]
            if proven not in {expected, bytes(32)}:
                raise Failed(f"{url}: another anchor is proven on L1")
            is_proven = is_proven and proven == expected
        return [f"proven on L1 by {verifier}"] if is_proven else []

    def anchor_word(self, index: int, size: int, root: str, heads_root: str) -> bytes:
        """Return the word that the contract stores for an anchor."""
        roots = decode_base64url(root, 32), decode_base64url(heads_root, 32)
        return keccak256(words(self.pack["anchor"]["log_id"], index, size, *roots))

    def _anchor_at(self, rpc: Rpc, index: int) -> bytes:
        anchor = self.pack["anchor"]
        answer = rpc.call(anchor["contract"], selector("anchorAt(bytes32,uint256)") + words(anchor["log_id"], index))
        return b"" if isinstance(answer, Reverted) else answer

    def _require_anchoring_transaction(self, rpc: Rpc) -> None:
        anchor = self.pack["anchor"]
        receipt = rpc.ask("eth_getTransactionReceipt", anchor["tx_hash"])
        if not isinstance(receipt, dict) or str(receipt.get("blockNumber")).lower() != hex(anchor["block_number"]):
            raise Failed(f"{rpc.url}: tx_hash is not in block_number")
        topics = ["0x" + part.hex() for part in (_ANCHORED, from_hex(anchor["log_id"]), word(anchor["index"]))]
        data = words(anchor["size"], decode_base64url(anchor["root"], 32), decode_base64url(anchor["heads_root"], 32))
        logs = receipt.get("logs")
        for log in logs if isinstance(logs, list) else []:
            if isinstance(log, dict) and _event(log) == (anchor["contract"], topics, "0x" + data.hex()):
                return
        raise Failed(f"{rpc.url}: tx_hash is not the anchor's transaction")

    def _finality(self, rpc: Rpc) -> str:
        number = self.pack["anchor"]["block_number"]
        for tag in ("finalized", "safe"):
            try:
                block = rpc.ask("eth_getBlockByNumber", tag, False)
            except Unreachable:
                continue
            if isinstance(block, dict) and _number(block.get("number")) >= number:
                return f"L2 {tag}"
        return "L2 unsafe"

    # --- the account

    def account_chain(self) -> str:
        """The account's entries from the first disclosed one to its head follow one another without a gap."""
        chain = [entry for entry in self.pack["entries"] if {"account", "seq"} <= entry["disclosed"].keys()]
        if not chain:
            raise Skipped("the pack discloses no account")
        chain.sort(key=lambda entry: _whole(entry, "seq"))
        if _whole(chain[0], "seq") == 1 and "prev" in chain[0]["disclosed"] and _shown(chain[0], "prev") != NO_RECORD:
            raise Failed("the account's first record names one before it")
        heads = self.pack.get("heads")
        if heads is not None and len(chain) == 1 and _whole(chain[0], "seq") < heads["count"]:
            raise Skipped("the account's later entries are not in the pack")
        for before, entry in pairwise(chain):
            _require_next(before, entry)
        last = chain[-1]
        if heads is None:
            raise Skipped(
                f"seq {_whole(chain[0], 'seq')} to {_whole(last, 'seq')} without a gap; the pack holds no heads"
            )
        if _whole(last, "seq") != heads["count"] or _content(last)["c"] != heads["head"]:
            raise Failed("the last entry is not the account's head")
        return f"seq {_whole(chain[0], 'seq')} to {heads['count']}"

    def heads(self) -> str:
        """The account's head is in the anchored heads tree and fits the disclosed records."""
        if "heads" not in self.pack:
            raise Skipped("the pack holds no heads")
        heads = self.pack["heads"]
        if heads["count"] < 1:
            raise Failed("a head without records")
        content = decode_base64url(heads["id"], 32) + struct.pack(">Q", heads["count"])
        content += decode_base64url(heads["head"], 32)
        root = root_from_path(leaf_hash(content), heads["index"], heads["of"], hashes(heads["path"]))
        bound = sha256(b"refi/heads/v1\0" + struct.pack(">Q", heads["of"]) + root).digest()
        if bound != decode_base64url(self.pack["anchor"]["heads_root"], 32):
            raise Failed("the head is not in the anchored heads tree")
        for entry in self.pack["entries"]:
            if "account" in entry["disclosed"] and _shown(entry, "account") != heads["id"]:
                raise Failed("the head belongs to another account")
            if "seq" in entry["disclosed"]:
                _require_below_head(entry, heads)
        return f"{heads['count']} records, account {heads['index']} of {heads['of']}"

    # --- the model

    def model_hash(self) -> str:
        """The named model file is the one that the entry says decided."""
        model = self._section("model")
        self._disclosing(model=model["sha256"])
        weights, description = self._model_files()
        if sha256(weights + description).hexdigest() != model["sha256"]:
            raise Failed("the model file has another hash")
        _require_cid(model["cid"], weights)
        return str(model["sha256"])

    def replayed_decision(self) -> str:
        """The model, given the features of the one entry that it decided, takes the action of that entry."""
        model = self._section("model")
        self._disclosing(**_decided(model))
        weights, content = self._model_files()
        if sha256(weights + content).hexdigest() != model["sha256"]:
            raise Failed("the model file has another hash")
        description = _described(content)
        schema = sha256(canonical_json(description["feature_schema"])).hexdigest()
        if schema != model["feature_schema_sha256"]:
            raise Failed("the model has another feature schema")
        values = q_values(weights, description, [float(text) for text in model["features"]])
        claimed = [float(text) for text in model["q_values"]]
        if len(values) != len(claimed) or len(values) != len(description["actions"]):
            raise Failed("the model has another number of actions")
        if not all(isfinite(value) for value in values):
            raise Failed("the model's Q-values are not finite")
        distance = max(abs(value - other) for value, other in zip(values, claimed, strict=True))
        if not distance <= Q_TOLERANCE:
            raise Failed(f"Q-values differ by {distance:.3g}")
        action = description["actions"][values.index(max(values))]
        if action != model["action"]:
            raise Failed(f"the model decides {str(action)[:40]}")
        return f"{action}, Q-values within {distance:.1e}"

    def _model_files(self) -> tuple[bytes, bytes]:
        if self.named.model_path is None:
            raise Skipped("no model file named")
        weights = read_file(self.named.model_path, MAX_MODEL_BYTES)
        return weights, read_file(self.named.model_path.with_suffix(".json"), MAX_PACK_BYTES)

    # --- compliance

    def compliance_receipt(self) -> str:
        """The rules on chain, asked again at the same block about the same call, give the same verdict."""
        receipt = self._section("compliance")
        wanted = {"compliance_receipt": sha256(canonical_json(receipt)).hexdigest()}
        first = self._disclosing(**wanted)
        if "model" in self.pack and not self._is_decided(first):
            raise Failed("the receipt and the model's decision are those of two entries")
        # An order of unknown fate and its fill are two entries of one receipt.
        for entry in self.pack["entries"]:
            if _shows(entry, wanted):
                calldata = _judged_calldata(entry, receipt)
        for name, address in (("engine", self.named.engine), ("target", self.named.target)):
            if address is not None and receipt[name] != address:
                raise Failed(f"the receipt names another {name}")
        rpcs = self.chain()
        said = {self._verdict_again(rpc, receipt, calldata) for rpc in rpcs}
        if self.named.engine is None or self.named.target is None:
            raise Skipped(f"engine not named; the pack's own engine says {receipt['verdict']}")
        if receipt["verdict"] == "grace":
            verdicts = " and ".join(sorted(said))
            return f"grace for a sale while the rules did not answer: at block {receipt['block_number']} {verdicts}"
        return f"{receipt['verdict']} at block {receipt['block_number']}{_paper_mark(receipt)}"

    def _verdict_again(self, rpc: Rpc, receipt: Mapping[str, Any], calldata: bytes) -> str:
        block = rpc.ask("eth_getBlockByNumber", hex(receipt["block_number"]), False)
        if not isinstance(block, dict) or str(block.get("hash")).lower() != receipt["block_hash"]:
            raise Failed(f"{rpc.url}: block_number has another hash")
        # Where there is no contract yet, every call succeeds and says nothing.
        if not rpc.code(receipt["engine"], receipt["block_number"]):
            raise Failed(f"{rpc.url}: there is no engine at that block")
        data = tail(calldata[4:])
        context = tail(from_hex(receipt.get("context", "0x")))
        payload = calldata[:4].ljust(32, b"\0") + words(receipt["sender"], 128, 128 + len(data)) + data + context
        call = selector("check((bytes4,address,bytes,bytes))") + word(32) + payload
        answer = rpc.call(receipt["engine"], call, receipt["block_number"], receipt["target"])
        verdict = "refused" if isinstance(answer, Reverted) else "allowed"
        if receipt["verdict"] == "grace":
            return verdict
        if verdict != receipt["verdict"]:
            raise Failed(f"{rpc.url}: the rules say {verdict}")
        if isinstance(answer, Reverted) and answer.data[:4] == _REJECTED:
            policy = "0x" + answer.data[16:36].hex()
            if receipt["policy"].startswith("0x") and receipt["policy"] != policy:
                raise Failed(f"{rpc.url}: policy {policy} refused")
        return verdict

    # --- value at risk

    def var_proof(self) -> str:
        """The proof holds for the policy on chain, the published returns, and this log's anchor."""
        claim = self._section("var")
        stated = [int(value, 16) for value in claim["public_inputs"]]
        attestor = self._attestor(claim)
        if any(value >= SCALAR_FIELD for value in stated):
            raise Failed("a public input is above the field order")
        bound = int.from_bytes(self._attestation(claim, attestor), "big") % SCALAR_FIELD
        if stated[:2] != [bound, int(claim["position_commitment"], 16)]:
            raise Failed("the proof is bound to something else")
        found = {self._policy(rpc, attestor, claim) for rpc in self.chain()}
        if len(found) != 1:
            raise Failed("the RPCs disagree about the policy or the returns")
        policy, published = found.pop()
        if stated[2:6] != [*_limbs(policy.universe_id), policy.limit, policy.es_limit]:
            raise Failed("universe or limits are not the policy's")
        if self.named.circuit_hash not in {None, "0x" + policy.circuit_hash.hex()}:
            raise Failed(f"the policy's circuit is another: 0x{policy.circuit_hash.hex()}")
        if self.named.returns_path is None:
            raise Skipped("no returns file named")
        self._require_fold(claim, policy, stated)
        require_groth16(policy.key, from_hex(claim["proof"]), public_inputs(stated))
        return f"{policy.shown()}, {policy.pinned()}, returns {published}"

    def _require_fold(self, claim: Mapping[str, Any], policy: VarPolicy, stated: Sequence[int]) -> None:
        content = read_file(self._returns_file(), MAX_PACK_BYTES)
        market = read_returns(content)
        _require_cid(claim["returns_cid"], content)
        if market.universe_id != policy.universe_id or market.epoch != claim["epoch"]:
            raise Failed("the returns file is about another universe or epoch")
        if (len(market.prices), len(market.rows)) != (policy.instruments, policy.window):
            raise Failed("the returns file has another size than the policy")
        if market.returns_id != from_hex(claim["returns_id"]):
            raise Failed("the returns file is not the published one")
        if fold(market.prices, market.rows, stated[6], stated[7]) != stated[8]:
            raise Failed("the fold of the returns differs: the daily losses are not those of the positions")

    def _returns_file(self) -> Path:
        if self.named.returns_path is None:
            raise Skipped("no returns file named")
        return self.named.returns_path

    def _policy(self, rpc: Rpc, attestor: str, claim: Mapping[str, Any]) -> tuple[VarPolicy, str]:
        """Return the claim's policy, and whether a second publisher signed the returns that the oracle published."""
        content = rpc.read(attestor, selector("policyOf(bytes32)") + word(claim["policy_id"]), POLICY_BYTES)
        policy = read_policy(content, lambda verifier: verifying_key(rpc, verifier))
        oracle = "0x" + rpc.read(attestor, selector("ORACLE()"))[12:32].hex()
        asked = words(policy.universe_id, claim["epoch"])
        if rpc.read(oracle, selector("returnsIdOf(bytes32,uint64)") + asked)[:32] != from_hex(claim["returns_id"]):
            raise Failed(f"{rpc.url}: the oracle published other returns")
        countersigned = any(rpc.read(oracle, selector("isCountersigned(bytes32,uint64)") + asked)[:32])
        return policy, "countersigned" if countersigned else "of one publisher"

    def _attestation(self, claim: Mapping[str, Any], attestor: str) -> bytes:
        place = (claim["subject"], claim["epoch"], claim["policy_id"], claim["previous"])
        bound = (self._chain_id(), attestor, *place, self.pack["anchor"]["log_id"], claim["anchor_index"])
        return attestation_id(bound, claim["position_commitment"], claim["returns_id"])

    def _chain_id(self) -> int:
        if self.named.chain_id is None:
            raise Skipped("log not identified")
        return self.named.chain_id

    def _attestor(self, claim: Mapping[str, Any]) -> str:
        if self.named.attestor is None:
            raise Skipped("attestor not named")
        if claim["attestor"] != self.named.attestor:
            raise Failed("the pack names another attestor")
        return self.named.attestor

    def var_binding(self) -> str:
        """The attested commitment is that of the subject's epoch.closed record, anchored before the attestation."""
        claim = self._section("var")
        wanted = {key: claim[key] for key in ("subject", "epoch", "position_commitment")} | {"event": "epoch.closed"}
        closed = [entry for entry in self.pack["entries"] if _shows(entry, wanted)]
        if not closed:
            raise Failed("no entry discloses this subject's epoch.closed with this commitment")
        same = {key: wanted[key] for key in ("subject", "epoch", "event")}
        if len([e for e in self.pack["entries"] if _shows(e, same)]) > 1:
            raise Failed("two entries close the same epoch")
        attestor = self._attestor(claim)
        expected = self._attestation(claim, attestor)
        arguments = words(claim["subject"], claim["epoch"], claim["policy_id"])
        for rpc in self.chain():
            if closed[0]["index"] >= self._anchored_size(rpc, claim["anchor_index"]):
                raise Failed("the record is not below the named anchor's size")
            if rpc.read(attestor, selector("attestationAt(address,uint64,bytes32)") + arguments)[:32] != expected:
                raise Failed(f"{rpc.url}: the contract holds another attestation")
            self._require_attesting_transaction(rpc, claim, expected)
        return f"epoch {claim['epoch']} of {claim['subject']}"

    def _require_attesting_transaction(self, rpc: Rpc, claim: Mapping[str, Any], attestation: bytes) -> None:
        receipt = rpc.ask("eth_getTransactionReceipt", claim["tx_hash"])
        topics = [_ATTESTED, *(word(claim[name]) for name in ("subject", "epoch", "policy_id"))]
        wanted = (claim["attestor"], ["0x" + topic.hex() for topic in topics], "0x" + attestation.hex())
        logs = receipt.get("logs") if isinstance(receipt, dict) else None
        events = [_event(log) for log in logs if isinstance(log, dict)] if isinstance(logs, list) else []
        if not any((address, listed, data[:66]) == wanted for address, listed, data in events):
            raise Failed(f"{rpc.url}: tx_hash is not the attestation's transaction")
        # (-A, -B, C) and others prove the same: the proof is the one that the contract saw.
        transaction = rpc.ask("eth_getTransactionByHash", claim["tx_hash"])
        handed = str(transaction.get("input")).lower() if isinstance(transaction, dict) else ""
        if claim["proof"][2:] not in handed:
            raise Failed(f"{rpc.url}: the attestation's transaction holds another proof")

    def _anchored_size(self, rpc: Rpc, index: int) -> int:
        anchor = self.pack["anchor"]
        if index == anchor["index"]:
            size, content = (
                anchor["size"],
                self.anchor_word(index, anchor["size"], anchor["root"], anchor["heads_root"]),
            )
        else:
            topics = ["0x" + part.hex() for part in (_ANCHORED, from_hex(anchor["log_id"]), word(index))]
            query = {"address": anchor["contract"], "topics": topics, "fromBlock": "0x0", "toBlock": "latest"}
            logs = rpc.ask("eth_getLogs", query)
            data = (
                logs[0].get("data") if isinstance(logs, list) and len(logs) == 1 and isinstance(logs[0], dict) else ""
            )
            if not isinstance(data, str) or not re.fullmatch(r"0x[0-9a-fA-F]{192}", data):
                raise Failed(f"{rpc.url}: the log has no anchor {index}")
            size = int(data[2:66], 16)
            content = keccak256(words(anchor["log_id"], index) + from_hex(data))
        if self._anchor_at(rpc, index) != content:
            raise Failed(f"{rpc.url}: the contract holds no such anchor")
        return int(size)

    # --- shared

    def _section(self, name: str) -> dict[str, Any]:
        section: dict[str, Any] | None = self.pack.get(name)
        if section is None:
            raise Skipped(f"the pack holds no {name}")
        return section

    def _disclosing(self, **wanted: str) -> Mapping[str, Any]:
        for entry in self.pack["entries"]:
            if _shows(entry, wanted):
                found: Mapping[str, Any] = entry
                return found
        raise Failed(f"no entry discloses {' and '.join(wanted)} with this value")

    def _is_decided(self, entry: Mapping[str, Any]) -> bool:
        # A model part that fits no entry at all fails its own checks.
        wanted = _decided(self.pack["model"])
        return _shows(entry, wanted) or not any(_shows(other, wanted) for other in self.pack["entries"])


def _judged_calldata(entry: Mapping[str, Any], receipt: Mapping[str, Any]) -> bytes:
    executed, paper = _content(entry)["t"] in EXECUTED, _is_paper(receipt)
    if executed and receipt["verdict"] == "refused":
        raise Failed("the order was executed although the rules refused it")
    if receipt["verdict"] == "grace":
        if _shown(entry, "model") or _named(entry, "side") != "sell":
            raise Failed("grace is for a person's sale only")
    elif paper and executed and _named(entry, "venue") != PAPER_VENUE:
        raise Failed("an order that was judged as one on paper went to another venue")
    calldata = _order_calldata(entry)
    if from_hex(receipt["selector"]) != calldata[:4]:
        raise Failed("the selector is not that of submitOrder")
    if decode_base64url(receipt["calldata_sha256"], 32) != sha256(calldata).digest():
        raise Failed("the disclosed order is not the one that was judged")
    return calldata


def _is_paper(receipt: Mapping[str, Any]) -> bool:
    context = from_hex(receipt.get("context", "0x"))
    if context and (context[:32] != CONTEXT_TAG or int.from_bytes(context[64:], "big") > 1):
        raise Failed("the context is not one of an order")
    return bool(context) and context[-1] == 1


def _paper_mark(receipt: Mapping[str, Any]) -> str:
    return ", on paper" if _is_paper(receipt) else ""


def _named(entry: Mapping[str, Any], name: str) -> Any:
    value = _shown(entry, name)
    if value is None:
        raise Skipped(f"the order's {name} is not disclosed")
    return value


def _require_cid(cid: str, content: bytes) -> None:
    # Empty where the file is not pinned.
    if cid and cid != file_cid(content):
        raise Failed("the file named is not the one behind the CID")


def _storage_root(proof: Mapping[str, Any], contract: str) -> bytes:
    nodes = [from_hex(node) for node in proof["account_proof"]]
    account = rlp_decode(trie_value(from_hex(proof["state_root"]), from_hex(contract), nodes))
    # Nonce, balance, storage root, code hash.
    if not isinstance(account, list) or [type(part) for part in account] != [bytes] * 4:
        raise Failed("that is no account")
    root: bytes = account[2]
    return root


def _require_signature(key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Failed("the signature does not verify") from error


def _require_next(before: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    if not _equal(_shown(entry, "account"), _shown(before, "account")):
        raise Failed("entries of two accounts")
    if _whole(entry, "seq") != _whole(before, "seq") + 1:
        raise Failed(f"a gap after seq {_whole(before, 'seq')}")
    if entry["index"] <= before["index"]:
        raise Failed("the log's order is not the account's")
    if _shown(entry, "prev") != _content(before)["c"]:
        raise Failed(f"prev of seq {_whole(entry, 'seq')} is not the commitment before it")


def _require_below_head(entry: Mapping[str, Any], heads: Mapping[str, Any]) -> None:
    seq = _whole(entry, "seq")
    if seq > heads["count"]:
        raise Failed("an entry comes after the account's head")
    if seq == heads["count"] and _content(entry)["c"] != heads["head"]:
        raise Failed("the account's last entry is not its head")


def _content(entry: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = parse_json(entry["entry"])
    members(c=HASH, t=text(), v=integer)(content, "entry")
    if content["v"] != 1 or canonical_json(content) != entry["entry"].encode():
        raise Failed(f"entry {entry['index']} is not canonical JSON of version 1")
    return content


def _equal(value: object, other: object) -> bool:
    # In Python True == 1; in canonical JSON they differ.
    return type(value) is type(other) and value == other


def _shows(entry: Mapping[str, Any], wanted: Mapping[str, object]) -> bool:
    return all(_equal(_shown(entry, name), value) for name, value in wanted.items())


def _decided(model: Mapping[str, Any]) -> dict[str, str]:
    features = sha256(canonical_json(model["features"])).hexdigest()
    return {"model": model["sha256"], "features": features, "action": model["action"]}


def _shown(entry: Mapping[str, Any], name: str) -> Any:
    return entry["disclosed"].get(name, {}).get("value")


def _whole(entry: Mapping[str, Any], name: str) -> int:
    value = _shown(entry, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Failed(f"{name} is not a positive whole number")
    return value


def _number(value: object) -> int:
    return int(value, 16) if isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value) else -1


def _event(log: Mapping[str, Any]) -> tuple[str, list[str], str]:
    topics = log.get("topics")
    listed = [str(topic).lower() for topic in topics] if isinstance(topics, list) else []
    return str(log.get("address")).lower(), listed, str(log.get("data")).lower()


def _order_calldata(entry: Mapping[str, Any]) -> bytes:
    subject, instrument, notional = (_shown(entry, name) for name in ("subject", "instrument", "notional"))
    if None in (subject, instrument, notional):
        raise Skipped("the order's subject, instrument and notional are not disclosed")
    ADDRESS(subject, "subject")
    text(r"[\x21-\x7e]{1,32}")(instrument, "instrument")
    DECIMAL(notional, "notional")
    model = str(_shown(entry, "model") or "").removeprefix("0x") or "0" * 64
    SHA256_HEX(model, "model")
    amount = scaled(notional, 6)
    if not 0 <= amount < 2**256:
        raise Failed("the notional is out of range")
    ticker = instrument.encode("ascii").ljust(32, b"\0")
    return selector("submitOrder(address,bytes32,uint256,bytes32)") + words(subject, ticker, amount, "0x" + model)


# --- replaying a decision --------------------------------------------------------------------------------------------


def _described(content: bytes) -> dict[str, Any]:
    description = parse_json(content)
    if not isinstance(description, dict) or canonical_json(description) != content:
        raise Failed("the model's description is not canonical JSON")
    numbers = many(DECIMAL, 4096)
    for name, shape in (("actions", many(text(), 4096, least=1)), ("feature_schema", anything)):
        shape(description.get(name), name)
    members(clip=DECIMAL, mean=numbers, std=numbers)(description.get("normaliser"), "normaliser")
    return description


def q_values(weights: bytes, description: Mapping[str, Any], features: Sequence[float]) -> list[float]:
    """Return the network's action values for one row of raw features: scaled, clipped, relu between the layers."""
    scale = description["normaliser"]
    clip, mean, std = float(scale["clip"]), [*map(float, scale["mean"])], [*map(float, scale["std"])]
    if not len(features) == len(mean) == len(std) or not all(std) or clip < 0:
        raise Failed("the features do not fit the model")
    values = [max(-clip, min(clip, (x - m) / s)) for x, m, s in zip(features, mean, std, strict=True)]
    tensors = read_safetensors(weights)
    count = sum(name.endswith(".weight") for name in tensors)
    if not count:
        raise Failed("the model has no layers")
    for layer in range(count):
        matrix, bias = tensors.get(f"layers.{layer}.weight"), tensors.get(f"layers.{layer}.bias")
        if matrix is None or bias is None or matrix[0] != [len(bias[1]), len(values)]:
            raise Failed("the model's layers do not fit")
        rows, width = matrix[1], len(values)
        sums = [
            offset + sum(w * v for w, v in zip(rows[at * width : (at + 1) * width], values, strict=True))
            for at, offset in enumerate(bias[1])
        ]
        values = sums if layer == count - 1 else [max(0.0, value) for value in sums]
    return values


def read_safetensors(content: bytes) -> dict[str, tuple[list[int], tuple[float, ...]]]:
    """Read float32 tensors: name to shape and values, row by row."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(len(content) - 8, 2**20):
        raise Failed("not a safetensors file")
    header, body = parse_json(content[8 : 8 + length].rstrip(b" ")), memoryview(content)[8 + length :]
    tensors, left = {}, len(body)
    for name, entry in header.items() if isinstance(header, dict) else ():
        if name == "__metadata__":
            continue
        members(dtype=text("F32"), shape=many(integer, 2), data_offsets=many(integer, 2, least=2))(entry, "tensor")
        start, end = entry["data_offsets"]
        size = 1
        for side in entry["shape"]:
            size *= side
        left -= end - start
        if not start <= end <= len(body) or end - start != 4 * size or left < 0:
            raise Failed("a tensor's place does not fit its shape")
        tensors[name] = entry["shape"], struct.unpack(f"<{size}f", body[start:end])
        # Python's and torch's relu differ on what is no number.
        if not all(map(isfinite, tensors[name][1])):
            raise Failed("a weight is not finite")
    return tensors


# --- value at risk: the fold and Groth16 -----------------------------------------------------------------------------

SCALAR_FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617


# The widths that the statement of this format has: six quantities and three checked days fit one field element.
QUANTITY_BITS, LIMIT_BITS, PNL_BITS = 40, 82, 83
STATEMENT_VALUES, PROOF_INPUTS = 9, 3
POLICY_BYTES = 14 * 32
KEY_BYTES = 448 + 64 * (PROOF_INPUTS + 1)


@dataclass(frozen=True, slots=True)
class VarPolicy:
    """A policy as the attestor holds it, with the verifying key's bytes; limits in 1e-16 USD, es_limit 0: no ES."""

    universe_id: bytes
    instruments: int
    window: int
    k: int
    tail: tuple[int, int]
    bits: tuple[int, int, int]
    limit: int
    es_limit: int
    circuit_hash: bytes
    key: bytes

    def require_sound(self) -> None:
        """Fail unless the numbers are those of a statement that means what `shown` says."""
        mass, parts = self.tail
        # ceil(a/b) in integers.
        if not mass or not parts or gcd(mass, parts) != 1 or self.k != -(-mass // parts) or self.k > self.window:
            raise Failed(f"k = {self.k} of {self.window} days is not the tail {mass}/{parts}")
        if self.bits != (QUANTITY_BITS, LIMIT_BITS, PNL_BITS) or not self.instruments:
            raise Failed("the policy is that of another statement")
        if max(self.limit, self.es_limit) >= 1 << LIMIT_BITS:
            raise Failed("a limit is out of range")

    def shown(self) -> str:
        """Say what a proof under this policy shows."""
        bounds = f"VaR within {dollars(self.limit)} USD"
        if self.es_limit:
            bounds += f" and ES within {dollars(self.es_limit)} USD"
        return f"{bounds}, k = {self.k} of {self.window} days, {self.instruments} instruments"

    def pinned(self) -> str:
        """Name the circuit as the policy does, and the key, which alone decides what is proved and who can forge it."""
        return f"circuit 0x{self.circuit_hash.hex()}, key 0x{keccak256(self.key).hex()}"


def read_policy(content: bytes, key_of: Callable[[str], bytes]) -> VarPolicy:
    """Return the policy in policyOf's words with its verifier's key; fail where it is none, or not a sound one."""
    parts = [content[at : at + 32] for at in range(0, POLICY_BYTES, 32)]
    instruments, window, k, mass, denominator, quantity, limit_bits, pnl, limit, es_limit = (
        int.from_bytes(part, "big") for part in parts[2:12]
    )
    if not any(parts[1]):
        raise Failed("the attestor has no such policy")
    key = key_of("0x" + parts[1][12:].hex())
    if keccak256(key) != parts[13] or len(key) != KEY_BYTES:
        raise Failed("the verifying key is not the policy's")
    bits = (quantity, limit_bits, pnl)
    policy = VarPolicy(
        parts[0], instruments, window, k, (mass, denominator), bits, limit, es_limit, circuit_hash=parts[12], key=key
    )
    policy.require_sound()
    return policy


def verifying_key(rpc: Rpc, verifier: str, block: int | None = None) -> bytes:
    """Return the packed key that a verifier contract holds."""
    answer = rpc.read(verifier, selector("verifyingKey()"), 64, block)
    return answer[64 : 64 + int.from_bytes(answer[32:64], "big")]


def dollars(units: int) -> str:
    """Write units of 1e-16 USD in plain notation."""
    return f"{Decimal(units).scaleb(-16).normalize():f}"


def attestation_id(bound: Sequence[int | str | bytes], commitment: str | bytes, returns_id: str | bytes) -> bytes:
    """Return an attestation's id: keccak256 of the context in the field, the commitment and the returns' id.

    `bound`: chain id, attestor, subject, epoch, policy id, previous attestation, log id, anchor index.
    """
    context = int.from_bytes(keccak256(words(*bound)), "big") % SCALAR_FIELD
    return keccak256(words(context, commitment, returns_id))


@dataclass(frozen=True, slots=True)
class Market:
    """A published matrix: prices at 1e-4 USD, returns at 1e-6, rows oldest first."""

    universe_id: bytes
    epoch: int
    prices: list[int]
    rows: list[list[int]]
    returns_id: bytes


def read_returns(content: bytes) -> Market:
    """Read the pinned returns file and compute its ids."""
    data = parse_json(content)
    tickers, prices = many(text(r"[\x21-\x7e]{1,32}"), 4096, least=1), many(DECIMAL, 4096, least=1)
    members(universe=tickers, epoch=integer, prices=prices, returns=text(r"[A-Za-z0-9_-]+"), v=integer)(data, "returns")
    units = [scaled(price, 4) for price in data["prices"]]
    width = len(units)
    packed = decode_base64url(data["returns"], len(data["returns"]) * 3 // 4)
    if data["v"] != 1 or len(data["universe"]) != width:
        raise Failed("the returns file is malformed")
    if not all(0 <= unit < 2**32 for unit in units):
        raise Failed("a price is out of range")
    universe = b"".join(ticker.encode("ascii").ljust(32, b"\0") for ticker in data["universe"])
    return market(keccak256(words(32, width) + universe), data["epoch"], units, packed)


def market(universe_id: bytes, epoch: int, prices: list[int], packed: bytes) -> Market:
    """Return a matrix with its rows and its id."""
    width = len(prices)
    if not width or not packed or len(packed) % (3 * width):
        raise Failed("the returns have another width than the prices")
    listed = words(width, *prices)
    head = words(universe_id, epoch, 128, 128 + len(listed))
    cells = [int.from_bytes(packed[at : at + 3], "big", signed=True) for at in range(0, len(packed), 3)]
    rows = [cells[at : at + width] for at in range(0, len(cells), width)]
    return Market(universe_id, epoch, prices, rows, keccak256(head + listed + tail(packed)))


def fold(prices: Sequence[int], rows: Sequence[Sequence[int]], r: int, z: int) -> int:
    """Return sum_n z^n price_n sum_w r^w R[w][n] in the field: the equation that the circuit leaves to its verifier."""
    columns = [0] * len(prices)
    for row in reversed(rows):
        columns = [(total * r + cell) % SCALAR_FIELD for total, cell in zip(columns, row, strict=True)]
    return polynomial([price * total for price, total in zip(prices, columns, strict=True)], z)


def polynomial(coefficients: Sequence[int], at: int) -> int:
    """Return sum_i coefficients_i at^i in the field."""
    total = 0
    for coefficient in reversed(coefficients):
        total = (total * at + coefficient) % SCALAR_FIELD
    return total


def public_inputs(statement: Sequence[int]) -> tuple[int, int, int]:
    """Return (z, y, x): x = keccak256 of the statement's words in the field, y = its polynomial at x."""
    x = int.from_bytes(keccak256(words(*statement)), "big") % SCALAR_FIELD
    return statement[7], polynomial(statement, x), x


def _limbs(content: bytes) -> list[int]:
    return [int.from_bytes(content[:16], "big"), int.from_bytes(content[16:], "big")]


class Curves:
    """Reads BN254 points in EIP-197 order, refusing what is not in its group."""

    def __init__(self) -> None:
        from py_ecc import optimized_bn128  # noqa: PLC0415  (needed for this one check)

        self.bn = optimized_bn128

    def coordinates(self, content: bytes, at: int, count: int) -> list[int]:
        """Return base field elements."""
        values = [int.from_bytes(content[at + 32 * part : at + 32 * part + 32], "big") for part in range(count)]
        if any(value >= self.bn.field_modulus for value in values):
            raise Failed("a coordinate is above the base field's order")
        return values

    def g1(self, content: bytes, at: int) -> Any:
        """Return a point of G1."""
        x, y = self.coordinates(content, at, 2)
        point = (self.bn.FQ(x), self.bn.FQ(y), self.bn.FQ(1)) if x or y else self.bn.Z1
        if not self.bn.is_on_curve(point, self.bn.b):
            raise Failed("a point is not on its curve")
        return point

    def g2(self, content: bytes, at: int) -> Any:
        """Return a point of G2."""
        x1, x0, y1, y0 = self.coordinates(content, at, 4)
        x, y, one = self.bn.FQ2([x0, x1]), self.bn.FQ2([y0, y1]), self.bn.FQ2([1, 0])
        point = (x, y, one) if x0 or x1 or y0 or y1 else self.bn.Z2
        if not self.bn.is_on_curve(point, self.bn.b2) or not self.bn.is_inf(
            self.bn.multiply(point, self.bn.curve_order)
        ):
            raise Failed("a point is not in its group")
        return point


def require_groth16(key: bytes, proof: bytes, inputs: Sequence[int]) -> None:
    """Fail unless e(A, B) = e(alpha, beta) e(IC, gamma) e(C, delta)."""
    curves = Curves()
    bn = curves.bn
    alpha, beta, gamma, delta = curves.g1(key, 0), curves.g2(key, 64), curves.g2(key, 192), curves.g2(key, 320)
    # gamma = -delta cancels as gamma = delta does; a point at infinity takes its pairing out of the equation.
    doubled = any(bn.eq(one, other) for one in (delta, bn.neg(delta)) for other in (gamma, bn.G2))
    if doubled or any(bn.is_inf(point) for point in (alpha, beta, gamma, delta)):
        raise Failed("the verifying key has no second phase: anything can be proved with it")
    combined = curves.g1(key, 448)
    for at, value in enumerate(inputs, start=1):
        combined = bn.add(combined, bn.multiply(curves.g1(key, 448 + 64 * at), value))
    product = bn.pairing(curves.g2(proof, 64), bn.neg(curves.g1(proof, 0)), final_exponentiate=False)
    for left, right in ((beta, alpha), (gamma, combined), (delta, curves.g1(proof, 192))):
        product = product * bn.pairing(left, right, final_exponentiate=False)
    if bn.final_exponentiate(product) != bn.FQ12.one():
        raise Failed("the proof does not verify")


# --- the whole -------------------------------------------------------------------------------------------------------


def read_start(path: Path, limit: int) -> bytes:
    """Read a file that the user named, one byte more than the limit at most."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise Failed(f"{path.name} cannot be read: {error.strerror}") from error


def read_file(path: Path, limit: int) -> bytes:
    """Read a file that the user named, failing where it is too large."""
    content = read_start(path, limit)
    if len(content) > limit:
        raise Failed(f"{path.name} is larger than {limit} bytes")
    return content


def verify(
    pack_bytes: bytes,
    *,
    contract: str | None = None,
    chain_id: int | None = None,
    rpc_urls: Sequence[str] = (),
    model_path: Path | None = None,
    returns_path: Path | None = None,
    attestor: str | None = None,
    engine: str | None = None,
    target: str | None = None,
    l1_output_root: str | None = None,
    l1_rpc_urls: Sequence[str] = (),
    l1_verifier: str | None = None,
    circuit_hash: str | None = None,
    timeout: float = 10.0,
) -> Report:
    """Examine a pack; addresses and output root are what the user trusts, the timeout is in seconds a request."""
    named = Named(
        contract=_lower(contract),
        chain_id=chain_id,
        attestor=_lower(attestor),
        engine=_lower(engine),
        target=_lower(target),
        rpc_urls=tuple(rpc_urls),
        model_path=model_path,
        returns_path=returns_path,
        l1_output_root=_lower(l1_output_root),
        l1_rpc_urls=tuple(l1_rpc_urls),
        l1_verifier=_lower(l1_verifier),
        circuit_hash=_lower(circuit_hash),
        timeout=timeout,
    )
    return examine(pack_bytes, named)


def examine(pack_bytes: bytes, named: Named, rpcs: Sequence[Rpc] = ()) -> Report:
    """Examine a pack with what the user names; `rpcs` are those already connected, in the order of their URLs."""
    identified = named.contract is not None and named.chain_id is not None
    try:
        pack = read_pack(pack_bytes)
    except Failed as error:
        rest = [Check(name, "skipped", "the format is not known") for name in CHECKS[1:]]
        return Report((Check("format", "fail", str(error)), *rest), identified, unreachable=False)
    examination = Examination(pack, named, rpcs=list(rpcs))
    checks = [_examine(examination, name) for name in CHECKS[1:]]
    return Report((Check("format", "pass", FORMAT), *checks), identified, examination.unreachable)


def read_pack(content: bytes) -> Pack:
    """Return the pack, failing unless it has the shape that the format says."""
    if len(content) > MAX_PACK_BYTES:
        raise Failed(f"larger than {MAX_PACK_BYTES} bytes")
    pack: Pack = parse_json(content)
    if not isinstance(pack, dict) or pack.get("format") != FORMAT:
        raise Failed(f"unknown format, expected {FORMAT}")
    PACK(pack, "pack")
    return pack


def _lower(address: str | None) -> str | None:
    return address.lower() if address else None


def _examine(examination: Examination, name: str) -> Check:
    check: Callable[[], str] = getattr(examination, name.lower().replace(" ", "_"))
    try:
        return Check(name, "pass", check())
    except Failed as error:
        return Check(name, "fail", str(error))
    except Unreachable as error:
        examination.unreachable = True
        return Check(name, "skipped", f"unreachable: {error}")
    except Skipped as error:
        return Check(name, "skipped", str(error))


def report_lines(report: Report) -> list[str]:
    """Return one line a check and the verdict; one line in all for what is no pack."""
    if report.checks[0].result == "fail":
        return [printable(f"refused: {report.checks[0].detail}")]
    lines = [f"{check.result:<8}{check.name:<22}{printable(check.detail)}" for check in report.checks]
    return [*lines, printable(report.verdict)]


def report_json(report: Report) -> dict[str, Any]:
    """Return the report for machines."""
    checks = [{"name": check.name, "result": check.result, "detail": check.detail} for check in report.checks]
    return {"ok": report.ok, "identified": report.identified, "verdict": report.verdict, "checks": checks}


def printable(line: str) -> str:
    """Return text from a pack as one harmless line for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)[:400]


def _address(value: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
        raise argparse.ArgumentTypeError("an address is 0x and 40 hex digits")
    return value.lower()


def _word(value: str) -> str:
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", value):
        raise argparse.ArgumentTypeError("a hash is 0x and 64 hex digits")
    return value.lower()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verifier.py", description="Check an evidence pack without trusting its maker."
    )
    parser.add_argument("pack", type=Path, metavar="PACK")
    for name in ("contract", "attestor", "engine", "target", "l1-verifier"):
        parser.add_argument(f"--{name}", type=_address, metavar="ADDRESS")
    for name in ("circuit-hash", "l1-output-root"):
        parser.add_argument(f"--{name}", type=_word, metavar="WORD")
    parser.add_argument("--l1-rpc", action="append", default=[], metavar="URL")
    parser.add_argument("--chain-id", type=int, metavar="N")
    parser.add_argument("--rpc", action="append", default=[], metavar="URL")
    parser.add_argument("--model", type=Path, metavar="FILE")
    parser.add_argument("--returns", type=Path, metavar="FILE")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.contract is None) != (options.chain_id is None):
        parser.error("--contract and --chain-id belong together")
    if bool(options.l1_rpc) != bool(options.l1_verifier):
        parser.error("--l1-rpc and --l1-verifier belong together")
    try:
        content = read_start(options.pack, MAX_PACK_BYTES)
    except Failed as error:
        parser.error(str(error))
    report = verify(
        content,
        contract=options.contract,
        chain_id=options.chain_id,
        rpc_urls=options.rpc,
        model_path=options.model,
        returns_path=options.returns,
        attestor=options.attestor,
        engine=options.engine,
        target=options.target,
        l1_output_root=options.l1_output_root,
        l1_rpc_urls=options.l1_rpc,
        l1_verifier=options.l1_verifier,
        circuit_hash=options.circuit_hash,
        timeout=options.timeout,
    )
    output = json.dumps(report_json(report), indent=1) if options.json else "\n".join(report_lines(report))
    sys.stdout.write(output + "\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
