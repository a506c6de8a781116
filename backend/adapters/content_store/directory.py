"""Keeps content as files named by their CIDs, durable before they are named."""

import asyncio
import os
import tempfile
from pathlib import Path

from backend.kernel.car import MAX_FILE_BYTES, archived_file, car_archive
from backend.kernel.cid import file_blocks, file_cid, parse_cid
from backend.kernel.errors import NotFound, Tampered, TooLarge, Unavailable
from backend.ports.content_store import Cid


class DirectoryStore:
    """A content store in one folder, with the names that IPFS would give."""

    def __init__(self, root: Path, max_content_bytes: int = MAX_FILE_BYTES) -> None:
        self._content = root / "content"
        self._pins = root / "pins"
        self._max_content_bytes = max_content_bytes

    async def put(self, content: bytes) -> Cid:
        """Store the content and return its CID."""
        if len(content) > self._max_content_bytes:
            raise TooLarge(f"more than {self._max_content_bytes} bytes")
        cid = file_cid(content)
        await asyncio.to_thread(self._write, self._content / cid, content)
        return cid

    async def get(self, cid: Cid) -> bytes:
        """Return the content, checked against its CID."""
        parse_cid(cid)
        content = await asyncio.to_thread(self._read, cid)
        if file_cid(content) != cid:
            raise Tampered("the store holds other bytes under this CID", cid=cid)
        return content

    async def pin(self, cid: Cid) -> None:
        """Mark the content as to be kept for good."""
        if not await self.has(cid):
            raise NotFound("no such content", cid=cid)
        await asyncio.to_thread(self._write, self._pins / cid, b"")

    async def has(self, cid: Cid) -> bool:
        """Tell whether a file of that name is held."""
        parse_cid(cid)
        return await asyncio.to_thread((self._content / cid).is_file)

    async def archive(self, cid: Cid) -> bytes:
        """Return the content as a CARv1 archive, for `ipfs dag import`."""
        content = await self.get(cid)
        return await asyncio.to_thread(_archive, content)

    async def load_archive(self, archive: bytes) -> Cid:
        """Store the file of a CARv1 archive, every block checked, and return its CID."""
        _cid, content = await asyncio.to_thread(archived_file, archive, self._max_content_bytes)
        return await self.put(content)

    def _read(self, cid: Cid) -> bytes:
        try:
            with (self._content / cid).open("rb") as file:
                content = file.read(self._max_content_bytes + 1)
        except FileNotFoundError as error:
            raise NotFound("no such content", cid=cid) from error
        except OSError as error:
            raise Unavailable(f"the content folder cannot be read: {error.strerror}") from error
        if len(content) > self._max_content_bytes:
            raise Tampered("the store holds more than it was given under this CID", cid=cid)
        return content

    def _write(self, path: Path, content: bytes) -> None:
        try:
            if path.is_file() and path.read_bytes() == content:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise Unavailable(f"the content folder cannot be written: {error.strerror}") from error


def _archive(content: bytes) -> bytes:
    blocks = file_blocks(content)
    return car_archive(blocks[-1].cid, blocks)


def _sync_folder(folder: Path) -> None:
    # A rename is durable only when its folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
