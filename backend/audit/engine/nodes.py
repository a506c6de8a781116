"""How the tree's nodes are kept: 256 neighbours of one level and what stands on them, up to seven levels, in one row.

The tile (layer, number) holds the levels 8 * layer up to 8 * layer + 7, each from left to right, the lowest first: its
first 256 hashes are the tile that is served. A node of level 8 * layer + 8 is the next layer's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from backend.audit.engine.tiles import TILE_HEIGHT, TILE_WIDTH
from backend.kernel import merkle
from backend.kernel.errors import Tampered

HASH_BYTES = 32
PAIR_BYTES = 2 * HASH_BYTES
LAYER_SHIFT = 56
_STARTS = [
    [sum(width >> height for height in range(below)) for below in range(TILE_HEIGHT + 1)]
    for width in range(TILE_WIDTH + 1)
]


@dataclass(frozen=True, slots=True)
class StoredTile:
    """The nodes over some neighbours of one level; fewer than 256 neighbours at the tree's right edge."""

    width: int
    hashes: bytes

    def node(self, height: int, place: int) -> bytes | None:
        """Return a node's hash by its level in the tile and its place on it, nothing where it is not complete."""
        if not 0 <= place < self.width >> height:
            return None
        at = (_STARTS[self.width][height] + place) * HASH_BYTES
        return self.hashes[at : at + HASH_BYTES]

    def levels(self) -> list[bytes]:
        """Return the hashes of each level in the tile."""
        starts, hashes = _STARTS[self.width], self.hashes
        return [hashes[starts[at] * HASH_BYTES : starts[at + 1] * HASH_BYTES] for at in range(TILE_HEIGHT)]


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree after it grew: its frontier, and the tiles that changed by their keys."""

    size: int
    frontier: tuple[bytes, ...]
    tiles: Mapping[int, StoredTile]


def tile_key(layer: int, number: int) -> int:
    """Return the one integer under which a tile is kept."""
    return layer << LAYER_SHIFT | number


def place_of(level: int, index: int) -> tuple[int, int, int]:
    """Return (tile key, level in the tile, place on it) of the node (level, index)."""
    layer, height = divmod(level, TILE_HEIGHT)
    within = TILE_HEIGHT - height
    return tile_key(layer, index >> within), height, index & ((1 << within) - 1)


def open_tiles(size: int, count: int) -> list[int]:
    """Return the keys of the tiles at the right edge that `count` more leaves add to."""
    keys, layer, end = [], 0, size + count
    while end > size:
        if size % TILE_WIDTH:
            keys.append(tile_key(layer, size // TILE_WIDTH))
        layer, size, end = layer + 1, size // TILE_WIDTH, end // TILE_WIDTH
    return keys


def leaves_of(texts: Iterable[str]) -> list[bytes]:
    """Return the leaves of entries; a call less for each of many than `merkle.leaf_hash`."""
    return [sha256(b"\x00" + text.encode()).digest() for text in texts]


def grow(size: int, frontier: Sequence[bytes], leaf_hashes: Sequence[bytes], tiles: Mapping[int, StoredTile]) -> Grown:
    """Append leaves to a tree known by its frontier, `merkle.subtrees(0, size)`, and by its open tiles.

    What the tiles lend to new nodes must be the frontier's: Tampered where it is not.
    """
    known = dict(zip(merkle.subtrees(0, size), frontier, strict=True))
    changed: dict[int, StoredTile] = {}
    layer, start, added = 0, size, leaf_hashes
    while added:
        added = _grow_layer(layer, start, added, tiles, known, changed)
        layer, start = layer + 1, start // TILE_WIDTH
    grown = size + len(leaf_hashes)
    return Grown(grown, tuple(known[node] for node in merkle.subtrees(0, grown)), changed)


def _grow_layer(
    layer: int,
    start: int,
    added: Sequence[bytes],
    tiles: Mapping[int, StoredTile],
    known: dict[merkle.Node, bytes],
    changed: dict[int, StoredTile],
) -> list[bytes]:
    finished, at = [], 0
    while at < len(added):
        number, width = divmod(start + at, TILE_WIDTH)
        key = tile_key(layer, number)
        levels = _levels(tiles.get(key), width, (layer, number), known)
        taken = added[at : at + TILE_WIDTH - width]
        levels[0] += b"".join(taken)
        for height in range(1, TILE_HEIGHT):
            below = levels[height - 1]
            pairs = range(2 * len(levels[height]), len(below) // PAIR_BYTES * PAIR_BYTES, PAIR_BYTES)
            if pairs:
                levels[height] += b"".join(
                    [sha256(b"\x01" + below[pair : pair + PAIR_BYTES]).digest() for pair in pairs]
                )
        for height, hashes in enumerate(levels):
            if hashes:
                last = (number << TILE_HEIGHT >> height) + len(hashes) // HASH_BYTES - 1
                known[layer * TILE_HEIGHT + height, last] = hashes[-HASH_BYTES:]
        width += len(taken)
        changed[key] = StoredTile(width, b"".join(levels))
        if width == TILE_WIDTH:
            finished.append(sha256(b"\x01" + levels[-1]).digest())
        at += len(taken)
    return finished


def _levels(
    tile: StoredTile | None, width: int, name: tuple[int, int], known: Mapping[merkle.Node, bytes]
) -> list[bytes]:
    if not width:
        return [b""] * TILE_HEIGHT
    layer, number = name
    if tile is None or tile.width != width or len(tile.hashes) != _STARTS[width][TILE_HEIGHT] * HASH_BYTES:
        raise Tampered("the log's tree has a hole", layer=layer, tile=number)
    for height in range(TILE_HEIGHT):
        last = (width >> height) - 1
        # An odd level's last node is a part of the frontier: the only ones that new nodes stand on.
        if width >> height & 1 and tile.node(height, last) != known.get(
            (layer * TILE_HEIGHT + height, (number << TILE_HEIGHT >> height) + last)
        ):
            raise Tampered("the log's tree is not the one that was signed last", layer=layer, tile=number)
    return tile.levels()
