"""Hold three readers of RFC 9162 proofs against one another: `python -m scripts.chaos.merkle [--vectors N] [--seed N]`.

The kernel, the verifier's one file, and the Solidity library (called on a throw-away node) must give the same answer
on every inclusion and consistency proof, true or changed. True ones must be accepted; those with a changed hash, or
with a node more or less, refused. A changed index or size may leave a path true (it binds no size): only the same
answer is asked for. Trees are a log of random leaves, and trees of up to 2^52 equal leaves.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection
from random import Random
from typing import Any
from urllib.parse import urlsplit

from backend.kernel import merkle
from backend.kernel.keccak import keccak256
from backend.transparency.engine import verifier
from scripts.local_node import deploy, node

DEFAULT_VECTORS = 100_000
BATCH = 500
LEAVES = 5000
LARGEST_LEVEL = 52
INCLUDED = keccak256(b"isIncluded(bytes32,uint64,uint64,bytes32[],bytes32)")[:4]
CONSISTENT = keccak256(b"isConsistent(uint64,bytes32,uint64,bytes32,bytes32[])")[:4]


@dataclass(frozen=True, slots=True)
class Vector:
    """A proof: inclusion of `first` at `small` in (large, root), or of the tree (small, first) in (large, root)."""

    kind: str
    small: int
    large: int
    first: bytes
    root: bytes
    path: tuple[bytes, ...]
    change: str = "true"

    @property
    def expected(self) -> bool | None:
        """Return the answer where it follows from the change."""
        return {"true": True, "numbers": None}.get(self.change, False)


@dataclass(frozen=True, slots=True)
class Trees:
    """A log of random leaves by its stored nodes, and the nodes of trees whose leaves are equal."""

    nodes: Mapping[tuple[int, int], bytes]
    uniform: Sequence[bytes]

    def node(self, level: int, index: int) -> bytes:
        """Return a stored node of the log."""
        return self.nodes[level, index]

    def uniform_node(self, level: int, _index: int) -> bytes:
        """Return a node of a tree of equal leaves."""
        return self.uniform[level]


def plant(draw: Random) -> Trees:
    """Return the trees that proofs are taken from."""
    _, completed = merkle.grow(0, [], [draw.randbytes(32) for _ in range(LEAVES)])
    uniform = [draw.randbytes(32)]
    for _ in range(LARGEST_LEVEL + 1):
        uniform.append(merkle.node_hash(uniform[-1], uniform[-1]))
    return Trees({(level, index): digest for level, index, digest in completed}, uniform)


def true_vector(trees: Trees, draw: Random) -> Vector:
    """Return a true proof."""
    is_large = draw.random() < 0.2
    most = 2 ** draw.randrange(2, LARGEST_LEVEL) if is_large else min(LEAVES, 2 ** draw.randrange(2, 14))
    read = trees.uniform_node if is_large else trees.node
    size = draw.randrange(2, most + 1)
    root = merkle.stored_root(size, read)
    if draw.random() < 0.5:
        index = draw.randrange(size)
        return Vector("inclusion", index, size, read(0, index), root, tuple(_inclusion(index, size, read)))
    old = draw.randrange(1, size)
    path = merkle.stored_consistency_proof(old, size, read)
    return Vector("consistency", old, size, merkle.stored_root(old, read), root, tuple(path))


def _inclusion(index: int, size: int, read: Callable[[int, int], bytes]) -> list[bytes]:
    return merkle.stored_inclusion_path(index, size, read)


def changed(vector: Vector, draw: Random) -> Vector:
    """Return the proof with one thing changed."""
    change = draw.choice(["node", "more", "less", "root", "first", "exchanged", "numbers"])
    path = list(vector.path)
    place = draw.randrange(len(path) + 1)
    if change in {"node", "less"} and not path:
        change = "more"
    if change == "node":
        path[place % len(path)] = _flipped(path[place % len(path)], draw)
    elif change == "less":
        del path[place % len(path)]
    elif change == "more":
        path.insert(place, draw.choice([draw.randbytes(32), vector.root, vector.first]))
    elif change == "numbers":
        return _renumbered(vector, draw)
    else:
        first, root = vector.root, vector.first
        if change != "exchanged":
            first = _flipped(vector.first, draw) if change == "first" else vector.first
            root = _flipped(vector.root, draw) if change == "root" else vector.root
        return replace(vector, change=change, first=first, root=root)
    return replace(vector, path=tuple(path), change=change)


def _renumbered(vector: Vector, draw: Random) -> Vector:
    small = max(0, vector.small + draw.choice([-2, -1, 0, 1, 2, 2**40, vector.large]))
    large = max(0, vector.large + draw.choice([-2, -1, 0, 1, 2, 2**40, -vector.large]))
    # Trees of equal size, or the empty one, have no proof: the library leaves them to its caller.
    if vector.kind == "consistency" and small in {0, large}:
        small, large = large + 1, max(large, 1)
    return replace(vector, small=small, large=large, change="numbers")


def _flipped(digest: bytes, draw: Random) -> bytes:
    return (int.from_bytes(digest, "big") ^ (1 << draw.randrange(256))).to_bytes(32, "big")


def by_kernel(vector: Vector) -> bool:
    """Return the kernel's answer."""
    if vector.kind == "inclusion":
        return merkle.verify_inclusion(vector.first, vector.small, vector.large, vector.path, vector.root)
    return merkle.verify_consistency(vector.small, vector.first, vector.large, vector.root, vector.path)


def by_verifier(vector: Vector) -> bool:
    """Return the answer of the verifier's file."""
    try:
        if vector.kind == "inclusion":
            return verifier.root_from_path(vector.first, vector.small, vector.large, vector.path) == vector.root
        verifier.require_consistency(vector.small, vector.first, vector.large, vector.root, vector.path)
    except verifier.Failed:
        return False
    return True


def calldata(vector: Vector) -> str:
    """Return the call of the library's harness."""
    small, large = vector.small.to_bytes(32, "big"), vector.large.to_bytes(32, "big")
    offset, length = (160).to_bytes(32, "big"), len(vector.path).to_bytes(32, "big")
    if vector.kind == "inclusion":
        head = INCLUDED + vector.first + small + large + offset + vector.root
    else:
        head = CONSISTENT + small + vector.first + large + vector.root + offset
    return "0x" + (head + length + b"".join(vector.path)).hex()


def by_contract(url: str, to: str, vectors: Sequence[Vector]) -> list[bool]:
    """Return the contract's answers, asked for in batches."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    answers: list[bool] = []
    for start in range(0, len(vectors), BATCH):
        batch = [
            {"jsonrpc": "2.0", "id": at, "method": "eth_call", "params": [{"to": to, "data": calldata(one)}, "latest"]}
            for at, one in enumerate(vectors[start : start + BATCH])
        ]
        connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
        replies: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        replies.sort(key=lambda reply: int(reply["id"]))
        answers += [int(reply["result"], 16) == 1 for reply in replies]
    connection.close()
    return answers


Readers = Mapping[str, Callable[[Sequence[Vector]], list[bool]]]


def one_by_one(reader: Callable[[Vector], bool], vectors: Sequence[Vector]) -> list[bool]:
    """Return a reader's answers."""
    return [reader(vector) for vector in vectors]


def disagreements(vectors: Sequence[Vector], readers: Readers) -> Iterator[str]:
    """Yield a line for each vector on which the readers disagree, or agree on the wrong answer."""
    answers = {name: read(vectors) for name, read in readers.items()}
    for place, vector in enumerate(vectors):
        given = {name: read[place] for name, read in answers.items()}
        if len({*given.values(), *([] if vector.expected is None else [vector.expected])}) > 1:
            yield f"{vector.kind} {vector.small} in {vector.large}, {vector.change}: {given}"


def run(count: int, seed: int, readers: Readers) -> tuple[Counter[str], list[str]]:
    """Compare the readers on `count` vectors, half of them true; return how many of each sort, and what differed."""
    draw = Random(seed)  # noqa: S311 - reproducible, not secret
    trees = plant(draw)
    sorts: Counter[str] = Counter()
    wrong: list[str] = []
    for start in range(0, count, 10_000):
        true = [true_vector(trees, draw) for _ in range(min(10_000, count - start))]
        vectors = [changed(vector, draw) if place % 2 else vector for place, vector in enumerate(true)]
        sorts.update(f"{vector.kind}, {vector.change}" for vector in vectors)
        wrong += disagreements(vectors, readers)
    return sorts, wrong


def main() -> int:
    """Compare the three readers and print what was compared; exit 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=DEFAULT_VECTORS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with node(31337) as web3:
        harness = deploy(web3, "TreeHarness", file="Harnesses")
        url = str(web3.provider.endpoint_uri)  # type: ignore[attr-defined]
        sorts, wrong = run(options.vectors, options.seed, all_readers(url, str(harness.address)))
    print(*(f"{name:<32}{number:>8}" for name, number in sorted(sorts.items())), *wrong[:20], sep="\n")
    seconds = time.monotonic() - started
    print(f"{options.vectors} vectors, 3 readers, {len(wrong)} disagreements, seed {options.seed}, {seconds:.0f} s")
    return 1 if wrong else 0


def all_readers(url: str, harness: str) -> Readers:
    """Return the kernel, the verifier's file and the contract on a node."""
    return {
        "kernel": partial(one_by_one, by_kernel),
        "verifier": partial(one_by_one, by_verifier),
        "contract": partial(by_contract, url, harness),
    }


if __name__ == "__main__":
    sys.exit(main())
