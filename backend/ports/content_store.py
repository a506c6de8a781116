"""Where published bytes are kept under the hash of what they are."""

from typing import Protocol, TypeAlias

Cid: TypeAlias = str


class ContentStore(Protocol):
    """Keeps content under its CIDv1, as `ipfs add --cid-version=1` names it; a text that is no such CID is Invalid.

    Content above what the store takes is TooLarge. Raises Unavailable when the store does not answer, and Tampered when
    it answers with other bytes or another name.
    """

    async def put(self, content: bytes) -> Cid:
        """Store the content and return its CID; storing it again changes nothing."""
        ...

    async def get(self, cid: Cid) -> bytes:
        """Return the content, checked against its CID; raise NotFound for what the store does not hold."""
        ...

    async def pin(self, cid: Cid) -> None:
        """Keep the content for good; raise NotFound for what the store does not hold."""
        ...

    async def has(self, cid: Cid) -> bool:
        """Tell whether the store holds the content."""
        ...

    async def archive(self, cid: Cid) -> bytes:
        """Return the content as a CARv1 archive; raise NotFound for what the store does not hold."""
        ...

    async def load_archive(self, archive: bytes) -> Cid:
        """Store the one file of a CARv1 archive and return its CID; Invalid says what is wrong with the archive."""
        ...
