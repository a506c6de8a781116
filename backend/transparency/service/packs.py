"""Builds evidence packs: what anybody may see, and what an account's owner and a regulator may."""

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor
from backend.audit.service import LogReader
from backend.audit.types import StoredRecord
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kit.db import Database
from backend.ports.journal import Journal
from backend.transparency.service.log_part import Disclosures, LogPart
from backend.transparency.types import (
    ATTESTED_FIELDS,
    CHAIN_FIELDS,
    DECIDED_FIELDS,
    EPOCH_CLOSED,
    JUDGED_FIELDS,
    NAMING_FIELDS,
    Pack,
    PackParts,
)

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
        self._parts = parts
        self._log_part = LogPart(reader, anchoring, origin=origin, public_key=public_key)
        self._disclosures = Disclosures(database, journal)

    async def public(self, index: int, anchor_index: int | None = None) -> Pack:
        """Return the pack that anybody may have: no heads, no disclosure but an attested epoch's."""
        async with self._database.reading() as session:
            record, anchor = await self._find(session, index, anchor_index)
            attested = record.event == EPOCH_CLOSED and not record.erased
            var = await self._parts.var(session, record.fields) if attested else None
            shown = {record.seq: _present(record, ATTESTED_FIELDS)} if var else {}
            pack = await self._log_part.pack(session, [record], shown, anchor)
        return pack | {"var": dict(var)} if var else pack

    async def owner(
        self, account: str, index: int, anchor_index: int | None = None, fields: Iterable[str] | None = None
    ) -> Pack:
        """Return the pack of an account's own record, from it to the account's head at the anchor.

        It shows every field of the record, or those that are asked for and what names the record.
        """
        return await self._full(index, anchor_index, fields, recipient=account, only=account)

    async def regulator(
        self, recipient: str, index: int, anchor_index: int | None = None, fields: Iterable[str] | None = None
    ) -> Pack:
        """Return what `owner` does of anybody's record."""
        return await self._full(index, anchor_index, fields, recipient=recipient, only=None)

    async def _full(
        self, index: int, anchor_index: int | None, fields: Iterable[str] | None, *, recipient: str, only: str | None
    ) -> Pack:
        async with self._log_part.turns, self._database.reading() as session:
            record, anchor = await self._find(session, index, anchor_index, only)
            names = _asked(record, fields)
            chain = await self._chain(session, record, anchor)
            # Who asks for single fields gets no more of what follows than the chain needs.
            shown = {one.seq: _chain_fields(one, attested=fields is None) for one in chain} | {record.seq: names}
            pack = await self._log_part.pack(session, chain, shown, anchor)
            pack |= await self._decision_parts(session, record, names)
            pack |= await self._var_part(session, [one for one in chain if {*ATTESTED_FIELDS} <= {*shown[one.seq]}])
            pack["heads"] = await self._log_part.heads(session, record.account, anchor)
        await self._disclosures.log(
            recipient,
            chain,
            of_account=record.account,
            entry=index,
            fields=sorted(names),
            first_seq=record.seq,
            last_seq=chain[-1].seq,
        )
        return pack

    async def _find(
        self, session: AsyncSession, index: int, anchor_index: int | None, only: str | None = None
    ) -> tuple[StoredRecord, Anchor]:
        record = await self._reader.record(session, index)
        if only not in {None, record.account}:
            raise NotFound(f"you have no entry {index}")
        try:
            anchor = await self._anchoring.mined(session, anchor_index)
        except NotFound as missing:
            raise missing if anchor_index is not None else Conflict("nothing is anchored yet") from missing
        if anchor.head.size <= index:
            raise Conflict(f"entry {index} is not below the anchored size {anchor.head.size} yet")
        return record, anchor

    async def _chain(self, session: AsyncSession, record: StoredRecord, anchor: Anchor) -> list[StoredRecord]:
        chain = await self._log_part.chain(session, record.account, record.seq, anchor.head.size, MAX_CHAIN + 1)
        if len(chain) > MAX_CHAIN:
            raise Conflict(f"over {MAX_CHAIN} entries lie between this one and the head: name an earlier anchor")
        return chain

    async def _decision_parts(self, session: AsyncSession, record: StoredRecord, names: frozenset[str]) -> Pack:
        # A part says what its fields say: it is shown with them or not at all.
        found: Pack = {}
        hidden = record.fields.keys() - names
        if hidden.isdisjoint(DECIDED_FIELDS) and (model := await self._parts.model(session, record.fields)):
            found["model"] = dict(model)
        if hidden.isdisjoint(JUDGED_FIELDS):
            compliance = await self._parts.compliance(session, record.fields)
            found |= {"compliance": dict(compliance)} if compliance else {}
        return found

    async def _var_part(self, session: AsyncSession, shown: Sequence[StoredRecord]) -> Pack:
        for closed in shown:
            if closed.event == EPOCH_CLOSED and (var := await self._parts.var(session, closed.fields)):
                return {"var": dict(var)}
        return {}


def _asked(record: StoredRecord, fields: Iterable[str] | None) -> frozenset[str]:
    allowed = frozenset(record.fields)
    if fields is None:
        return allowed
    asked = frozenset(fields)
    if unknown := sorted(asked - allowed):
        raise Invalid(f"the record has no field {', '.join(unknown)}; it has {', '.join(sorted(allowed))}"[:2_000])
    return asked | frozenset(NAMING_FIELDS)


def _chain_fields(record: StoredRecord, *, attested: bool) -> tuple[str, ...]:
    more = ATTESTED_FIELDS if attested and record.event == EPOCH_CLOSED else ()
    return _present(record, sorted({*CHAIN_FIELDS, *more}))


def _present(record: StoredRecord, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in record.fields)
