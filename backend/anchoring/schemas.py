"""Anchors on the wire."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from backend.anchoring.types import Anchor, EntryPlace
from backend.kernel.canonical import encode_bytes


class AnchorOut(BaseModel):
    """An anchor: chain objects in 0x-hex, roots in base64url as in an evidence pack."""

    model_config = ConfigDict(frozen=True)

    log_id: str
    index: int
    size: int
    root: str
    heads_root: str
    state: str
    recorded_at: str
    tx_hash: str | None
    block_number: int | None
    gas_used: int | None
    eas_tx_hash: str | None

    @classmethod
    def of(cls, anchor: Anchor) -> Self:
        """Write an anchor for the wire."""
        return cls(
            log_id="0x" + anchor.log_id.hex(),
            index=anchor.index,
            size=anchor.head.size,
            root=encode_bytes(anchor.head.root),
            heads_root=encode_bytes(anchor.head.heads_root),
            state=anchor.state.value,
            recorded_at=anchor.recorded_at,
            tx_hash=anchor.tx_hash,
            block_number=anchor.block_number,
            gas_used=anchor.gas_used,
            eas_tx_hash=anchor.eas_tx_hash,
        )


class AnchorsOut(BaseModel):
    """Every anchor of the log, oldest first, and where they stand."""

    model_config = ConfigDict(frozen=True)

    chain_id: int
    contract: str
    anchors: list[AnchorOut]


class EntryStateOut(BaseModel):
    """How far an entry has come, and the anchor that it has it from."""

    model_config = ConfigDict(frozen=True)

    index: int
    state: str
    anchor: int | None

    @classmethod
    def of(cls, place: EntryPlace) -> Self:
        """Write an entry's place for the wire."""
        return cls(index=place.index, state=place.state.value, anchor=place.anchor)
