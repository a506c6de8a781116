"""Calls by the ABIs of a deployments folder: what a proposal does, and how to write one."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector
from eth_utils.crypto import keccak

from backend.adapters.chain.abi import Deployed, Deployments, encode_all
from backend.adapters.governance.values import ADDRESS, address, lenient_codec, parsed, shown
from backend.kernel.errors import Invalid, NotFound
from backend.ports.governance import Argument, Call, Decoded

SIGNATURE = re.compile(r"([A-Za-z_$][\w$]*)\((.*)\)")
MOST_REPEATED = 4
# Where a function carries calls to others: target, value and data of each, or lists of them.
CARRIERS: Mapping[str, tuple[str, str, str]] = {
    "relay": ("target", "value", "data"),
    "schedule": ("target", "value", "data"),
    "execute": ("target", "value", "payload"),
    "scheduleBatch": ("targets", "values", "payloads"),
    "executeBatch": ("targets", "values", "payloads"),
    "propose": ("targets", "values", "calldatas"),
    "queue": ("targets", "values", "calldatas"),
}


class ContractBook:
    """The contracts of one network, by name and by address."""

    def __init__(self, folder: Path) -> None:
        self._deployments = Deployments(folder, {})
        self._codec = lenient_codec()

    def target(self, name_or_address: str) -> str:
        """Return an address, lower-case."""
        if ADDRESS.fullmatch(name_or_address):
            return address(name_or_address).lower()
        try:
            return self._deployments.get(name_or_address).address
        except NotFound as unknown:
            names = ", ".join(sorted(known.name for known in self._deployments.all())) or "none is deployed here"
            raise Invalid(
                f"no contract {name_or_address!r}: write 0x and 40 hex digits, or one of {names}"
            ) from unknown

    def name_at(self, address: str) -> str:
        """Return the name of the contract at an address."""
        found = self._deployments.at(address)
        return found.name if found else ""

    def encode(self, target: str, function: str, arguments: Sequence[Any]) -> bytes:
        """Return the data of a call."""
        inputs, selector = self._function(self._deployments.at(target), target, function, len(arguments))
        if len(inputs) != len(arguments):
            raise Invalid(f"{function} takes {len(inputs)} arguments, {len(arguments)} were given")
        values = [parsed(spec, value, self.target) for spec, value in zip(inputs, arguments, strict=True)]
        try:
            return selector + encode_all(inputs, values)
        except (EncodingError, TypeError, ValueError) as error:
            raise Invalid(f"{function} does not take these arguments: {error}") from error

    def decode(self, call: Call) -> Decoded | None:
        """Return what a call does."""
        contract = self._deployments.at(call.target)
        abi = _by_selector(contract, call.data[:4]) if contract and len(call.data) >= 4 else None
        if contract is None or abi is None:
            return None
        inputs, types = abi["inputs"], [collapse_if_tuple(spec) for spec in abi["inputs"]]
        try:
            values = self._codec.decode(types, call.data[4:])
        except (DecodingError, ValueError, OverflowError):
            return None
        is_whole = _encodes_to(inputs, values, call.data[4:])
        if not is_whole and _weight(values) > MOST_REPEATED * len(call.data):
            # Its arguments point at the same bytes again and again: reading them out would fill the memory.
            return None
        return Decoded(
            contract=contract.name,
            function=abi["name"],
            signature=_signature(abi),
            arguments=tuple(
                Argument(spec["name"], kind, shown(spec, value))
                for spec, kind, value in zip(inputs, types, values, strict=True)
            ),
            is_whole=is_whole,
            # Only what is encoded plainly bounds the calls in it by its size.
            inner=_carried(abi, values) if is_whole else (),
        )

    def _function(
        self, contract: Deployed | None, target: str, function: str, count: int
    ) -> tuple[Sequence[Mapping[str, Any]], bytes]:
        whole = SIGNATURE.fullmatch(function)
        if contract is None:
            if whole is None:
                raise Invalid(f"nothing is known of {target}: write the whole signature, e.g. setLimit(uint256)")
            types = [part for part in _split(whole[2]) if part]
            if any("(" in part for part in types):
                raise Invalid(f"{function} takes a struct: of an unknown contract give the data itself")
            return [{"name": "", "type": kind} for kind in types], bytes(keccak(text=function.replace(" ", "")))[:4]
        changing = [item for item in contract.abi if item["type"] == "function" and _changes(item)]
        wanted = [item for item in changing if _signature(item) == function.replace(" ", "")] if whole else [
            item for item in changing if item["name"] == function
        ]  # fmt: skip
        fitting = [item for item in wanted if len(item["inputs"]) == count] or wanted
        if len(fitting) != 1:
            known = ", ".join(sorted(_signature(item) for item in wanted or changing))
            raise Invalid(f"{contract.name} has no one function {function!r}: choose one of {known}")
        return fitting[0]["inputs"], bytes(function_abi_to_4byte_selector(_any(fitting[0])))


def _by_selector(contract: Deployed, selector: bytes) -> Any:
    return next(
        (
            item
            for item in contract.abi
            if item["type"] == "function" and bytes(function_abi_to_4byte_selector(_any(item))) == selector
        ),
        None,
    )


def _any(value: Any) -> Any:
    # eth_utils wants its own TypedDicts; an ABI read from a file is a plain dict.
    return value


def _changes(item: Mapping[str, Any]) -> bool:
    return item.get("stateMutability") not in {"view", "pure"}


def _signature(abi: Mapping[str, Any]) -> str:
    return f"{abi['name']}({','.join(collapse_if_tuple(_any(spec)) for spec in abi['inputs'])})"


def _split(types: str) -> list[str]:
    return [part.strip() for part in types.split(",")]


def _weight(value: Any) -> int:
    if isinstance(value, list | tuple):
        return 32 + sum(map(_weight, value))
    return max(32, len(value)) if isinstance(value, bytes | str) else 32


def _encodes_to(inputs: Sequence[Mapping[str, Any]], values: Sequence[Any], data: bytes) -> bool:
    try:
        return encode_all(inputs, values) == data
    except (EncodingError, TypeError, ValueError):
        return False


def _carried(abi: Mapping[str, Any], values: Sequence[Any]) -> tuple[Call, ...]:
    named = dict(zip((spec["name"] for spec in abi["inputs"]), values, strict=True))
    parts = CARRIERS.get(str(abi["name"]))
    if parts is None or not set(parts) <= set(named):
        return ()
    targets, sent, data = (named[part] for part in parts)
    if isinstance(targets, str):
        return (Call(targets.lower(), sent, data),)
    return tuple(Call(target.lower(), value, part) for target, value, part in zip(targets, sent, data, strict=False))
