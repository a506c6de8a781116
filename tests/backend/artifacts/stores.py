"""A content store that can be told to misbehave."""

from backend.kernel.cid import file_cid
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

    async def put(self, content: bytes) -> str:
        """Keep the content."""
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

    def _answering(self) -> None:
        if self.down:
            raise Unavailable("the store does not answer")
