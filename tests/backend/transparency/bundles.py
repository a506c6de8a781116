"""Daily bundles of a made-up log, written a batch at a time, with anchors: some honest, some not."""

import json
import resource
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from backend.anchoring.engine import log_id
from backend.kernel import merkle
from backend.kernel.canonical import canonical_json, encode_bytes
from backend.kernel.signed_note import Checkpoint, checkpoint_text, sign_note
from backend.transparency.engine.log_audit import Bundle, LogAudit, add_bundle
from tests.backend.cli.logs import KEY, PRIVATE

CONTRACT = "0x" + "c0" * 20
CHAIN_ID = 42069
LOG_ID = log_id(KEY.name, KEY.public_key, CHAIN_ID, CONTRACT)


def entry(index: int) -> str:
    """Return the entry at an index."""
    return f'{{"c":"{encode_bytes(sha256(b"%d" % index).digest())}","t":"order.filled","v":1}}'


def anchor(index: int, size: int, root: bytes) -> dict[str, Any]:
    """Return an anchor as a pack holds it."""
    return {
        "chain_id": CHAIN_ID,
        "contract": CONTRACT,
        "log_id": "0x" + LOG_ID.hex(),
        "index": index,
        "size": size,
        "root": encode_bytes(root),
        "heads_root": encode_bytes(sha256(b"heads%d" % index).digest()),
        "block_number": 10 + index,
        "tx_hash": "0x" + "7a" * 32,
    }


def documents(days: int, per_day: int, anchors_a_day: int = 1) -> Iterator[dict[str, Any]]:
    """Yield one bundle's document a day."""
    size, frontier, placed = 0, [b""] * 0, 0
    for _ in range(days):
        entries, anchors, start = [entry(at) for at in range(size, size + per_day)], [], size
        for part in range(anchors_a_day):
            end = start + per_day * (part + 1) // anchors_a_day
            hashes = [merkle.leaf_hash(text.encode()) for text in entries[size - start : end - start]]
            frontier, _ = merkle.grow(size, frontier, hashes)
            size = end
            anchors.append(anchor(placed, size, merkle.join(frontier)))
            placed += 1
        text = checkpoint_text(Checkpoint(KEY.name, size, merkle.join(frontier)))
        yield {
            "format": "refi-log-bundle/1",
            "origin": KEY.name,
            "log_public_key": str(KEY),
            "start": start,
            "end": size,
            "entries": entries,
            "checkpoint": sign_note(text, KEY, PRIVATE.sign),
            "anchors": anchors,
        }


def write(folder: Path, *args: int) -> list[Path]:
    """Write bundles as files."""
    paths = []
    for day, document in enumerate(documents(*args)):
        paths.append(folder / f"day-{day:04d}.json")
        paths[-1].write_bytes(canonical_json(document))
    return paths


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's content."""
    with path.open("rb") as file:
        while piece := file.read(2**18):
            yield piece


def audit_million(folder: Path, days: int = 25, per_day: int = 40_000, anchors_a_day: int = 10) -> dict[str, Any]:
    """Audit a log of a million entries with 250 anchors, and say how long it took (seconds) and its peak (MiB)."""
    paths = write(folder, days, per_day, anchors_a_day)
    audit, started = LogAudit(), time.monotonic()
    for path in paths:
        for _ in add_bundle(audit, Bundle(pieces(path))):
            pass
    findings = audit.findings()
    seconds = time.monotonic() - started
    return {
        "entries": audit.size,
        "anchors": len(audit.anchors),
        "seconds": round(seconds, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "ok": all(finding.result == "pass" for finding in findings),
    }


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(audit_million(Path(place))) + "\n")
