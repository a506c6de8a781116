"""The full audit of a log: every leaf recomputed in one pass, and every root that was ever promised compared."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from backend.anchoring.engine import anchor_word, log_id
from backend.anchoring.types import AnchorHead
from backend.kernel import merkle
from backend.kernel.canonical import EncodingError, decode_bytes, parse_canonical
from backend.kernel.signed_note import Checkpoint, VerifierKey, parse_checkpoint, parse_verifier_key, split_note
from backend.transparency.engine.findings import Faults, Finding
from backend.transparency.engine.witness import read_note

BUNDLE_FORMAT = "refi-log-bundle/1"
BATCH = 4096
MAX_ENTRY_BYTES = 512
# What stands before the entries: one anchor takes half a KiB. What stands behind them is a key and a name.
MAX_HEAD_BYTES = 8 * 2**20
MAX_TAIL_BYTES = 64 * 2**10
# What Python's objects cost in memory: a head full of anchors stays below both.
MAX_CONTAINERS = 40_000
MAX_COMMAS = 400_000
ENTRIES, ROOTS, CHECKPOINTS, ANCHORS, IDENTITY = "entries", "roots", "checkpoints", "anchors", "log identity"

# 32 bytes in canonical base64url: the last of 43 characters has two unused bits, which are zero.
_PLAIN = re.compile(rb'\{"c":"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]","t":"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*","v":1\}')
# The same inside a JSON string, with what follows it in an array.
_QUOTED = re.compile(
    rb'"(\{\\"c\\":\\"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\\",\\"t\\":\\"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*\\",\\"v\\":1\})"'
    rb"([,\]])"
)
_WORD = re.compile(r"0x[0-9a-f]{64}")
_MARKER = b',"entries":['


@dataclass(frozen=True, slots=True)
class AnchorClaim:
    """An anchor as somebody lists it."""

    log_id: bytes
    index: int
    head: AnchorHead

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> AnchorClaim:
        """Read the anchor object of a pack or of the platform's list."""
        try:
            head = AnchorHead(
                _whole(listed["size"]), decode_bytes(listed["root"], 32), decode_bytes(listed["heads_root"], 32)
            )
            if not _WORD.fullmatch(listed["log_id"]):
                raise EncodingError("a log_id is 0x and 64 hex digits in lower case")
            return cls(bytes.fromhex(listed["log_id"][2:]), _whole(listed["index"]), head)
        except (KeyError, TypeError, ValueError) as error:
            raise EncodingError(f"not an anchor: {error}") from error

    @property
    def word(self) -> bytes:
        """What the contract stores for it."""
        return anchor_word(self.log_id, self.index, self.head)


@dataclass(slots=True)
class LogAudit:
    """Entries go in from the first on; only the frontier of the tree is kept."""

    size: int = 0
    key: VerifierKey | None = None
    anchors: dict[int, AnchorClaim] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    roots: int = 0
    checkpoints: int = 0
    _frontier: list[bytes] = field(default_factory=list)
    _claims: dict[int, dict[bytes, str]] = field(default_factory=dict)
    _sizes: list[int] = field(default_factory=list)

    def name_key(self, key: VerifierKey) -> None:
        """Name the log's key; a second one that differs is a fault."""
        if self.key is None:
            self.key = key
        self.faults.require(IDENTITY, self.key == key, f"{key} and {self.key}: two logs")

    def claim_anchor(self, anchor: AnchorClaim) -> None:
        """Expect an anchor's root at its size, and the same anchor wherever its index is listed again."""
        known = self.anchors.setdefault(anchor.index, anchor)
        if not self.faults.require(ANCHORS, known == anchor, f"anchor {anchor.index} is listed in two ways"):
            return
        if known is anchor:
            self._claim(anchor.head.size, anchor.head.root, f"anchor {anchor.index}")

    def claim_checkpoint(self, note: str) -> Checkpoint:
        """Expect a checkpoint's root at its size; whether it is signed is for `require_signed` to say."""
        checkpoint = parse_checkpoint(split_note(note)[0])
        self._claim(checkpoint.size, checkpoint.root, "the checkpoint")
        return checkpoint

    def require_signed(self, note: str) -> None:
        """Note a fault unless a checkpoint is one of this log, signed by its key."""
        self.checkpoints += 1
        if self.key is None:
            self.faults.add(CHECKPOINTS, "no key of the log is known")
            return
        try:
            read_note(note, self.key)
        except EncodingError as error:
            self.faults.add(CHECKPOINTS, str(error))

    def add(self, entries: Sequence[bytes]) -> None:
        """Append the next entries to the tree."""
        at = 0
        while at < len(entries):
            part = entries[at : at + self._next_due(self.size + len(entries) - at) - self.size]
            self._frontier, _ = merkle.grow(self.size, self._frontier, [merkle.leaf_hash(entry) for entry in part])
            self.size += len(part)
            at += len(part)
            self._compare()

    def findings(self) -> list[Finding]:
        """Say what was found once every entry is in."""
        for size, claims in self._claims.items():
            for what in claims.values():
                self.faults.add(ROOTS, f"{what} is at size {size}, the entries end at {self.size}")
        self._require_order()
        return [
            self.faults.finding(ENTRIES, f"{self.size} leaves recomputed"),
            self.faults.finding(CHECKPOINTS, f"{self.checkpoints} signed by {self.key.name if self.key else 'nobody'}"),
            self.faults.finding(ROOTS, f"{self.roots} roots recomputed"),
            self.faults.finding(ANCHORS, f"{len(self.anchors)} anchors, sizes rising"),
        ]

    @property
    def first_missing(self) -> int:
        """The lowest index of which no anchor is listed."""
        return next(index for index in itertools.count() if index not in self.anchors)

    def log_id(self, contract: str | None, chain_id: int | None) -> bytes | None:
        """Return the id that the named contract computes for this key; None where one of them is not known."""
        if self.key is None or contract is None or chain_id is None:
            return None
        return log_id(self.key.name, self.key.public_key, chain_id, contract)

    def identity(self, contract: str | None, chain_id: int | None) -> Finding:
        """Say whether the anchors are those of this key in the contract that the user names."""
        if self.key is None or contract is None or chain_id is None:
            skipped = Finding(IDENTITY, "skipped", "log not identified: no contract and chain id named")
            return skipped if IDENTITY not in self.faults.first else self.faults.finding(IDENTITY, "")
        expected = self.log_id(contract, chain_id)
        for anchor in self.anchors.values():
            other = f"anchor {anchor.index} is of another log, contract or chain than the one named"
            self.faults.require(IDENTITY, anchor.log_id == expected, other)
        return self.faults.finding(IDENTITY, f"{self.key.name} at {contract} on chain {chain_id}")

    def _claim(self, size: int, root: bytes, what: str) -> None:
        if size < self.size:
            self.faults.add(ROOTS, f"{what} at size {size} was not listed before its entries")
            return
        if size not in self._claims:
            heappush(self._sizes, size)
        self._claims.setdefault(size, {})[root] = what
        if size == self.size:
            self._compare()

    def _next_due(self, end: int) -> int:
        """Return the lowest size above this one at which a root is claimed, at most `end`."""
        while self._sizes and self._sizes[0] <= self.size:
            heappop(self._sizes)
        return min(self._sizes[0], end) if self._sizes else end

    def _compare(self) -> None:
        claims = self._claims.pop(self.size, {})
        root = merkle.join(self._frontier) if claims else b""
        for claimed, what in claims.items():
            self.roots += 1
            self.faults.require(ROOTS, claimed == root, f"{what}: another root at size {self.size} than its entries'")

    def _require_order(self) -> None:
        before = 0
        for place, index in enumerate(sorted(self.anchors)):
            size = self.anchors[index].head.size
            self.faults.require(ANCHORS, index == place, f"anchor {place} is missing")
            self.faults.require(ANCHORS, size > before, f"anchor {index} does not grow: {before} to {size}")
            before = size


class Bundle:
    """A file of consecutive entries, read piece by piece: `head`, then `entries()`, then `tail()`."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self.head = self._read_head()

    @property
    def end(self) -> int:
        """One past the index of the last entry."""
        return _whole(self.head["end"])

    @property
    def anchors(self) -> list[AnchorClaim]:
        """The anchors that the bundle lists."""
        listed = self.head["anchors"]
        if not isinstance(listed, list) or not all(isinstance(anchor, dict) for anchor in listed):
            raise EncodingError("the bundle's anchors are no list")
        return [AnchorClaim.of(anchor) for anchor in listed]

    def entries(self) -> Iterator[list[bytes]]:
        """Yield the entries in batches; refuse everything that is no entry in canonical form."""
        batch: list[bytes] = []
        buffer, at, count = self._rest, 0, 0
        ended = buffer[:1] == b"]"
        while not ended:
            match = _QUOTED.match(buffer, at)
            if match is None:
                if len(buffer) - at > 4 * MAX_ENTRY_BYTES or not (piece := next(self._pieces, b"")):
                    raise EncodingError(f"entry {count} of the bundle is no entry in canonical form")
                buffer, at = buffer[at:] + piece, 0
                continue
            batch.append(_bounded(match[1].replace(b'\\"', b'"')))
            at, count, ended = match.end(), count + 1, match[2] == b"]"
            if len(batch) == BATCH:
                yield batch
                batch = []
        self._rest = buffer[at if count else 1 :]
        if batch:
            yield batch

    def tail(self) -> Mapping[str, Any]:
        """Return what stands behind the entries."""
        rest = self._rest
        while len(rest) <= MAX_TAIL_BYTES and (piece := next(self._pieces, b"")):
            rest += piece
        if rest[:1] != b"," or len(rest) > MAX_TAIL_BYTES:
            raise EncodingError("the bundle does not end as one")
        return _members(b"{" + rest[1:], {"format", "log_public_key", "origin", "start"})

    def _read_head(self) -> Mapping[str, Any]:
        start, found = b"", -1
        while found < 0:
            piece = next(self._pieces, b"")
            if not piece or len(start) > MAX_HEAD_BYTES:
                raise EncodingError("not a bundle of entries")
            searched = max(0, len(start) - len(_MARKER))
            start += piece
            found = start.find(_MARKER, searched)
        self._rest = start[found + len(_MARKER) :]
        return _members(start[:found] + b"}", {"anchors", "checkpoint", "end"})


def add_bundle(audit: LogAudit, bundle: Bundle) -> Iterator[int]:
    """Add a bundle to an audit and yield the size after each batch; its key is taken where none was named."""
    start, end, note = audit.size, bundle.end, str(bundle.head["checkpoint"])
    for anchor in bundle.anchors:
        audit.claim_anchor(anchor)
    if audit.claim_checkpoint(note).size != end:
        raise EncodingError(f"the checkpoint of the bundle is not at its end, {end}")
    for batch in bundle.entries():
        audit.add(batch)
        yield audit.size
    tail = bundle.tail()
    if tail["format"] != BUNDLE_FORMAT:
        raise EncodingError(f"unknown format, expected {BUNDLE_FORMAT}")
    if tail["start"] != start or audit.size != end:
        raise EncodingError(f"from {tail['start']} to {end} after size {start}, with {audit.size - start} entries")
    key = parse_verifier_key(str(tail["log_public_key"]))
    audit.faults.require(IDENTITY, tail["origin"] == key.name, "the key belongs to another origin")
    audit.name_key(key)
    audit.require_signed(note)


def split_entries(content: bytes, count: int) -> list[bytes]:
    """Return the entries of a C2SP entry bundle, each checked to be one in canonical form."""
    entries: list[bytes] = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 2], "big")
        entry = content[at + 2 : at + 2 + length]
        if len(entry) != length or not _PLAIN.fullmatch(entry):
            raise EncodingError(f"entry {len(entries)} of the bundle is no entry in canonical form")
        entries.append(_bounded(entry))
        at += 2 + length
    if len(entries) != count:
        raise EncodingError(f"a bundle of {len(entries)} entries instead of {count}")
    return entries


def _bounded(entry: bytes) -> bytes:
    if len(entry) > MAX_ENTRY_BYTES:
        raise EncodingError(f"an entry of more than {MAX_ENTRY_BYTES} bytes")
    return entry


def _members(text: bytes, names: set[str]) -> Mapping[str, Any]:
    if text.count(b"{") + text.count(b"[") > MAX_CONTAINERS or text.count(b",") > MAX_COMMAS:
        raise EncodingError("a bundle with too many values around its entries")
    value = parse_canonical(text)
    if not isinstance(value, dict) or value.keys() != names:
        raise EncodingError(f"a bundle has the members {sorted(names)}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= merkle.MAX_SIZE:
        raise EncodingError("not a whole number")
    return value
