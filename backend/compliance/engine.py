"""What a verdict looks like as evidence."""

from hashlib import sha256

from backend.kernel.canonical import JsonValue, canonical_json
from backend.ports.policy import Verdict


def receipt_of(verdict: Verdict) -> dict[str, JsonValue]:
    """Return a verdict as an evidence pack holds it; with `sender` the check can be asked again."""
    return {
        "engine": verdict.engine,
        "target": verdict.target,
        "sender": verdict.sender,
        "selector": verdict.selector,
        "calldata_sha256": verdict.calldata_sha256,
        "block_number": verdict.block_number,
        "block_hash": verdict.block_hash,
        "verdict": "allowed" if verdict.allowed else "refused",
        "policy": verdict.policy,
        "reason": verdict.reason,
    }


def sealed(receipt: dict[str, JsonValue]) -> tuple[str, str]:
    """Return a receipt's SHA-256 in hex and its canonical JSON."""
    text = canonical_json(receipt)
    return sha256(text).hexdigest(), text.decode()
