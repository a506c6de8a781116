"""What a witness may cosign: growth that is proved, of one log, and nothing else (evidence pages, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.kernel.canonical import EncodingError, JsonValue, encode_bytes
from backend.kernel.merkle import verify_consistency
from backend.kernel.signed_note import (
    Checkpoint,
    VerifierKey,
    open_note,
    parse_checkpoint,
    parse_verifier_key,
    signature_line,
    split_note,
)

EVIDENCE_FORMAT = "refi-split-view/1"


class Fork(StrEnum):
    """How two checkpoints that the log's key signed contradict each other."""

    TWO_ROOTS = "two roots for one size"
    SMALLER = "a tree smaller than one shown before"
    NOT_CONSISTENT = "no proof that the larger tree extends the smaller"


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint that the log's key signed, with the note that says so."""

    checkpoint: Checkpoint
    note: str

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """The tree's root."""
        return self.checkpoint.root


Prove = Callable[[int, int], "Sequence[bytes] | None"]


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether an Ed25519 signature is good."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_note(note: str, log: VerifierKey) -> Seen:
    """Return the checkpoint of a note that the log's key signed, the note cut down to that signature."""
    text = open_note(note, log, verifies)
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != log.name:
        raise EncodingError(f"the checkpoint is of {checkpoint.origin}, not of {log.name}")
    # Other lines under the log's name would be passed on unread, and could make the note too long to open.
    signed = (content[4:] for name, content in split_note(note)[1] if name == log.name and content[:4] == log.key_hash)
    return Seen(checkpoint, f"{text}\n{signature_line(log, next(signed))}")


def judge(kept: Seen | None, shown: Seen, prove: Prove) -> Fork | None:
    """Say what forbids to cosign `shown` after `kept`, nothing where it is the same tree or one that extends it.

    `prove(first, second)` asks the log for a consistency proof; None is a log that gives none.
    """
    if kept is None or shown.size >= kept.size:
        return contradiction(kept, shown, prove)
    return Fork.SMALLER


def contradiction(one: Seen | None, other: Seen, prove: Prove) -> Fork | None:
    """Say how two checkpoints contradict each other; one that is only behind the other does not."""
    if one is None:
        return None
    if one.size == other.size:
        return None if one.root == other.root else Fork.TWO_ROOTS
    old, new = sorted((one, other), key=lambda seen: seen.size)
    # Every tree extends the empty one: there is nothing to ask for.
    proof = prove(old.size, new.size) if old.size else ()
    if proof is None or not verify_consistency(old.size, old.root, new.size, new.root, proof):
        return Fork.NOT_CONSISTENT
    return None


def evidence(log: VerifierKey, fork: Fork, one: Seen, other: Seen, found_at: str) -> dict[str, JsonValue]:
    """Return what shows a fork to anybody: two notes, each of which the log's key signed."""
    return {
        "format": EVIDENCE_FORMAT,
        "fork": fork.value,
        "found_at": found_at,
        "log_public_key": str(log),
        "kept": _described(one),
        "shown": _described(other),
    }


def read_evidence(document: Mapping[str, Any]) -> tuple[Fork, Seen, Seen]:
    """Return what a file of evidence shows, each note verified with the key that the file names."""
    if document.get("format") != EVIDENCE_FORMAT:
        raise EncodingError("not evidence of a split view")
    log = parse_verifier_key(str(document["log_public_key"]))
    return Fork(document["fork"]), read_note(document["kept"]["note"], log), read_note(document["shown"]["note"], log)


def _described(seen: Seen) -> JsonValue:
    return {"size": seen.size, "root": encode_bytes(seen.root), "note": seen.note}
