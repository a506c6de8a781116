"""Compare our CIDs and archives with those of a real node: `python -m scripts.ipfs_interop MULTIADDR`."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from datetime import timedelta
from hashlib import shake_256
from pathlib import Path
from typing import TypeVar

from backend.adapters.content_store.kubo import KuboStore
from backend.kernel.car import car_archive
from backend.kernel.cid import CHUNK_BYTES, file_blocks, file_cid
from backend.kernel.errors import RefiError

T = TypeVar("T")
VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "cid.json"
TIMEOUT = timedelta(seconds=20)


async def compare(address: str) -> int:
    """Add, read, pin, export and import every vector and print a line each; return how many differ."""
    vectors = json.loads(VECTORS.read_text())
    store, differing = KuboStore(address, TIMEOUT), 0
    contents = [shake_256(vectors["shake256_of"].encode()).digest(case["bytes"]) for case in vectors["files"]]
    for content in [*contents, bytes(3 * CHUNK_BYTES)]:
        try:
            line, same = await _one(store, content)
        except RefiError as error:
            line, same = error.detail, False
        differing += not same
        sys.stdout.write(f"{'same' if same else 'DIFFERS':8}{len(content):>10} bytes  {line}\n")
    return differing


async def _one(store: KuboStore, content: bytes) -> tuple[str, bool]:
    blocks = file_blocks(content)
    archive = car_archive(blocks[-1].cid, blocks)
    cid, added = await _timed(store.put(content))
    found, read = await _timed(store.get(cid))
    await store.pin(cid)
    theirs, exported = await _timed(store.archive(cid))
    root, imported = await _timed(store.load_archive(archive))
    same = cid == root == file_cid(content) and found == content and theirs == archive
    return f"add {added:.2f} s, cat {read:.2f} s, export {exported:.2f} s, import {imported:.2f} s  {cid}", same


async def _timed(work: Awaitable[T]) -> tuple[T, float]:
    started = time.monotonic()
    return await work, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(compare(*sys.argv[1:2] or ["/ip4/127.0.0.1/tcp/5001/http"])) else 0)
