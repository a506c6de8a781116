"""C2SP tlog-tiles: the paths of tiles and the bytes of entry bundles."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backend.kernel.errors import Invalid

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_TILE_LEVEL = 5
_PATH = re.compile(r"((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class TileAddress:
    """A tile's number on its level and its width, 256 when it is full."""

    index: int
    width: int

    @property
    def start(self) -> int:
        """The first hash or entry of the tile, counted on its level."""
        return self.index * TILE_WIDTH

    @property
    def end(self) -> int:
        """One past the last hash or entry."""
        return self.start + self.width

    @property
    def is_full(self) -> bool:
        """Whether the tile never grows again."""
        return self.width == TILE_WIDTH


def tile_path(address: TileAddress) -> str:
    """Write the <N>[.p/<W>] part of a tile's path."""
    digits = f"{address.index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    number = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return number if address.is_full else f"{number}.p/{address.width}"


def parse_tile_path(path: str) -> TileAddress:
    """Read the <N>[.p/<W>] part of a tile's path, refusing every other way to write it."""
    match = _PATH.fullmatch(path)
    if not match:
        raise Invalid("not the path of a tile")
    address = TileAddress(int(match[1].replace("x", "").replace("/", "")), int(match[2]) if match[2] else TILE_WIDTH)
    if address.width > TILE_WIDTH or tile_path(address) != path:
        raise Invalid("not the canonical path of a tile")
    return address


def entry_bundle(entries: Iterable[str]) -> bytes:
    """Return the entries, each behind its length as two big-endian bytes."""
    encoded = [entry.encode() for entry in entries]
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in encoded)
