"""Contracts as deployments/<network>/<Contract>.json describe them: encoding of calls, decoding of answers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic, function_abi_to_4byte_selector
from hexbytes import HexBytes

from backend.kernel.errors import Invalid, NotFound
from backend.ports.chain import Log, Reverted

# The two errors that every contract may raise without declaring them.
BUILT_IN_ERRORS: tuple[dict[str, Any], ...] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


@dataclass(frozen=True)
class Deployed:
    """One deployed contract: its name, address (lower-case 0x-hex), ABI, chain (None for one on every chain), birth."""

    name: str
    address: str
    abi: tuple[dict[str, Any], ...]
    chain_id: int | None
    block_number: int = 0

    def function(self, name: str, count: int) -> dict[str, Any]:
        """Return the ABI of the function with this name and number of arguments."""
        for item in self.abi:
            if item["type"] == "function" and item["name"] == name and len(item["inputs"]) == count:
                return item
        raise NotFound(f"{self.name} has no function {name} with {count} arguments")

    def event(self, name: str) -> dict[str, Any]:
        """Return the ABI of an event."""
        for item in self.abi:
            if item["type"] == "event" and item["name"] == name:
                return item
        raise NotFound(f"{self.name} has no event {name}")

    @cached_property
    def events_by_topic(self) -> Mapping[bytes, dict[str, Any]]:
        """The ABI of each event by its first topic."""
        return {bytes(event_abi_to_log_topic(_any(item))): item for item in self.abi if item["type"] == "event"}

    def calldata(self, function: str, arguments: Sequence[Any]) -> bytes:
        """Return selector and encoded arguments of a call."""
        abi = self.function(function, len(arguments))
        try:
            return bytes(function_abi_to_4byte_selector(_any(abi))) + encode_all(abi["inputs"], arguments)
        except (EncodingError, TypeError, ValueError) as error:
            raise Invalid(f"{self.name}.{function} does not take these arguments: {error}") from error

    def answer(self, function: str, count: int, returned: bytes) -> Any:
        """Return a view function's decoded answer: one value, or a tuple of several."""
        values = decode_all(self.function(function, count)["outputs"], returned)
        return values[0] if len(values) == 1 else values


class Deployments:
    """The contracts of one network, read from its folder when first asked for, the known ones before."""

    def __init__(self, folder: Path, known: Mapping[str, Deployed]) -> None:
        self._folder = folder
        self._contracts: dict[str, Deployed] = dict(known)

    def get(self, name: str) -> Deployed:
        """Return a contract by name, or one like it at "Name@0x..."; raise NotFound when the folder holds none."""
        known, _, address = name.partition("@")
        if address and name not in self._contracts:
            self._contracts[name] = replace(self.get(known), address=address.lower(), block_number=0)
        if name not in self._contracts:
            self._read()
        if name not in self._contracts:
            raise NotFound(f"{name} is not deployed: no {name}.json in {self._folder}")
        return self._contracts[name]

    def all(self) -> Iterable[Deployed]:
        """Return every contract of the folder."""
        self._read()
        return self._contracts.values()

    def at(self, address: str) -> Deployed | None:
        """Return the contract at an address, if it is one of ours."""
        known = [item for item in self._contracts.values() if item.address == address.lower()]
        return known[0] if known else next((item for item in self.all() if item.address == address.lower()), None)

    def revert(self, payload: bytes) -> Reverted:
        """Return the named error of a revert's payload, looked up in every ABI of the folder."""
        errors = [item for contract in self.all() for item in contract.abi if item["type"] == "error"]
        for item in (*BUILT_IN_ERRORS, *errors):
            if payload[:4] == bytes(function_abi_to_4byte_selector(_any(item))):
                try:
                    return Reverted(item["name"], decode_all(item["inputs"], payload[4:]))
                except DecodingError:
                    continue
        return Reverted("0x" + payload[:4].hex() if payload else "revert without a reason")

    def log(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a log's decoded arguments with contract, event, block_number, tx_hash and log_index."""
        place = {
            "block_number": int(entry["blockNumber"]),
            "tx_hash": "0x" + bytes(entry["transactionHash"]).hex(),
            "log_index": int(entry["logIndex"]),
        }
        contract = self.at(str(entry["address"]))
        topics = [bytes(topic) for topic in entry["topics"]]
        abi = contract.events_by_topic.get(topics[0]) if contract and topics else None
        if contract is None or abi is None:
            raw = {"address": str(entry["address"]).lower(), "topics": topics, "data": bytes(entry["data"])}
            return {**raw, **place}
        return {
            **_event_arguments(abi, topics[1:], bytes(entry["data"])),
            "contract": contract.name,
            "event": abi["name"],
            **place,
        }

    def left(self, entry: Mapping[str, Any]) -> Log:
        """Return a log as it is known here: by contract and event, where the ABI says what it is."""
        found, address = self.log(entry), str(entry["address"]).lower()
        ours = self.at(address)
        contract, event = found.pop("contract", ours.name if ours else address), found.pop("event", "")
        number, tx_hash, _ = (found.pop(name) for name in ("block_number", "tx_hash", "log_index"))
        return Log(address, contract, event, found, number, "0x" + bytes(entry["blockHash"]).hex(), tx_hash)

    def _read(self) -> None:
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.json")):
            if path.stem not in self._contracts:
                facts = json.loads(path.read_text())
                self._contracts[path.stem] = Deployed(
                    path.stem,
                    str(facts["address"]).lower(),
                    tuple(facts["abi"]),
                    int(facts["chain_id"]),
                    int(facts.get("block_number") or 0),
                )


def encode_all(inputs: Sequence[Mapping[str, Any]], arguments: Sequence[Any]) -> bytes:
    """Encode arguments; a struct may be a mapping, bytes may be 0x-hex."""
    return encode(_types(inputs), [_prepared(spec, value) for spec, value in zip(inputs, arguments, strict=True)])


def decode_all(outputs: Sequence[Mapping[str, Any]], payload: bytes) -> tuple[Any, ...]:
    """Decode values; addresses become lower-case 0x-hex, structs tuples."""
    return decode(_types(outputs), payload)


def event_topics(abi: Mapping[str, Any], filters: Mapping[str, Any]) -> list[str | None]:
    """Return the topics that select an event by its indexed arguments."""
    indexed = [spec for spec in abi["inputs"] if spec["indexed"]]
    unknown = set(filters) - {spec["name"] for spec in indexed}
    if unknown:
        raise Invalid(f"{abi['name']} has no indexed argument {', '.join(sorted(unknown))}")
    topics: list[str | None] = [HexBytes(event_abi_to_log_topic(_any(abi))).to_0x_hex()]
    for spec in indexed:
        value = filters.get(spec["name"])
        topics.append(None if value is None else "0x" + encode_all([spec], [value]).hex())
    return topics


def _event_arguments(abi: Mapping[str, Any], topics: Sequence[bytes], content: bytes) -> dict[str, Any]:
    indexed = [spec for spec in abi["inputs"] if spec["indexed"]]
    plain = [spec for spec in abi["inputs"] if not spec["indexed"]]
    found = {spec["name"]: _topic(spec, topic) for spec, topic in zip(indexed, topics, strict=True)}
    return found | {spec["name"]: value for spec, value in zip(plain, decode_all(plain, content), strict=True)}


def _topic(spec: Mapping[str, Any], topic: bytes) -> Any:
    kind = str(spec["type"])
    # Only the hash of a dynamic value is in a topic.
    if kind in {"string", "bytes"} or kind.endswith("]") or kind.startswith("tuple"):
        return topic
    return decode([kind], topic)[0]


def _types(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [collapse_if_tuple(_any(spec)) for spec in specs]


def _prepared(spec: Mapping[str, Any], value: Any) -> Any:
    kind = str(spec["type"])
    if kind.endswith("]"):
        item = {**spec, "type": kind[: kind.rindex("[")]}
        return [_prepared(item, entry) for entry in value]
    if kind == "tuple":
        parts = spec["components"]
        values = [value[part["name"]] for part in parts] if isinstance(value, Mapping) else list(value)
        return tuple(_prepared(part, entry) for part, entry in zip(parts, values, strict=True))
    if kind.startswith("bytes") and isinstance(value, str):
        return bytes(HexBytes(value))
    return value


def _any(value: Any) -> Any:
    # eth_utils wants its own TypedDicts; an ABI read from a file is a plain dict.
    return value
