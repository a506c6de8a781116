"""An archive is read only when every byte of it is what it should be."""

from hashlib import sha256, shake_256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.canonical import EncodingError
from backend.kernel.car import archived_file, car_archive, read_archive
from backend.kernel.cid import (
    CHUNK_BYTES,
    DAG_PB,
    LINKS,
    RAW,
    Block,
    block_cid,
    file_blocks,
    file_cid,
    parse_cid,
    varint,
)

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
CONTENT = shake_256(b"refi").digest(2 * CHUNK_BYTES + 8)
BLOCKS = file_blocks(CONTENT)
ROOT = BLOCKS[-1].cid
HEADER = b"\xa2eroots\x81\xd8*X%\x00" + ROOT + b"gversion\x01"


def archive_of(content: bytes) -> bytes:
    blocks = file_blocks(content)
    return car_archive(blocks[-1].cid, blocks)


def sections(*parts: bytes) -> bytes:
    return b"".join(varint(len(part)) + part for part in parts)


def link(cid: bytes) -> bytes:
    inside = b"\x0a" + varint(len(cid)) + cid
    return b"\x12" + varint(len(inside)) + inside


def node(*cids: bytes) -> Block:
    content = b"".join(link(cid) for cid in cids)
    return Block(block_cid(DAG_PB, content), content)


def whole(*blocks: Block, root: bytes | None = None) -> bytes:
    header = HEADER.replace(ROOT, root or blocks[0].cid)
    return sections(header, *(block.cid + block.content for block in blocks))


def test_an_archive_names_its_root_and_holds_every_block() -> None:
    archive = archive_of(b"hello world")
    assert archive[0] == 58
    assert archive[1:59] == b"\xa2eroots\x81\xd8*X%\x00" + parse_cid(HELLO) + b"gversion\x01"
    assert archive[59:] == bytes([36 + 11]) + parse_cid(HELLO) + b"hello world"


def test_blocks_stand_depth_first_and_each_once() -> None:
    content = bytes(CHUNK_BYTES * (LINKS + 1))
    root, blocks = read_archive(archive_of(content))
    assert next(iter(blocks)) == root
    # One leaf, the full node over 174 of it, the node over the last one, and the root.
    assert len(blocks) == 4
    assert archived_file(archive_of(content)) == (file_cid(content), content)


@given(st.binary(max_size=300))
def test_any_small_file_comes_back(content: bytes) -> None:
    assert archived_file(archive_of(content)) == (file_cid(content), content)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_an_archive_with_any_byte_changed_lost_or_added_is_refused(data: st.DataObject) -> None:
    archive = bytearray(archive_of(CONTENT[CHUNK_BYTES - 40 :]))
    place = data.draw(st.integers(0, len(archive) - 1) | st.integers(0, 300))
    match data.draw(st.sampled_from(["change", "cut", "drop", "add"])):
        case "change":
            archive[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del archive[place:]
        case "drop":
            del archive[place]
        case "add":
            archive.insert(place, archive[place] ^ 1)
    with pytest.raises(EncodingError):
        archived_file(bytes(archive))


@given(st.binary(max_size=200))
def test_nothing_else_raises(content: bytes) -> None:
    with pytest.raises(EncodingError):
        archived_file(content)


LEAF = BLOCKS[0]
BAD = {
    "nothing": (b"", "ends inside the length of the header"),
    "no header": (b"\x00", "not a CARv1 header"),
    "version 2": (bytes.fromhex("0aa16776657273696f6e02") + bytes(40), "CARv2"),
    "two roots": (sections(HEADER.replace(b"\x81", b"\x82") + ROOT), "exactly one root"),
    "no roots": (sections(b"\xa2eroots\x80gversion\x01"), "exactly one root"),
    "a root of another codec": (sections(HEADER.replace(ROOT, b"\x01\x71" + ROOT[2:])), "unknown codec 0x71"),
    "a root of version 0": (sections(HEADER.replace(ROOT, b"\x12\x20" + ROOT[2:])), "no CIDv1"),
    "no blocks": (sections(HEADER), "lacks the block"),
    "a missing leaf": (whole(*BLOCKS[::-1][:-1]), "lacks the block"),
    "a block twice": (whole(*BLOCKS[::-1], LEAF), "twice"),
    "a block of another file": (whole(*BLOCKS[::-1], *file_blocks(b"x")), "not part of its file"),
    "a wrong hash": (whole(Block(LEAF.cid, b"other"), root=LEAF.cid), "does not hash"),
    "an unknown codec": (whole(Block(b"\x01\x71" + LEAF.cid[2:], b"x"), root=LEAF.cid), "unknown codec 0x71"),
    "another hash function": (whole(Block(b"\x01\x55\x1e\x20" + LEAF.cid[4:], b"x"), root=LEAF.cid), "SHA-256"),
    "a block of version 0": (sections(HEADER, b"\x12\x20" + sha256(b"x").digest() + b"x"), "no CIDv1"),
    "a short section": (sections(HEADER, b"\x01\x55"), "no CIDv1"),
    "an empty section": (sections(HEADER, b""), "no CIDv1"),
    "a trailing byte": (whole(*BLOCKS[::-1]) + b"\x05", "ends inside block 4"),
    "half a length": (whole(*BLOCKS[::-1]) + b"\x85", "ends inside the length"),
    "a long length": (b"\x80" * 10 + b"\x01", "no varint"),
    "a padded length": (b"\xba\x00" + HEADER, "shortest form"),
    "a length beyond the end": (b"\xff" * 8 + b"\x7f" + HEADER, "ends inside the header"),
    "a large block": (whole(Block(block_cid(RAW, bytes(CHUNK_BYTES + 1)), bytes(CHUNK_BYTES + 1))), "262145 bytes"),
    "another chunk size": (whole(node(LEAF.cid), LEAF), "another profile"),
    "a short leaf in front": (
        whole(node(block_cid(RAW, b"x"), LEAF.cid), Block(block_cid(RAW, b"x"), b"x"), LEAF),
        "another profile",
    ),
    "a node without links": (whole(Block(block_cid(DAG_PB, b"\x0a\x02\x08\x02"), b"\x0a\x02\x08\x02")), "no links"),
    "too many links": (whole(node(*[LEAF.cid] * (LINKS + 1)), LEAF), "too many"),
    "a link of another version": (whole(node(b"\x12\x20" + bytes(32))), "no CIDv1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_with_what_is_wrong(name: str) -> None:
    archive, reason = BAD[name]
    with pytest.raises(EncodingError, match=reason):
        archived_file(archive)


def test_a_nested_bomb_costs_nothing() -> None:
    levels = [LEAF]
    for _ in range(4):
        levels.append(node(*[levels[-1].cid] * LINKS))
    # 174^4 leaves of 256 KiB: 240 TB in 300 kB.
    bomb = whole(*levels[::-1])
    with pytest.raises(EncodingError, match="more than 1048576 bytes"):
        archived_file(bomb, 2**20)
    for _ in range(5):
        levels.append(node(levels[-1].cid))
    with pytest.raises(EncodingError, match="nested too deeply"):
        archived_file(whole(*levels[::-1]))


def test_a_large_archive_is_refused_unread() -> None:
    with pytest.raises(EncodingError, match="larger than a file of 1000 bytes"):
        archived_file(bytes(10_000), 1000)
