"""The public entry that stands for a record."""

import re

from backend.audit.types import ENTRY_VERSION
from backend.kernel.canonical import canonical_json, encode_bytes
from backend.kernel.errors import Invalid, Tampered

MAX_ENTRY_BYTES = 512
COMMITMENT_BYTES = 32
_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


def entry_text(commitment: bytes, event: str) -> str:
    """Return the exact entry string of a record; raise Tampered for what is no commitment."""
    if not isinstance(commitment, bytes) or len(commitment) != COMMITMENT_BYTES:
        raise Tampered("a record's commitment is none", event=event)
    entry = canonical_json({"c": encode_bytes(commitment), "t": event, "v": ENTRY_VERSION})
    if len(entry) > MAX_ENTRY_BYTES or not _EVENT.fullmatch(event):
        raise Invalid(f"{event!r} is no name of an event")
    return entry.decode()
