"""IPFS content identifiers: CIDv1, raw leaves of 256 KiB and balanced UnixFS nodes of 174 links.

The profile equals `ipfs add --cid-version=1` (size-262144 chunks, raw leaves, SHA-256).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256

from backend.kernel.canonical import EncodingError

CHUNK_BYTES = 256 * 1024
LINKS = 174
PROFILE = "cidv1-raw-256KiB-174"
RAW = 0x55
DAG_PB = 0x70
_SHA256_PREFIX = b"\x12\x20"
_CID = re.compile(r"b[a-z2-7]{58}")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a file's graph: its binary CID and its bytes."""

    cid: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class _Node:
    block: Block
    file_bytes: int
    graph_bytes: int


def cid_text(cid: bytes) -> str:
    """Return the base32 text of a binary CIDv1."""
    return "b" + base64.b32encode(cid).decode("ascii").lower().rstrip("=")


def parse_cid(text: str) -> bytes:
    """Read the base32 text of a CIDv1 over SHA-256 with a raw or dag-pb codec, in its one canonical form."""
    if not _CID.fullmatch(text):
        raise EncodingError("not a CIDv1 in base32 over SHA-256")
    cid = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
    if cid[:1] != b"\x01" or cid[1] not in {RAW, DAG_PB} or cid[2:4] != _SHA256_PREFIX or cid_text(cid) != text:
        raise EncodingError("not a canonical CIDv1 over SHA-256, raw or dag-pb")
    return cid


def file_cid(content: bytes, chunk_bytes: int = CHUNK_BYTES) -> str:
    """Return the CID that `ipfs add --cid-version=1 --chunker=size-<chunk_bytes>` gives the content."""
    return cid_text(_file_nodes(content, chunk_bytes)[-1].block.cid)


def file_blocks(content: bytes) -> list[Block]:
    """Return the blocks of the content's graph, leaves first, the root last."""
    return [node.block for node in _file_nodes(content, CHUNK_BYTES)]


def _file_nodes(content: bytes, chunk_bytes: int) -> list[_Node]:
    starts = range(0, len(content), chunk_bytes) or range(1)
    level = [_leaf(content[start : start + chunk_bytes]) for start in starts]
    nodes = list(level)
    while len(level) > 1:
        level = [_parent(level[start : start + LINKS]) for start in range(0, len(level), LINKS)]
        nodes += level
    return nodes


def _leaf(chunk: bytes) -> _Node:
    return _Node(Block(block_cid(RAW, chunk), chunk), len(chunk), len(chunk))


def _parent(children: list[_Node]) -> _Node:
    links = b"".join(_field(2, _link(child)) for child in children)
    file_bytes = sum(child.file_bytes for child in children)
    # UnixFS Data: Type = File (2), filesize, one blocksize a child.
    sizes = b"".join(b"\x20" + varint(child.file_bytes) for child in children)
    data = b"\x08\x02\x18" + varint(file_bytes) + sizes
    # dag-pb writes the links before the data.
    content = links + _field(1, data)
    graph_bytes = len(content) + sum(child.graph_bytes for child in children)
    return _Node(Block(block_cid(DAG_PB, content), content), file_bytes, graph_bytes)


def _link(child: _Node) -> bytes:
    return _field(1, child.block.cid) + b"\x12\x00\x18" + varint(child.graph_bytes)


def block_cid(codec: int, content: bytes) -> bytes:
    """Return the binary CIDv1 of a block."""
    return bytes((1, codec)) + _SHA256_PREFIX + sha256(content).digest()


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Return an unsigned LEB128 number, as protobuf and CAR write lengths."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
