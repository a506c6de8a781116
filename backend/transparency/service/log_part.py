"""What every pack shows of the log, and the record of every disclosure."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor
from backend.audit.service import LogReader
from backend.audit.types import LogCheckpoint, StoredRecord
from backend.kernel.canonical import JsonValue, decode_bytes, encode_bytes
from backend.kernel.commitment import disclose, retained_of
from backend.kernel.errors import Conflict
from backend.kernel.heads import AccountHead, head_proof
from backend.kernel.signed_note import VerifierKey
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.transparency import repository
from backend.transparency.types import FORMAT, Pack

POLICY = "transparency:1"
# Large packs are made piece by piece and few at once: orders must not wait for them.
RECORDS_AT_ONCE = 100
PACKS_AT_ONCE = 2
Shown = Mapping[int, Iterable[str]]


class LogPart:
    """Shows entries with their proofs, the checkpoint, an anchor and an account's head."""

    def __init__(self, reader: LogReader, anchoring: AnchorService, *, origin: str, public_key: bytes) -> None:
        self._reader = reader
        self._anchoring = anchoring
        self._key = VerifierKey(origin, public_key)
        self.turns = asyncio.Semaphore(PACKS_AT_ONCE)

    async def around(self, session: AsyncSession, anchor: Anchor, checkpoint: LogCheckpoint) -> Pack:
        """Return a pack that holds no entries yet."""
        return {
            "format": FORMAT,
            "origin": self._key.name,
            "log_public_key": str(self._key),
            "entries": [],
            "checkpoint": checkpoint.note,
            "anchor": self.anchor(anchor),
            "consistency": _encoded(await self._reader.consistency(session, anchor.head.size, checkpoint.size)),
        }

    async def pack(self, session: AsyncSession, records: Sequence[StoredRecord], shown: Shown, anchor: Anchor) -> Pack:
        """Return a pack of records, showing the named fields of each (by seq)."""
        checkpoint = await self._reader.checkpoint(session)
        empty = await self.around(session, anchor, checkpoint)
        return empty | {"entries": await self.entries(session, records, shown, checkpoint)}

    async def entries(
        self, session: AsyncSession, records: Sequence[StoredRecord], shown: Shown, checkpoint: LogCheckpoint
    ) -> list[Pack]:
        """Return the entries of a pack; of an erased record only what was retained can be shown."""
        made: list[Pack] = []
        for at in range(0, len(records), RECORDS_AT_ONCE):
            made += await self._entries(session, records[at : at + RECORDS_AT_ONCE], shown, checkpoint)
        return made

    async def chain(
        self, session: AsyncSession, account: str, first_seq: int, size: int, limit: int
    ) -> list[StoredRecord]:
        """Return an account's records from a seq on, at most `limit`, among the first `size` entries."""
        found: list[StoredRecord] = []
        while len(found) < limit:
            at_once = min(RECORDS_AT_ONCE, limit - len(found))
            more = await self._reader.chain(session, account, first_seq + len(found), size, at_once)
            found += more
            if len(more) < at_once:
                break
            # Reading in place never waits: others get their turn here.
            await asyncio.sleep(0)
        return found

    async def _entries(
        self, session: AsyncSession, records: Sequence[StoredRecord], shown: Shown, checkpoint: LogCheckpoint
    ) -> list[Pack]:
        places = [one.index for one in records if one.index is not None]
        texts = await self._reader.entries_at(session, places)
        paths = await self._reader.inclusions(session, places, checkpoint.size)

        def made() -> list[Pack]:
            return [
                {
                    "index": place,
                    "entry": text,
                    "disclosed": _disclosed(record, shown.get(record.seq, ())),
                    "inclusion": _encoded(path),
                }
                for record, place, text, path in zip(records, places, texts, paths, strict=True)
            ]

        return await asyncio.to_thread(made)

    def anchor(self, anchor: Anchor) -> Pack:
        """Return a pack's anchor."""
        if anchor.block_number is None or anchor.tx_hash is None:
            raise Conflict("the anchor's transaction is not known yet")
        return {
            "chain_id": self._anchoring.chain_id,
            "contract": self._anchoring.contract,
            "log_id": "0x" + anchor.log_id.hex(),
            "index": anchor.index,
            "size": anchor.head.size,
            "root": encode_bytes(anchor.head.root),
            "heads_root": encode_bytes(anchor.head.heads_root),
            "block_number": anchor.block_number,
            "tx_hash": anchor.tx_hash,
        }

    async def heads(self, session: AsyncSession, account: str, anchor: Anchor) -> Pack:
        """Return a pack's heads: where an account stood at an anchor."""
        found = await self._reader.heads(session, anchor.head.size)
        return await asyncio.to_thread(head_part, found, account)


def head_part(heads: Sequence[AccountHead], account: str) -> Pack:
    """Return one account's head and its place among all of them."""
    proof = head_proof(heads, decode_bytes(account))
    return {
        "id": encode_bytes(proof.head.id),
        "count": proof.head.count,
        "head": encode_bytes(proof.head.head),
        "index": proof.index,
        "of": proof.of,
        "path": _encoded(proof.path),
    }


class Disclosures:
    """Writes into the log who was shown what; nothing leaves before that is durable."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def log(self, recipient: str, read: Sequence[StoredRecord] = (), **shown: JsonValue) -> None:
        """Record what a recipient is about to get; raise Conflict when some of an account's records read are gone."""
        async with self._database.transaction() as session:
            if read:
                first, last = read[0], read[-1]
                erased = await repository.count_erased(session, first.account, first.seq, last.seq)
                if erased != sum(one.erased for one in read):
                    raise Conflict("some of these records were erased meanwhile: ask again")
            await self._journal.record(
                session, SYSTEM_ACCOUNT, "evidence.disclosed", shown, actor=recipient, policy=POLICY
            )


def _disclosed(record: StoredRecord, names: Iterable[str]) -> Pack:
    if record.erased:
        return dict(retained_of(record.retained, names))
    return dict(disclose(record.fields, record.salt, names))


def _encoded(hashes: Iterable[bytes]) -> list[JsonValue]:
    return [encode_bytes(digest) for digest in hashes]
