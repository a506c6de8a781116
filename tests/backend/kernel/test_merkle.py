"""RFC 9162 trees: the reference tree, the RFC's recursive definitions, and proofs that must not pass."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel import merkle

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9162.json").read_text())
LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(size)]


def power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def rfc_root(leaves: list[bytes]) -> bytes:
    if len(leaves) <= 1:
        return leaves[0] if leaves else merkle.EMPTY_ROOT
    k = power_below(len(leaves))
    return merkle.node_hash(rfc_root(leaves[:k]), rfc_root(leaves[k:]))


def rfc_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = power_below(len(leaves))
    if index < k:
        return [*rfc_path(index, leaves[:k]), rfc_root(leaves[k:])]
    return [*rfc_path(index - k, leaves[k:]), rfc_root(leaves[:k])]


def rfc_subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [rfc_root(leaves)]
    k = power_below(len(leaves))
    if old <= k:
        return [*rfc_subproof(old, leaves[:k], whole), rfc_root(leaves[k:])]
    return [*rfc_subproof(old - k, leaves[k:], False), rfc_root(leaves[:k])]


def stored_nodes(leaves: list[bytes]) -> dict[tuple[int, int], bytes]:
    _, completed = merkle.grow(0, [], leaves)
    return {(level, index): node for level, index, node in completed}


def test_the_reference_tree_has_its_published_roots() -> None:
    assert bytes.fromhex(VECTORS["empty_root"]) == merkle.root([])
    assert [merkle.root(LEAVES[:size]) for size in range(1, 9)] == ROOTS


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_the_reference_tree_has_its_published_inclusion_paths(case: dict[str, object]) -> None:
    index, size, path = case["index"], case["size"], case["path"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert isinstance(path, list)
    found = merkle.inclusion_path(LEAVES[:size], index)
    assert [node.hex() for node in found] == path
    assert merkle.verify_inclusion(LEAVES[index], index, size, found, ROOTS[size - 1])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_the_reference_tree_has_its_published_consistency_proofs(case: dict[str, object]) -> None:
    old, size, proof = case["old"], case["size"], case["proof"]
    assert isinstance(old, int)
    assert isinstance(size, int)
    assert isinstance(proof, list)
    found = merkle.consistency_proof(LEAVES[:size], old)
    assert [node.hex() for node in found] == proof
    assert merkle.verify_consistency(old, ROOTS[old - 1], size, ROOTS[size - 1], found)


@given(st.integers(1, 130), st.data())
def test_proofs_follow_the_recursive_definitions_and_verify(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    root = rfc_root(leaves)
    path, proof = rfc_path(index, leaves), rfc_subproof(old, leaves, True)
    assert merkle.root(leaves) == root
    assert merkle.inclusion_path(leaves, index) == path
    assert merkle.consistency_proof(leaves, old) == proof
    assert merkle.verify_inclusion(leaves[index], index, size, path, root)
    assert merkle.verify_consistency(old, rfc_root(leaves[:old]), size, root, proof)


@given(st.integers(1, 130), st.data())
def test_proofs_from_stored_nodes_equal_proofs_from_leaves(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    nodes = stored_nodes(leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))

    def node(level: int, at: int) -> bytes:
        return nodes[level, at]

    assert merkle.stored_root(size, node) == merkle.root(leaves)
    assert merkle.stored_inclusion_path(index, size, node) == merkle.inclusion_path(leaves, index)
    assert merkle.stored_consistency_proof(old, size, node) == merkle.consistency_proof(leaves, old)


@given(st.lists(st.integers(0, 40), max_size=6))
def test_growing_in_batches_equals_growing_at_once(batches: list[int]) -> None:
    leaves = leaves_of(sum(batches))
    frontier: list[bytes] = []
    completed: list[tuple[int, int, bytes]] = []
    size = 0
    for batch in batches:
        frontier, added = merkle.grow(size, frontier, leaves[size : size + batch])
        completed += added
        size += batch
    assert (frontier, completed) == merkle.grow(0, [], leaves)
    assert merkle.join(frontier) == merkle.root(leaves)


def test_growing_from_a_frontier_of_another_size_is_refused() -> None:
    frontier, _ = merkle.grow(0, [], leaves_of(6))
    with pytest.raises(ValueError, match="complete subtrees"):
        merkle.grow(7, frontier, leaves_of(1))


@given(st.integers(1, 70), st.data())
def test_no_altered_inclusion_proof_verifies(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    root, path = merkle.root(leaves), merkle.inclusion_path(leaves, index)
    other = merkle.leaf_hash(b"other")
    assert not merkle.verify_inclusion(other, index, size, path, root)
    assert not merkle.verify_inclusion(leaves[index], index, size, [*path, other], root)
    assert not merkle.verify_inclusion(leaves[index], index, size, path, other)
    for wrong in {index - 1, index + 1, index ^ 1, size}:
        if wrong != index:
            assert not merkle.verify_inclusion(leaves[index], wrong, size, path, root)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        assert not merkle.verify_inclusion(leaves[index], index, size, [*path[:at], other, *path[at + 1 :]], root)
        assert not merkle.verify_inclusion(leaves[index], index, size, path[:at] + path[at + 1 :], root)


@given(st.integers(2, 70), st.data())
def test_no_altered_consistency_proof_verifies(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    old = data.draw(st.integers(1, size - 1))
    old_root, root, proof = merkle.root(leaves[:old]), merkle.root(leaves), merkle.consistency_proof(leaves, old)
    other = merkle.leaf_hash(b"other")
    assert not merkle.verify_consistency(old, other, size, root, proof)
    assert not merkle.verify_consistency(old, old_root, size, other, proof)
    assert not merkle.verify_consistency(size, root, old, old_root, proof)
    assert not merkle.verify_consistency(old, old_root, size, root, [*proof, other])
    at = data.draw(st.integers(0, len(proof) - 1))
    assert not merkle.verify_consistency(old, old_root, size, root, [*proof[:at], other, *proof[at + 1 :]])
    assert not merkle.verify_consistency(old, old_root, size, root, proof[:at] + proof[at + 1 :])


def test_any_tree_extends_the_empty_one_and_only_without_a_proof() -> None:
    root = merkle.root(LEAVES)
    assert merkle.verify_consistency(0, merkle.EMPTY_ROOT, 8, root, [])
    assert not merkle.verify_consistency(0, merkle.EMPTY_ROOT, 8, root, [LEAVES[0]])
    assert not merkle.verify_consistency(0, bytes(32), 8, root, [])


def test_hashes_of_another_length_are_refused() -> None:
    path = merkle.inclusion_path(LEAVES, 3)
    assert not merkle.verify_inclusion(LEAVES[3][:31], 3, 8, path, ROOTS[7])
    assert not merkle.verify_inclusion(LEAVES[3], 3, 8, [path[0][:31], *path[1:]], ROOTS[7])
    assert not merkle.verify_inclusion(LEAVES[3], 3, 8, path, b"")


def test_huge_sizes_end_at_once() -> None:
    assert not merkle.verify_inclusion(LEAVES[0], 0, 2**63 - 1, [LEAVES[1]] * 5000, ROOTS[7])
    assert not merkle.verify_consistency(2**62, ROOTS[0], 2**63 - 1, ROOTS[7], [LEAVES[1]] * 5000)
    assert not merkle.verify_inclusion(LEAVES[0], 0, 2**80, [], ROOTS[7])
    assert len(merkle.inclusion_nodes(12345, 10**6)) == 20


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8)])
def test_a_path_to_a_missing_leaf_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_path(LEAVES[:size], index)
    assert not merkle.verify_inclusion(LEAVES[0], index, size, [], ROOTS[0])
