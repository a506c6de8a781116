"""The values of anchoring."""

from dataclasses import dataclass
from enum import StrEnum


class AnchorState(StrEnum):
    """How far an anchor has come; "mined" is what the latest block says."""

    RECORDED = "recorded"
    SUBMITTED = "submitted"
    MINED = "mined"


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
