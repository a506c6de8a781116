"""Reads the log and proves what is in it."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.engine.nodes import HASH_BYTES, tile_key
from backend.audit.engine.tiles import MAX_TILE_LEVEL, TILE_HEIGHT, TileAddress, entry_bundle
from backend.audit.repository import records, tree
from backend.audit.types import LogCheckpoint, StoredRecord
from backend.kernel import merkle
from backend.kernel.canonical import decode_bytes
from backend.kernel.errors import Invalid, NotFound, Tampered
from backend.kernel.heads import AccountHead

ACCOUNT_BYTES = 32


class LogReader:
    """Reads the log and proves what is in it, from stored nodes only."""

    async def latest(self, session: AsyncSession) -> LogCheckpoint | None:
        """Return the checkpoint over the whole log, nothing while the log is empty."""
        return await tree.latest_checkpoint(session)

    async def checkpoint(self, session: AsyncSession, size: int | None = None) -> LogCheckpoint:
        """Return the latest checkpoint, or the one that was signed at a size."""
        found = await (tree.latest_checkpoint(session) if size is None else tree.checkpoint_of(session, size))
        if found is None:
            raise NotFound("the log has no such checkpoint")
        return found

    async def entry(self, session: AsyncSession, index: int) -> str:
        """Return an entry's exact text."""
        found = await tree.entries_between(session, index, index + 1)
        if not found:
            raise NotFound(f"the log has no entry {index}")
        return found[0]

    async def entries_at(self, session: AsyncSession, indices: Sequence[int]) -> list[str]:
        """Return the exact texts of several entries, in the order asked for."""
        found = await tree.entries_at(session, indices)
        if missing := [index for index in indices if index not in found]:
            raise NotFound(f"the log has no entry {missing[0]}")
        return [found[index] for index in indices]

    async def tile(self, session: AsyncSession, level: int, address: TileAddress) -> bytes:
        """Return the hashes of a tile."""
        if not 0 <= level <= MAX_TILE_LEVEL:
            raise NotFound(f"the log has no tiles on level {level}")
        size = (await self.checkpoint(session)).size >> (TILE_HEIGHT * level)
        if address.end > size:
            raise NotFound("the log has no such tile yet")
        key = tile_key(level, address.index)
        tile = (await tree.tiles_at(session, [key])).get(key)
        if tile is None or tile.width < address.width:
            raise Tampered("the log's tree has a hole", level=level, tile=address.index)
        return tile.hashes[: address.width * HASH_BYTES]

    async def entry_bundle(self, session: AsyncSession, address: TileAddress) -> bytes:
        """Return the entries under a tile of level 0."""
        if address.end > (await self.checkpoint(session)).size:
            raise NotFound("the log has no such entry bundle yet")
        entries = await tree.entries_between(session, address.start, address.end)
        return entry_bundle(entries)

    async def root(self, session: AsyncSession, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        _require_possible(size)
        return (await self._joined(session, [merkle.subtrees(0, size)], size))[0]

    async def inclusion(self, session: AsyncSession, index: int, size: int) -> list[bytes]:
        """Return the path of an entry in the tree of a size."""
        return (await self.inclusions(session, [index], size))[0]

    async def inclusions(self, session: AsyncSession, indices: Sequence[int], size: int) -> list[list[bytes]]:
        """Return the paths of several entries in the tree of a size."""
        _require_possible(size)
        if not all(0 <= index < size for index in indices):
            raise NotFound(f"a tree of {size} entries has no such index")
        groups = [merkle.inclusion_nodes(index, size) for index in indices]
        joined = iter(await self._joined(session, [nodes for group in groups for nodes in group], size))
        return [[next(joined) for _ in group] for group in groups]

    async def consistency(self, session: AsyncSession, first: int, second: int) -> list[bytes]:
        """Return the proof that the tree of size `second` extends the one of size `first`."""
        _require_possible(second)
        if not 0 <= first <= second:
            raise Invalid("a tree only extends a smaller one")
        return await self._joined(session, merkle.consistency_nodes(first, second), second)

    async def record(self, session: AsyncSession, index: int) -> StoredRecord:
        """Return the record behind an entry, with everything that is private about it."""
        found = await records.record_at(session, index)
        if found is None:
            raise NotFound(f"the log has no entry {index}")
        return found

    async def chain(
        self, session: AsyncSession, account: str, first_seq: int, size: int, limit: int | None = None
    ) -> list[StoredRecord]:
        """Return an account's records from a seq on, at most `limit`, among the first `size` entries."""
        return await records.chain_of(session, account, first_seq, size, limit)

    async def heads(self, session: AsyncSession, size: int) -> list[AccountHead]:
        """Return the head of every account that has a record among the first `size` entries."""
        await self._require_size(session, size)
        found: list[AccountHead] = []
        async for page in records.heads_at(session, size):
            found += [AccountHead(decode_bytes(account, ACCOUNT_BYTES), seq, head) for account, seq, head in page]
        return found

    async def pending(self, session: AsyncSession) -> int:
        """Return how many durable records wait for their index."""
        return await tree.count_pending(session)

    async def _require_size(self, session: AsyncSession, size: int) -> None:
        latest = await self.latest(session)
        _require_reached(size, latest.size if latest else 0)

    async def _joined(self, session: AsyncSession, groups: Sequence[Sequence[merkle.Node]], size: int) -> list[bytes]:
        signed, nodes = await tree.signed_nodes(session, [node for group in groups for node in group])
        _require_reached(size, signed)
        return [merkle.join([_stored(nodes, node) for node in group]) for group in groups]


def _require_possible(size: int) -> None:
    if not 0 <= size <= merkle.MAX_SIZE:
        raise NotFound(f"the log never had {size} entries")


def _require_reached(size: int, signed: int) -> None:
    if not 0 <= size <= signed:
        raise NotFound(f"the log never had {size} entries")


def _stored(nodes: Mapping[merkle.Node, bytes], node: merkle.Node) -> bytes:
    if node not in nodes:
        raise Tampered("the log's tree has a hole", level=node[0], index=node[1])
    return nodes[node]
