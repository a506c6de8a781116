"""Solidity values as people write and read them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.registry import registry
from eth_utils.address import to_checksum_address

from backend.kernel.canonical import require_shallow
from backend.kernel.errors import Invalid

ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
# 2^256 has 78 digits; Python reads digits of other scripts too, and not any length.
INTEGER = re.compile(r"-?[0-9]{1,78}|0x[0-9a-fA-F]{1,64}")
HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def address(text: str) -> str:
    """Return an address; raise Invalid where its capitals are not those of its checksum (EIP-55)."""
    if text[2:] not in {text[2:].lower(), text[2:].upper()} and to_checksum_address(text) != text:
        raise Invalid(f"{text} is mistyped: its capitals are not those of the address")
    return text


def lenient_codec() -> ABICodec:
    """Return a codec that reads a string whatever its bytes are: those that are not UTF-8 become surrogates.

    Anyone who may propose or vote chooses these bytes; they must not make a proposal unreadable.
    """
    copied: Any = copy(registry)
    copied.unregister_decoder("string")
    decoder: Any = StringDecoder
    copied.register_decoder("string", decoder(handle_string_errors="surrogateescape"), label="string")
    return ABICodec(copied)


def parsed(spec: Mapping[str, Any], value: Any, address_of: Callable[[str], str]) -> Any:
    """Return an argument, given as text or JSON, as its type wants it; raise Invalid that says what that is."""
    kind, name = str(spec["type"]), str(spec.get("name") or "argument")
    if kind.endswith("]"):
        item = {**spec, "type": kind[: kind.rindex("[")]}
        return [parsed(item, entry, address_of) for entry in _several(value, name, kind)]
    if kind == "tuple":
        parts, given = spec["components"], _several(value, name, "tuple")
        if len(parts) != len(given):
            raise Invalid(f"{name} has {len(parts)} parts: {', '.join(part['name'] for part in parts)}")
        return tuple(parsed(part, entry, address_of) for part, entry in zip(parts, given, strict=True))
    return _plain(kind, name, value, address_of)


def shown(spec: Mapping[str, Any], value: Any) -> str:
    """Return a decoded value as text: one that `parsed` takes for every type that has no strings inside a list."""
    kind = str(spec["type"])
    if kind.endswith("]"):
        item = {**spec, "type": kind[: kind.rindex("[")]}
        return "[" + ", ".join(shown(item, entry) for entry in value) + "]"
    if kind == "tuple":
        return "(" + ", ".join(shown(part, entry) for part, entry in zip(spec["components"], value, strict=True)) + ")"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    # Quoted, so that a text can hold neither a line's end nor what looks like another argument.
    return json.dumps(value) if isinstance(value, str) and kind == "string" else str(value)


def _several(value: Any, name: str, kind: str) -> Sequence[Any]:
    found = value
    if isinstance(value, str):
        try:
            require_shallow(value)
            found = json.loads(value)
        except ValueError:
            found = None
    if not isinstance(found, list):
        raise Invalid(f"{name} is {kind}: write it as a JSON list")
    return found


def _plain(kind: str, name: str, value: Any, address_of: Callable[[str], str]) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    if kind == "string":
        return text
    if kind == "address":
        return address(text) if ADDRESS.fullmatch(text) else address_of(text)
    if kind == "bool":
        if text not in {"true", "false"}:
            raise Invalid(f"{name} is bool: true or false, not {text!r}")
        return text == "true"
    if kind.startswith(("uint", "int")):
        if not INTEGER.fullmatch(text):
            raise Invalid(f"{name} is {kind}: an integer, not {text!r}")
        return int(text, 16 if text.startswith("0x") else 10)
    if not HEX.fullmatch(text):
        raise Invalid(f"{name} is {kind}: 0x and an even number of hex digits, not {text!r}")
    size = len(text) // 2 - 1
    if kind != "bytes" and size != int(kind.removeprefix("bytes")):
        raise Invalid(f"{name} is {kind}: {kind.removeprefix('bytes')} bytes, not {size}")
    return bytes.fromhex(text[2:])
