"""CIDs equal those of `ipfs add --cid-version=1`, whatever the number of chunks."""

import json
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from backend.kernel.canonical import EncodingError
from backend.kernel.cid import CHUNK_BYTES, LINKS, cid_text, file_blocks, file_cid, parse_cid

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cid.json").read_text())
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda case: f"{case['bytes']} bytes")
def test_a_file_has_the_cid_of_the_reference_importer(case: dict[str, object]) -> None:
    size, cid = case["bytes"], case["cid"]
    assert isinstance(size, int)
    assert file_cid(shake_256(VECTORS["shake256_of"].encode()).digest(size)) == cid


@pytest.mark.parametrize("case", VECTORS["known"])
def test_a_known_text_has_its_known_cid(case: dict[str, str]) -> None:
    assert file_cid(case["text"].encode()) == case["cid"]


@pytest.mark.parametrize("case", VECTORS["kubo"], ids=lambda case: f"{case['bytes'] >> 20} MiB")
def test_a_file_above_and_below_a_second_level_has_the_cid_that_kubo_publishes(case: dict[str, Any]) -> None:
    key = sha256(case["seed"].encode()).digest()
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    assert file_cid(stream.update(bytes(case["bytes"])), case["chunk_bytes"]) == case["cid"]


def test_one_changed_byte_changes_the_cid() -> None:
    content = bytes(3 * CHUNK_BYTES)
    assert file_cid(content) != file_cid(content[:-1] + b"\x01")


def test_every_block_hashes_to_its_cid_and_the_root_comes_last() -> None:
    content = bytes(range(256)) * 1024 * (LINKS + 1)
    blocks = file_blocks(content)
    assert all(block.cid[4:] == sha256(block.content).digest() for block in blocks)
    assert cid_text(blocks[-1].cid) == file_cid(content)
    # 175 chunks need two nodes of leaves, one of them with a single link, and a root.
    assert len(blocks) == LINKS + 1 + 3


def test_the_text_of_a_cid_reads_back() -> None:
    assert cid_text(parse_cid(HELLO)) == HELLO


@pytest.mark.parametrize(
    "text",
    [
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "",
        "b",
        HELLO.upper(),
        HELLO[:-1],
        HELLO + "a",
        HELLO + "\n",
        HELLO[:-1] + "f",
        "../" + HELLO,
        "z" + HELLO[1:],
    ],
)
def test_another_text_is_no_cid(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_cid(text)
