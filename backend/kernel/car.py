"""CARv1 archives of one file: written for `ipfs dag import`, and read without trusting anything in them.

Source: the CARv1 specification at ipld.io. Only what `backend.kernel.cid` makes is read back: one root, CIDv1 over
SHA-256, raw leaves and dag-pb nodes, every block once and every block of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backend.kernel.canonical import EncodingError
from backend.kernel.cid import CHUNK_BYTES, DAG_PB, LINKS, RAW, Block, block_cid, cid_text, file_cid, varint

CID_BYTES = 36
MAX_VARINT_BYTES = 9
MAX_FILE_BYTES = 2**28
# A node of LINKS links with their names' and sizes' bytes is about 9 KiB.
MAX_BLOCK_BYTES = CHUNK_BYTES
# DAG-CBOR of {"roots": [CID], "version": 1}: tag 42 over a byte string that starts with 0x00.
_HEADER_START = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
_HEADER_END = b"\x67version\x01"
_HEADER_BYTES = len(_HEADER_START) + CID_BYTES + len(_HEADER_END)
_V2_PRAGMA = bytes.fromhex("0aa16776657273696f6e02")


def car_archive(root: bytes, blocks: Iterable[Block]) -> bytes:
    """Return a CARv1 archive of the root's blocks, each one once, in the order of `ipfs dag export`: depth first."""
    contents = {block.cid: block.content for block in blocks}
    sections, waiting = {b"": _HEADER_START + root + _HEADER_END}, [root]
    while waiting:
        cid = waiting.pop()
        if cid in sections:
            continue
        sections[cid] = cid + contents[cid]
        if cid[1] == DAG_PB:
            waiting += reversed(_links(contents[cid], 0))
    return b"".join(part for section in sections.values() for part in (varint(len(section)), section))


def archive_limit(max_file_bytes: int = MAX_FILE_BYTES) -> int:
    """Return how many bytes an archive of a file may have: a leaf costs about 100 bytes beside its 256 KiB."""
    return max_file_bytes + max_file_bytes // 512 + 4096


def archived_file(archive: bytes, max_file_bytes: int = MAX_FILE_BYTES) -> tuple[str, bytes]:
    """Return the CID and the bytes of the file in an archive; raise EncodingError with what is wrong with it."""
    if len(archive) > archive_limit(max_file_bytes):
        raise EncodingError(f"the archive is larger than a file of {max_file_bytes} bytes needs")
    root, blocks = read_archive(archive)
    content = _joined(root, blocks, max_file_bytes)
    cid = cid_text(root)
    if file_cid(content) != cid:
        raise EncodingError("the archive's file was added with another profile")
    return cid, content


def read_archive(archive: bytes) -> tuple[bytes, Mapping[bytes, bytes]]:
    """Return the root and the blocks by their binary CIDs, each one checked against its hash."""
    if archive.startswith(_V2_PRAGMA):
        raise EncodingError("a CARv2 archive: only CARv1 is read")
    length, at = _length(archive, 0, "the header")
    header = archive[at : at + length]
    if length != _HEADER_BYTES or not header.startswith(_HEADER_START) or not header.endswith(_HEADER_END):
        raise EncodingError("not a CARv1 header with exactly one root, a CIDv1 over SHA-256")
    root = _require_known(header[len(_HEADER_START) : -len(_HEADER_END)], "the root")
    at += length
    blocks: dict[bytes, bytes] = {}
    while at < len(archive):
        name = f"block {len(blocks)}"
        length, at = _length(archive, at, name)
        cid, content = _require_block(archive[at : at + length], name)
        if cid in blocks:
            raise EncodingError(f"{name} stands twice in the archive")
        blocks[cid] = content
        at += length
    return root, blocks


def _require_block(section: bytes, name: str) -> tuple[bytes, bytes]:
    cid, content = _require_known(section[:CID_BYTES], name), section[CID_BYTES:]
    if len(content) > MAX_BLOCK_BYTES:
        raise EncodingError(f"{name} has {len(content)} bytes")
    if block_cid(cid[1], content) != cid:
        raise EncodingError(f"{name} does not hash to its CID")
    return cid, content


def _require_known(cid: bytes, name: str) -> bytes:
    if len(cid) != CID_BYTES or cid[0] != 1:
        raise EncodingError(f"{name} has no CIDv1 over SHA-256")
    if cid[1] not in {RAW, DAG_PB}:
        raise EncodingError(f"{name} has the unknown codec 0x{cid[1]:02x}")
    if cid[2:4] != b"\x12\x20":
        raise EncodingError(f"{name} is not hashed with SHA-256")
    return cid


def _joined(root: bytes, blocks: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    """Return the leaves in order: full ones up to the last, so that no archive unpacks to more than is asked for."""
    found, seen = bytearray(), set()
    waiting = [(root, 0)]
    while waiting:
        cid, depth = waiting.pop()
        seen.add(cid)
        if cid not in blocks:
            raise EncodingError(f"the archive lacks the block {cid_text(cid)}")
        if cid[1] == DAG_PB:
            waiting += [(link, depth + 1) for link in reversed(_links(blocks[cid], depth))]
            continue
        found += blocks[cid]
        if len(found) > max_bytes:
            raise EncodingError(f"the archive's file has more than {max_bytes} bytes")
        if waiting and len(blocks[cid]) != CHUNK_BYTES:
            raise EncodingError("the archive's file was added with another profile")
    if len(seen) != len(blocks):
        raise EncodingError(f"the archive holds {len(blocks) - len(seen)} blocks that are not part of its file")
    return bytes(found)


def _links(node: bytes, depth: int) -> list[bytes]:
    # 174^4 leaves of 256 KiB are more than anybody keeps: deeper is made to waste time.
    if depth > 4:
        raise EncodingError("the archive's file is nested too deeply")
    links, at = [], 0
    while at < len(node) and node[at] == 0x12:
        length, at = _length(node, at + 1, "a link")
        link = node[at : at + length]
        if link[:2] != bytes((0x0A, CID_BYTES)):
            raise EncodingError("a link has no CIDv1 over SHA-256")
        links.append(_require_known(link[2 : 2 + CID_BYTES], "a link"))
        at += length
    if not 1 <= len(links) <= LINKS:
        raise EncodingError("a node of the archive's file has no links, or too many")
    return links


def _length(content: bytes, at: int, name: str) -> tuple[int, int]:
    """Return a length and where what it counts begins; all of it must be there."""
    value, start = 0, at
    while True:
        if at >= len(content):
            raise EncodingError(f"the archive ends inside the length of {name}")
        if at - start >= MAX_VARINT_BYTES:
            raise EncodingError(f"the length of {name} is no varint")
        byte = content[at]
        value |= (byte & 0x7F) << 7 * (at - start)
        at += 1
        if byte < 0x80:
            break
    if varint(value) != content[start:at]:
        raise EncodingError(f"the length of {name} is not in its shortest form")
    if value > len(content) - at:
        raise EncodingError(f"the archive ends inside {name}")
    return value, at
