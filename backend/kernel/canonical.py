"""Canonical JSON (a profile of RFC 8785) and the text forms of decimals, times and bytes that stand inside it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import TypeAlias, cast

from backend.kernel.errors import Invalid

JsonValue: TypeAlias = "str | int | bool | Sequence[JsonValue] | Mapping[str, JsonValue]"
MAX_INTEGER = 2**53 - 1
MAX_DECIMAL_DIGITS = 200
MAX_DEPTH = 64

_BYTES = re.compile(r"[A-Za-z0-9_-]*")
_DECIMAL = re.compile(r"(?!-0\Z)-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_BRACKETS = re.compile(r""""(?:[^"\\]++|\\.)*+"?|[\[\]{}]""", re.DOTALL)
_quote: Callable[[str], str] = encode_basestring


class EncodingError(Invalid, ValueError):
    """A value without a canonical form, or a text that is not in it."""


def canonical_json(value: JsonValue) -> bytes:
    """Encode a value as canonical JSON, refusing floats, null, non-ASCII keys and integers of 2^53 or more."""
    try:
        return _text(value).encode()
    except UnicodeEncodeError as error:
        raise EncodingError("a string holds a lone surrogate") from error


def parse_canonical(text: bytes | str) -> JsonValue:
    """Decode canonical JSON, refusing duplicate keys and every text that `canonical_json` would not write."""
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        require_shallow(decoded)
        value = cast(
            "JsonValue",
            json.loads(decoded, object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse),
        )
        canonical = _text(value) == decoded
        decoded.encode()
    except EncodingError:
        raise
    except ValueError as error:
        raise EncodingError(f"not canonical JSON: {error}") from error
    if not canonical:
        raise EncodingError("not in canonical form")
    return value


def encode_bytes(content: bytes) -> str:
    """Encode bytes as unpadded base64url."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decode_bytes(text: str, length: int | None = None) -> bytes:
    """Decode unpadded base64url in its one canonical form, of exactly `length` bytes when it is given."""
    if not _BYTES.fullmatch(text) or len(text) % 4 == 1:
        raise EncodingError("not unpadded base64url")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Unused bits that are not zero would let two texts stand for the same bytes.
    if encode_bytes(content) != text:
        raise EncodingError("base64url with non-zero unused bits")
    if length is not None and len(content) != length:
        raise EncodingError(f"expected {length} bytes, found {len(content)}")
    return content


def decimal_string(value: Decimal) -> str:
    """Write a decimal in plain notation, without exponent, trailing zeros or negative zero."""
    if not value.is_finite() or abs(value.adjusted()) > MAX_DECIMAL_DIGITS:
        raise EncodingError(f"{value} has no plain notation")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def parse_decimal(text: str) -> Decimal:
    """Read a decimal that `decimal_string` wrote."""
    if len(text) > 2 * MAX_DECIMAL_DIGITS or not _DECIMAL.fullmatch(text):
        raise EncodingError("not a decimal in plain notation")
    return Decimal(text)


def time_string(value: datetime) -> str:
    """Write an aware time in UTC with exactly six fractional digits."""
    if value.tzinfo is None:
        raise EncodingError("a time without a zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Read a time that `time_string` wrote."""
    if not _TIME.fullmatch(text):
        raise EncodingError("not a UTC time with six fractional digits")
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise EncodingError(f"not a time: {error}") from error


def _text(value: object, depth: int = 0) -> str:
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise EncodingError("an integer of 2^53 or more must be a string")
        return int.__repr__(value)
    if depth > MAX_DEPTH:
        raise EncodingError("nested too deeply")
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{_quote(key)}:{_text(value[key], depth + 1)}" for key in _sorted_keys(value)]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([_text(item, depth + 1) for item in value]) + "]"
    raise EncodingError(f"{type(value).__name__} has no canonical form")


def _sorted_keys(value: Mapping[object, object]) -> list[str]:
    keys = list(value)
    if not all(isinstance(key, str) and key.isascii() for key in keys):
        raise EncodingError("a key is not an ASCII string")
    return sorted(cast("list[str]", keys))


def require_shallow(text: str) -> None:
    """Refuse JSON text that is nested too deeply, before it is decoded."""
    # The decoder recurses in C: where a library has raised Python's recursion limit, nesting would overrun the stack.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise EncodingError("nested too deeply")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EncodingError("a key occurs twice")
    return found


def _refuse(text: str) -> object:
    raise EncodingError(f"{text} is not in the profile")
