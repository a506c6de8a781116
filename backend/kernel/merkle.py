"""Merkle trees of RFC 9162 section 2.1 over SHA-256: roots, proofs, their verification, and growth by stored subtrees.

A node is named by (level, index): it covers the leaves index * 2^level up to (index + 1) * 2^level, all present.
Sizes and roots travel together: a bare root does not bind the number of leaves under it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

Node = tuple[int, int]
NodeReader = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry into its leaf."""
    # RFC 9162 2.1.1: the prefixes keep a leaf from passing for an interior node.
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over the leaf hashes, the hash of nothing for none."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)] + odd
    return level[0]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the path from leaf `index` upwards to the root over the leaf hashes."""
    return [root(leaf_hashes[start:end]) for start, end in inclusion_ranges(index, len(leaf_hashes))]


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the tree over the leaf hashes extends the one over the first `old_size` of them."""
    return [root(leaf_hashes[start:end]) for start, end in consistency_ranges(old_size, len(leaf_hashes))]


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges [start, end) whose roots are the inclusion path, from the leaf upwards."""
    if not 0 <= index < size <= MAX_SIZE:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    ranges, start, end = [], 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges [start, end) whose roots are the consistency proof (RFC 9162 2.1.4.1)."""
    if not 0 <= old_size <= size <= MAX_SIZE:
        raise ValueError(f"a tree of {size} does not extend one of {old_size}")
    if old_size in {0, size}:
        return []
    ranges, start, end = [], 0, size
    while old_size != end:
        split = start + _split(end - start)
        if old_size <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    # The verifier knows the old root itself: it is left out where it is a whole subtree from leaf 0.
    if start:
        ranges.append((start, end))
    return ranges[::-1]


def subtrees(start: int, end: int) -> list[Node]:
    """Return the largest complete subtrees that cover the leaves [start, end), from left to right."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def inclusion_nodes(index: int, size: int) -> list[list[Node]]:
    """Return the stored nodes behind each element of an inclusion path; `join` makes an element of each list."""
    return [subtrees(start, end) for start, end in inclusion_ranges(index, size)]


def consistency_nodes(old_size: int, size: int) -> list[list[Node]]:
    """Return the stored nodes behind each element of a consistency proof; `join` makes an element of each list."""
    return [subtrees(start, end) for start, end in consistency_ranges(old_size, size)]


def join(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees given from left to right."""
    if not hashes:
        return EMPTY_ROOT
    joined = hashes[-1]
    for left in reversed(hashes[:-1]):
        joined = node_hash(left, joined)
    return joined


def stored_root(size: int, node: NodeReader) -> bytes:
    """Return the root of a tree of `size` leaves from its stored nodes."""
    return join([node(level, index) for level, index in subtrees(0, size)])


def stored_inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return an inclusion path from stored nodes, reading no leaf but a sibling."""
    return [join([node(level, at) for level, at in group]) for group in inclusion_nodes(index, size)]


def stored_consistency_proof(old_size: int, size: int, node: NodeReader) -> list[bytes]:
    """Return a consistency proof from stored nodes."""
    return [join([node(level, at) for level, at in group]) for group in consistency_nodes(old_size, size)]


def grow(
    size: int, frontier: Sequence[bytes], leaf_hashes: Sequence[bytes]
) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    """Append leaves to a tree known by its frontier.

    Parameters: `frontier` holds the hashes of `subtrees(0, size)`. Returns the new frontier, and every node
    (level, index, hash) that became complete, the leaves themselves (level 0) included, in order of completion.
    """
    if len(frontier) != size.bit_count():
        raise ValueError(f"a tree of {size} has {size.bit_count()} complete subtrees, not {len(frontier)}")
    stack, completed = list(frontier), []
    for position, leaf in enumerate(leaf_hashes, start=size):
        level, index, carried = 0, position, leaf
        completed.append((level, index, carried))
        while index % 2:
            carried = node_hash(stack.pop(), carried)
            level, index = level + 1, index // 2
            completed.append((level, index, carried))
        stack.append(carried)
    return stack, completed


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to, or None where no path of that shape fits (index, size)."""
    if not 0 <= index < size <= MAX_SIZE or not _are_hashes(leaf, *path):
        return None
    at, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at % 2 or at == last:
            computed = node_hash(sibling, computed)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    return computed if last == 0 else None


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root_hash: bytes) -> bool:
    """Tell whether `leaf` stands at `index` of the tree (size, root), as RFC 9162 2.1.3.2."""
    return root_from_path(leaf, index, size, path) == root_hash


def verify_consistency(old_size: int, old_root: bytes, size: int, root_hash: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the tree (size, root) extends the tree (old_size, old_root), as RFC 9162 2.1.4.2."""
    if not 0 <= old_size <= size <= MAX_SIZE or not _are_hashes(old_root, root_hash, *proof):
        return False
    if old_size == size:
        return not proof and old_root == root_hash
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    # A whole subtree's root is known to the verifier and is not sent.
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    return bool(nodes) and _replay_consistency(old_size, size, nodes) == (old_root, root_hash)


def _replay_consistency(old_size: int, size: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    at, last = old_size - 1, size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return None
        if at % 2 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None


def _split(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
