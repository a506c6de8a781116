"""The contracts' trees answer as the published vectors and the platform's own trees do."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from web3.contract import Contract

from backend.cli.local import ROOT
from backend.kernel.merkle import consistency_proof, inclusion_path, leaf_hash, root
from scripts.local_node import deploy, node

VECTORS = json.loads((ROOT / "tests" / "vectors" / "rfc9162.json").read_text("utf-8"))
LEAVES = [leaf_hash(bytes.fromhex(entry)) for entry in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(value) for value in VECTORS["roots"]]


@pytest.fixture(scope="module")
def trees() -> Iterator[Contract]:
    with node(31337) as web3:
        yield deploy(web3, "TreeHarness", file="Harnesses")


def included(trees: Contract, leaf: bytes, index: int, size: int, path: list[bytes], tree: bytes) -> bool:
    """Return what the contract says of an inclusion."""
    return bool(trees.functions.isIncluded(leaf, index, size, path, tree).call())


def extends(trees: Contract, old: int, old_root: bytes, size: int, tree: bytes, proof: list[bytes]) -> bool:
    """Return what the contract says of a growth."""
    return bool(trees.functions.isConsistent(old, old_root, size, tree, proof).call())


def nodes(values: list[str]) -> list[bytes]:
    """Return hashes read from hex."""
    return [bytes.fromhex(value) for value in values]


def test_leaves_are_hashed_as_published(trees: Contract) -> None:
    for entry, leaf in zip(VECTORS["leaves"], LEAVES, strict=True):
        assert trees.functions.leafOf(bytes.fromhex(entry)).call() == leaf


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda case: f"{case['index']} of {case['size']}")
def test_a_published_inclusion_holds_and_only_at_its_place(trees: Contract, case: dict[str, Any]) -> None:
    index, size, path = case["index"], case["size"], nodes(case["path"])
    tree, leaf = ROOTS[size - 1], LEAVES[index]
    assert included(trees, leaf, index, size, path, tree)
    assert not included(trees, leaf, index, size, [*path, leaf], tree)
    assert not included(trees, leaf, index + size, size, path, tree)
    assert not included(trees, leaf, index, 0, path, tree)
    assert not included(trees, leaf, index, size, path, bytes(32))
    if path:
        assert not included(trees, leaf, index, size, path[:-1], tree)
        assert not included(trees, leaf, index, size, path[1:], tree)
        assert not included(trees, leaf, index ^ 1, size, path, tree)
        assert not included(trees, tree, index, size, [], tree)


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda case: f"{case['old']} to {case['size']}")
def test_a_published_growth_holds_and_only_between_its_trees(trees: Contract, case: dict[str, Any]) -> None:
    old, size, proof = case["old"], case["size"], nodes(case["proof"])
    roots = ROOTS[old - 1], ROOTS[size - 1]
    # Equal trees have no proof: the contract is never asked, as an anchor must grow.
    assert extends(trees, old, roots[0], size, roots[1], proof) is (old < size)
    assert not extends(trees, old, roots[0], size, roots[1], [*proof, bytes(32)])
    assert not extends(trees, old, bytes(32), size, roots[1], proof)
    assert not extends(trees, old, roots[0], size, bytes(32), proof)
    assert not extends(trees, size, roots[1], old, roots[0], proof)
    if old < size:
        assert not extends(trees, old, roots[0], size, roots[1], proof[:-1])
        assert not extends(trees, old, roots[0], size, roots[1], proof[1:])


def test_contract_and_platform_agree_on_random_trees(trees: Contract) -> None:
    random = Random(20161121)
    leaves = [leaf_hash(random.randbytes(9)) for _ in range(1100)]
    for _ in range(40):
        size = random.randrange(2, len(leaves))
        old, index, tree = random.randrange(1, size), random.randrange(size), root(leaves[:size])
        proof, path = consistency_proof(leaves[:size], old), inclusion_path(leaves[:size], index)
        assert extends(trees, old, root(leaves[:old]), size, tree, proof)
        assert included(trees, leaves[index], index, size, path, tree)
        wrong = random.choice([place for place in range(size + 1) if place != index])
        assert not included(trees, leaves[index], wrong, size, path, tree)
        assert not extends(trees, old, root(leaves[: old + 1]), size, tree, proof)
