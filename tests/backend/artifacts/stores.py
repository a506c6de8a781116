"""A content store that can be told to misbehave."""

import asyncio

from backend.kernel.car import archived_file, car_archive
from backend.kernel.cid import file_blocks, file_cid
from backend.kernel.errors import Invalid, NotFound, Unavailable


class FakeStore:
    """Keeps bytes in a mapping; down, lying about names, lying about bytes, or refusing what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.down = False
        self.wrong_name = False
        self.wrong_bytes = False
        self.refusing = False
        self.choking_on: set[bytes] = set()
        self.holding = False
        self.asked = 0
        self._go = asyncio.Event()

    def let_go(self) -> None:
        """Answer whoever is held up, and everybody after them."""
        self._go.set()

    async def put(self, content: bytes) -> str:
        """Keep the content."""
        self.asked += 1
        if self.holding:
            await self._go.wait()
        if content in self.choking_on:
            raise Unavailable("the store does not answer")
        self._answering()
        if self.refusing:
            raise Invalid("too large for this store")
        self.kept[file_cid(content)] = content
        return file_cid(b"another") if self.wrong_name else file_cid(content)

    async def get(self, cid: str) -> bytes:
        """Return the content."""
        self._answering()
        if cid not in self.kept:
            raise NotFound("not kept")
        return b"other bytes" if self.wrong_bytes else self.kept[cid]

    async def pin(self, cid: str) -> None:
        """Keep for good."""
        self._answering()
        self.pins.add(cid)

    async def has(self, cid: str) -> bool:
        """Tell whether the content is kept."""
        self._answering()
        return cid in self.kept

    async def archive(self, cid: str) -> bytes:
        """Return the content in an archive."""
        blocks = file_blocks(await self.get(cid))
        return car_archive(blocks[-1].cid, blocks)

    async def load_archive(self, archive: bytes) -> str:
        """Keep an archive's file."""
        return await self.put(archived_file(archive)[1])

    def _answering(self) -> None:
        if self.down:
            raise Unavailable("the store does not answer")
