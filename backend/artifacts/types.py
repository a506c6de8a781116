"""What the platform publishes by content address."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PinState(StrEnum):
    """Where an artifact stands: promised, kept by the store, or refused by it for good."""

    PENDING = "pending"
    PINNED = "pinned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pin:
    """A published artifact: its CID under the profile, size in bytes, sha256 in hex, times that the store failed."""

    id: int
    cid: str
    kind: str
    size: int
    sha256: str
    state: PinState
    profile: str
    created_at: datetime
    attempts: int
