"""The values of the audit log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ENTRY_VERSION = 1
GENESIS = bytes(32)
RETAINED_FIELDS = ("account", "epoch", "event", "position_commitment", "prev", "seq")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is kept: every field, the salt behind its commitment, and its place in the log once it has one.

    Of an erased record only the retained fields are left, no salt, and `retained`: how each of them is disclosed.
    """

    id: int
    account: str
    seq: int
    event: str
    commitment: bytes
    prev: bytes
    salt: bytes
    fields: Mapping[str, Any]
    epoch: int
    index: int | None
    erased: bool
    retained: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Erasable:
    """A record that may go: what is needed to keep its retained fields' disclosures."""

    id: int
    seq: int
    salt: bytes
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Erasing:
    """What is about to be erased of an account: the records' fields."""

    account: str
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What came of asking for an erasure: records erased, kept for the law, and left for the next call."""

    erased: int
    kept: int
    left: int
    until: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where an account's chain stands: records so far, the last one's commitment and when it was recorded."""

    account: str
    seq: int
    commitment: bytes
    ts_recorded: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A durable record that waits for its index."""

    record_id: int
    event: str
    commitment: bytes


@dataclass(frozen=True, slots=True)
class LogState:
    """What the sequencer goes on from: the tree's size and the hashes of its complete subtrees, left to right."""

    size: int
    frontier: tuple[bytes, ...]
    holder: str
    lease_until: str


@dataclass(frozen=True, slots=True)
class LogCheckpoint:
    """A signed state of the log; the note is the text that is served."""

    size: int
    root: bytes
    note: str
    signed_at: str
