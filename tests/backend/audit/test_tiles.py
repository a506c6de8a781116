"""Tiles are named and packed as C2SP tlog-tiles says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audit.engine.tiles import TileAddress, entry_bundle, parse_tile_path, tile_path
from backend.kernel.errors import Invalid


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("000", TileAddress(0, 256)),
        ("067.p/1", TileAddress(67, 1)),
        ("x001/x234/067", TileAddress(1_234_067, 256)),
        ("x123/456.p/255", TileAddress(123_456, 255)),
    ],
)
def test_a_path_names_a_tile(path: str, address: TileAddress) -> None:
    assert parse_tile_path(path) == address
    assert tile_path(address) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "00",
        "1234",
        "x000/001",
        "000.p/0",
        "000.p/256",
        "000.p/257",
        "000.p/01",
        "000/",
        "x00/000",
        "-01",
        "٠٠٠",
    ],
)
def test_every_other_way_to_write_a_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        parse_tile_path(path)


@given(st.integers(0, 10**15 - 1), st.integers(1, 256))
def test_paths_read_back_as_they_were_written(index: int, width: int) -> None:
    assert parse_tile_path(tile_path(TileAddress(index, width))) == TileAddress(index, width)


def test_a_bundle_holds_each_entry_behind_its_length() -> None:
    assert entry_bundle(["ab", "é" * 150]) == b"\x00\x02ab" + b"\x01\x2c" + "é".encode() * 150
