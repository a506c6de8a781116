"""Builds evidence packs: what anybody may see, and what an account's owner and a regulator may."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor
from backend.audit.service import LogReader
from backend.audit.types import LogCheckpoint, StoredRecord
from backend.kernel.canonical import JsonValue, decode_bytes, encode_bytes
from backend.kernel.commitment import disclose
from backend.kernel.errors import Conflict, NotFound
from backend.kernel.heads import head_proof
from backend.kernel.signed_note import VerifierKey
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.transparency.types import ATTESTED_FIELDS, CHAIN_FIELDS, EPOCH_CLOSED, FORMAT, Pack, PackParts

POLICY = "transparency:1"
# About 3 kB an entry: the verifier reads packs of up to 16 MiB.
MAX_CHAIN = 4_000


class PackBuilder:
    """Puts together what the verifier checks; nothing leaves before its disclosure is in the log."""

    def __init__(
        self,
        database: Database,
        reader: LogReader,
        anchoring: AnchorService,
        journal: Journal,
        parts: PackParts,
        *,
        origin: str,
        public_key: bytes,
    ) -> None:
        self._database = database
        self._reader = reader
        self._anchoring = anchoring
        self._journal = journal
        self._parts = parts
        self._key = VerifierKey(origin, public_key)

    async def public(self, index: int, anchor_index: int | None = None) -> Pack:
        """Return the pack that anybody may have: no heads, no disclosure but an attested epoch's."""
        async with self._database.reading() as session:
            record, anchor = await self._find(session, index, anchor_index)
            var = await self._parts.var(session, record.fields) if record.event == EPOCH_CLOSED else None
            shown = {record.seq: _present(record, ATTESTED_FIELDS)} if var else {}
            pack = await self._log_part(session, [record], shown, anchor)
        return pack | {"var": dict(var)} if var else pack

    async def owner(self, account: str, index: int, anchor_index: int | None = None) -> Pack:
        """Return the full pack of an account's own record, from it to the account's head at the anchor."""
        return await self._full(index, anchor_index, recipient=account, only=account)

    async def regulator(self, recipient: str, index: int, anchor_index: int | None = None) -> Pack:
        """Return the full pack of anybody's record."""
        return await self._full(index, anchor_index, recipient=recipient, only=None)

    async def _full(self, index: int, anchor_index: int | None, *, recipient: str, only: str | None) -> Pack:
        async with self._database.reading() as session:
            record, anchor = await self._find(session, index, anchor_index)
            if only is not None and record.account != only:
                raise NotFound(f"you have no entry {index}")
            chain = await self._chain(session, record, anchor)
            shown = {one.seq: _chain_fields(one) for one in chain} | {record.seq: tuple(record.fields)}
            pack = await self._log_part(session, chain, shown, anchor)
            pack |= await self._other_parts(session, record, chain)
            pack["heads"] = await self._heads(session, record.account, anchor)
        await self._log_disclosure(record, shown[record.seq], recipient)
        return pack

    async def _find(self, session: AsyncSession, index: int, anchor_index: int | None) -> tuple[StoredRecord, Anchor]:
        record = await self._reader.record(session, index)
        try:
            anchor = await self._anchoring.mined(session, anchor_index)
        except NotFound as missing:
            raise missing if anchor_index is not None else Conflict("nothing is anchored yet") from missing
        if anchor.head.size <= index:
            raise Conflict(f"entry {index} is not below the anchored size {anchor.head.size} yet")
        return record, anchor

    async def _chain(self, session: AsyncSession, record: StoredRecord, anchor: Anchor) -> list[StoredRecord]:
        chain = await self._reader.chain(session, record.account, record.seq, anchor.head.size)
        if any(one.erased for one in chain):
            raise Conflict("a record of this chain was erased")
        if len(chain) > MAX_CHAIN:
            raise Conflict(f"{len(chain)} entries lie between this one and the head: name an earlier anchor")
        return chain

    async def _log_part(
        self,
        session: AsyncSession,
        records: Sequence[StoredRecord],
        shown: Mapping[int, Iterable[str]],
        anchor: Anchor,
    ) -> Pack:
        checkpoint = await self._reader.checkpoint(session)
        return {
            "format": FORMAT,
            "origin": self._key.name,
            "log_public_key": str(self._key),
            "entries": await self._entries(session, records, shown, checkpoint),
            "checkpoint": checkpoint.note,
            "anchor": self._anchor(anchor),
            "consistency": _encoded(await self._reader.consistency(session, anchor.head.size, checkpoint.size)),
        }

    async def _entries(
        self,
        session: AsyncSession,
        records: Sequence[StoredRecord],
        shown: Mapping[int, Iterable[str]],
        checkpoint: LogCheckpoint,
    ) -> list[JsonValue]:
        places = [one.index for one in records if one.index is not None]
        texts = await self._reader.entries_at(session, places)
        paths = await self._reader.inclusions(session, places, checkpoint.size)
        return [
            {
                "index": place,
                "entry": text,
                "disclosed": disclose(record.fields, record.salt, shown.get(record.seq, ())),
                "inclusion": _encoded(path),
            }
            for record, place, text, path in zip(records, places, texts, paths, strict=True)
        ]

    def _anchor(self, anchor: Anchor) -> Pack:
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

    async def _heads(self, session: AsyncSession, account: str, anchor: Anchor) -> Pack:
        proof = head_proof(await self._reader.heads(session, anchor.head.size), decode_bytes(account))
        return {
            "id": encode_bytes(proof.head.id),
            "count": proof.head.count,
            "head": encode_bytes(proof.head.head),
            "index": proof.index,
            "of": proof.of,
            "path": _encoded(proof.path),
        }

    async def _other_parts(self, session: AsyncSession, record: StoredRecord, chain: Sequence[StoredRecord]) -> Pack:
        found: Pack = {}
        if model := await self._parts.model(session, record.fields):
            found["model"] = dict(model)
        if compliance := await self._parts.compliance(session, record.fields):
            found["compliance"] = dict(compliance)
        for closed in chain:
            if closed.event == EPOCH_CLOSED and (var := await self._parts.var(session, closed.fields)):
                return found | {"var": dict(var)}
        return found

    async def _log_disclosure(self, record: StoredRecord, names: Iterable[str], recipient: str) -> None:
        disclosed: dict[str, JsonValue] = {
            "entry": record.index or 0,
            "of_account": record.account,
            "fields": sorted(names),
        }
        async with self._database.transaction() as session:
            await self._journal.record(
                session, SYSTEM_ACCOUNT, "evidence.disclosed", disclosed, actor=recipient, policy=POLICY
            )


def _chain_fields(record: StoredRecord) -> tuple[str, ...]:
    attested = ATTESTED_FIELDS if record.event == EPOCH_CLOSED else ()
    return _present(record, sorted({*CHAIN_FIELDS, *attested}))


def _present(record: StoredRecord, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in record.fields)


def _encoded(hashes: Iterable[bytes]) -> list[JsonValue]:
    return [encode_bytes(digest) for digest in hashes]
