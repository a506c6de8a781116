"""What a verdict looks like as evidence."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from backend.compliance.types import Ruling, Word
from backend.kernel.canonical import JsonValue, canonical_json
from backend.ports.policy import OrderCheck, Verdict

UNAPPROVED = "unapproved"


def receipt_of(verdict: Verdict, word: Word) -> dict[str, JsonValue]:
    """Return a verdict as an evidence pack holds it; with `sender` and `context` the check can be asked again."""
    context: dict[str, JsonValue] = {"context": verdict.context} if verdict.context else {}
    return context | {
        "engine": verdict.engine,
        "target": verdict.target,
        "sender": verdict.sender,
        "selector": verdict.selector,
        "calldata_sha256": verdict.calldata_sha256,
        "block_number": verdict.block_number,
        "block_hash": verdict.block_hash,
        "verdict": word,
        "policy": verdict.policy,
        "reason": verdict.reason,
    }


def sealed(receipt: dict[str, JsonValue]) -> tuple[str, str]:
    """Return a receipt's SHA-256 in hex and its canonical JSON."""
    text = canonical_json(receipt)
    return sha256(text).hexdigest(), text.decode()


def model_state_of(order: OrderCheck) -> str:
    """Return what a record says of the model that decided: "" for a person, else "production" or "unapproved"."""
    if order.model_sha256 is None:
        return ""
    return UNAPPROVED if order.paper else "production"


def state_in(receipt: Mapping[str, Any]) -> str:
    """Return `model_state_of` the order that a receipt of a model's order was given for."""
    paper = str(receipt.get("context", ""))[-64:]
    return UNAPPROVED if paper and int(paper, 16) else "production"


def on_paper(order: OrderCheck) -> OrderCheck:
    """Return the question about the same order at a venue without money."""
    return replace(order, paper=True)


def spared(last: Ruling, restated: Verdict, reason: str) -> Ruling:
    """Return the ruling of grace that a last allowed one leaves."""
    return replace(last, word="grace", verdict=replace(restated, reason=reason))
