"""What attesting asks of the log and of its anchors."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.types import StoredRecord


class RecordChain(Protocol):
    """Reads an account's records in the log."""

    async def chain(self, session: AsyncSession, account: str, first_seq: int, size: int) -> Sequence[StoredRecord]:
        """Return the records from a seq on that are among the log's first `size` entries."""
        ...


class TreeHead(Protocol):
    """A tree that was anchored."""

    @property
    def size(self) -> int:
        """Its number of entries."""
        ...


class MinedAnchor(Protocol):
    """An anchor on chain."""

    @property
    def log_id(self) -> bytes:
        """The log's id."""
        ...

    @property
    def index(self) -> int:
        """Its place among the log's anchors."""
        ...

    @property
    def head(self) -> TreeHead:
        """What was anchored."""
        ...


class Anchors(Protocol):
    """Knows the log's anchors."""

    async def mined(self, session: AsyncSession, index: int | None = None) -> MinedAnchor:
        """Return an anchor that is on chain, the newest unless an index is given; raise NotFound."""
        ...
