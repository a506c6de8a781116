"""Salted commitments to a record's fields, and the disclosure of single fields (evidence pages, section 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256, shake_256

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError, JsonValue, canonical_json, encode_bytes

SALT_BYTES = 32
MAX_FIELDS = 2**16 - 1
_SALT_TAG = b"refi/salt/v1\x00"
_FIELD_TAG = b"refi/field/v1\x00"
_RECORD_TAG = b"refi/record/v1\x00"


def record_salts(names: Iterable[str], record_salt: bytes) -> dict[str, bytes]:
    """Return each field's salt, in bytewise order of the names."""
    if len(record_salt) != SALT_BYTES:
        raise EncodingError(f"a record salt has {SALT_BYTES} bytes, not {len(record_salt)}")
    ordered = sorted(names)
    if not all(name.isascii() for name in ordered):
        raise EncodingError("a field name is not ASCII")
    stream = shake_256(_SALT_TAG + record_salt).digest(SALT_BYTES * len(ordered))
    return {name: stream[SALT_BYTES * at : SALT_BYTES * (at + 1)] for at, name in enumerate(ordered)}


def field_bytes(name: str, value: JsonValue, salt: bytes) -> bytes:
    """Return the byte string that stands for one field in the field tree."""
    return b"".join((_FIELD_TAG, salt, name.encode("ascii"), b"\x00", canonical_json(value)))


def bind_count(count: int, field_root: bytes) -> bytes:
    """Return the commitment over a field tree: a Merkle root alone does not bind the number of its leaves."""
    return sha256(_RECORD_TAG + count.to_bytes(2, "big") + field_root).digest()


def commit(fields: Mapping[str, JsonValue], record_salt: bytes) -> bytes:
    """Return the 32-byte commitment to a record."""
    leaves = _leaves(fields, record_salt)
    return bind_count(len(leaves), merkle.root(leaves))


def disclose(
    fields: Mapping[str, JsonValue], record_salt: bytes, names: Iterable[str]
) -> dict[str, dict[str, JsonValue]]:
    """Return, for each name, what an evidence pack shows of the field: value, salt, index, count and path."""
    salts = record_salts(fields, record_salt)
    places = {name: at for at, name in enumerate(salts)}
    levels = _levels(_leaves(fields, record_salt))
    return {
        name: {
            "value": fields[name],
            "salt": encode_bytes(salts[name]),
            "index": places[name],
            "count": len(fields),
            "path": [encode_bytes(node) for node in _path(levels, places[name])],
        }
        for name in names
    }


def retained_of(retained: Mapping[str, Mapping[str, JsonValue]], names: Iterable[str]) -> dict[str, JsonValue]:
    """Return what an evidence pack shows of an erased record's fields, from the disclosures that were kept of them."""
    wanted = tuple(names)
    if gone := [name for name in wanted if name not in retained]:
        raise EncodingError(f"the record was erased, and with it {', '.join(gone)}")
    return {name: retained[name] for name in wanted}


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    # All paths of a record at once: a last node without a sibling moves up unchanged, as in RFC 9162 2.1.1.
    levels = [leaves]
    while len(below := levels[-1]) > 1:
        odd = below[-1:] if len(below) % 2 else []
        levels.append([merkle.node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)] + odd)
    return levels


def _path(levels: list[list[bytes]], index: int) -> list[bytes]:
    siblings = ((level, index >> height ^ 1) for height, level in enumerate(levels))
    return [level[sibling] for level, sibling in siblings if sibling < len(level)]


def _leaves(fields: Mapping[str, JsonValue], record_salt: bytes) -> list[bytes]:
    if not 1 <= len(fields) <= MAX_FIELDS:
        raise EncodingError(f"a record has 1 to {MAX_FIELDS} fields, not {len(fields)}")
    salts = record_salts(fields, record_salt)
    return [merkle.leaf_hash(field_bytes(name, fields[name], salt)) for name, salt in salts.items()]
