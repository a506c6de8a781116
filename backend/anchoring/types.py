"""The values of anchoring."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class AnchorState(StrEnum):
    """How far an anchor has come, as the chain's latest, safe and finalized blocks show it.

    A reorganised chain takes "unsafe" and "safe" back to "recorded"; "finalized" and "l1_proven" are never withdrawn.
    """

    RECORDED = "recorded"
    SUBMITTED = "submitted"
    UNSAFE = "unsafe"
    SAFE = "safe"
    FINALIZED = "finalized"
    L1_PROVEN = "l1_proven"


WAITING = (AnchorState.RECORDED, AnchorState.SUBMITTED)
ON_CHAIN = (AnchorState.UNSAFE, AnchorState.SAFE, AnchorState.FINALIZED, AnchorState.L1_PROVEN)
FINAL = (AnchorState.FINALIZED, AnchorState.L1_PROVEN)


class EntryState(StrEnum):
    """How far an entry of the log has come; from "submitted" on, the state of the furthest anchor that holds it."""

    RECORDED = "recorded"
    LOGGED = "logged"
    CHECKPOINTED = "checkpointed"
    SUBMITTED = "submitted"
    UNSAFE = "unsafe"
    SAFE = "safe"
    FINALIZED = "finalized"
    L1_PROVEN = "l1_proven"


@dataclass(frozen=True, slots=True)
class AnchorHead:
    """What is fixed on chain: a tree's size and root, and the root over the account heads at that size."""

    size: int
    root: bytes
    heads_root: bytes

    def word(self) -> tuple[int, bytes, bytes]:
        """Return the struct that the contract takes."""
        return (self.size, self.root, self.heads_root)


EMPTY_HEAD = AnchorHead(0, bytes(32), bytes(32))


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor of a log; gas is unknown for one that was found on chain instead of sent."""

    log_id: bytes
    index: int
    head: AnchorHead
    state: AnchorState
    recorded_at: str
    tx_hash: str | None = None
    block_number: int | None = None
    gas_used: int | None = None
    eas_tx_hash: str | None = None


@dataclass(frozen=True, slots=True)
class EntryPlace:
    """An entry's state and the index of the anchor that it has it from."""

    index: int
    state: EntryState
    anchor: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """An anchor as one view of the chain shows it."""

    head: AnchorHead
    state: AnchorState
    tx_hash: str
    block_number: int


@dataclass(frozen=True, slots=True)
class ChainView:
    """One consistent view of a log's anchors: how many the latest block `number` holds, and those asked for."""

    number: int
    hash: str
    count: int
    words: Mapping[int, bytes]
    events: Mapping[int, Mapping[str, Any]]
    safe_count: int
    final_count: int
