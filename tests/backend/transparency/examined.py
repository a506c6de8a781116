"""How the tests ask the verifier, and what they read from its report."""

import json
from typing import Any

from eth_utils.crypto import keccak

from backend.transparency.engine.verifier import Report, verify

LOCAL: dict[str, Any] = {"contract": "0x" + "c0" * 20, "chain_id": 42069, "timeout": 5.0}


def check(pack: object, **named: Any) -> Report:
    return verify(json.dumps(pack).encode(), **(LOCAL | named))


def result(report: Report, name: str) -> str:
    return next(item.result for item in report.checks if item.name == name)


def failed(report: Report) -> set[str]:
    return {item.name for item in report.checks if item.result == "fail"}


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]
