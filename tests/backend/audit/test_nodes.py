"""The stored tiles hold every complete node of the tree, and lend new nodes only what was signed."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audit.engine.nodes import Grown, StoredTile, grow, leaves_of, open_tiles, place_of, tile_key
from backend.kernel import merkle
from backend.kernel.errors import Tampered

LEAVES = [sha256(b"%d" % number).digest() for number in range(70_000)]


def grown_by(batches: list[int]) -> tuple[Grown, dict[int, StoredTile]]:
    """Return the tree after batches of leaves, reading for each batch only the tiles that it must."""
    tiles: dict[int, StoredTile] = {}
    tree = Grown(0, (), {})
    for count in batches:
        lent = {key: tiles[key] for key in open_tiles(tree.size, count)}
        tree = grow(tree.size, tree.frontier, LEAVES[tree.size : tree.size + count], lent)
        tiles.update(tree.tiles)
    return tree, tiles


@given(batches=st.lists(st.sampled_from([1, 2, 3, 127, 128, 255, 256, 257, 511, 600]), min_size=1, max_size=8))
def test_any_batches_leave_the_tree_of_their_leaves(batches: list[int]) -> None:
    tree, tiles = grown_by(batches)
    frontier, completed = merkle.grow(0, [], LEAVES[: sum(batches)])
    assert list(tree.frontier) == frontier
    assert sum(len(tile.hashes) for tile in tiles.values()) == 32 * len(completed)
    for level, index, digest in completed:
        key, height, place = place_of(level, index)
        assert tiles[key].node(height, place) == digest


def test_a_tree_of_several_layers_keeps_every_node_once() -> None:
    tree, tiles = grown_by([65_535, 1, 2, 1_000])
    assert merkle.join(tree.frontier) == merkle.root(LEAVES[:66_538])
    assert {key >> 56 for key in tiles} == {0, 1, 2}
    assert tiles[tile_key(2, 0)] == StoredTile(1, merkle.root(LEAVES[:65_536]))


@given(st.lists(st.text(max_size=40), max_size=5))
def test_leaves_are_hashed_as_everywhere(texts: list[str]) -> None:
    assert leaves_of(texts) == [merkle.leaf_hash(text.encode()) for text in texts]


def test_a_node_that_is_not_complete_is_not_there() -> None:
    _, tiles = grown_by([3])
    tile = tiles[tile_key(0, 0)]
    assert tile.node(0, 2) == LEAVES[2]
    assert tile.node(0, 3) is None
    assert tile.node(1, 1) is None
    assert tile.node(0, -1) is None


@pytest.mark.parametrize("size", [1, 3, 200, 255])
def test_an_open_tile_that_lends_another_hash_than_was_signed_is_refused(size: int) -> None:
    tree, tiles = grown_by([size])
    key, height, place = place_of(*merkle.subtrees(0, size)[-1])
    tile = tiles[key]
    signed = tile.node(height, place)
    assert signed is not None
    wrong = replace(tile, hashes=tile.hashes.replace(signed, bytes(32)))
    for lent in ({}, {key: wrong}, {key: replace(tile, hashes=tile.hashes[:-1])}, {key: replace(tile, width=size - 1)}):
        with pytest.raises(Tampered):
            grow(size, tree.frontier, LEAVES[size : size + 1], lent)
    assert grow(size, tree.frontier, LEAVES[size : size + 1], {key: tile}).size == size + 1
