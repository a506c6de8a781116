"""Hands out all of an account's records page by page, and where accounts stood at each anchor."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller, Role
from backend.anchoring.service import AnchorService
from backend.anchoring.types import Anchor
from backend.audit.service import AuditJournal, LogReader
from backend.audit.types import LogCheckpoint, StoredRecord
from backend.kernel.canonical import JsonValue, canonical_json, encode_bytes
from backend.kernel.errors import NotFound
from backend.kernel.heads import sorted_heads
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT
from backend.transparency.service.log_part import RECORDS_AT_ONCE, Disclosures, LogPart, head_part
from backend.transparency.types import Directory, Pack

ME = "me"
# The verifier reads packs of up to 16 MiB; what stands around a page's entries is some 10 kB.
PAGE_BYTES = 8 * 2**20
# Each anchor takes every account's head to prove one of them: so many heads a page, and no more.
PAGE_HEADS = 20_000


@dataclass(frozen=True, slots=True)
class Exported:
    """A page of an account's records: the pack as canonical JSON, its last seq, and whether more are anchored."""

    pack: bytes
    last_seq: int
    more: bool


@dataclass(frozen=True, slots=True)
class _Taken:
    """A record and its entry of the pack as canonical JSON."""

    record: StoredRecord
    entry: bytes


@dataclass(frozen=True, slots=True)
class HeadsPage:
    """Where an account stood at some anchors, oldest first, and the anchor to go on after."""

    account: str
    heads: tuple[Pack, ...]
    next_after: int | None


class AccountExports:
    """Exports accounts: their own to owners, anybody's to regulators; every disclosure is logged before it leaves."""

    def __init__(
        self,
        database: Database,
        reader: LogReader,
        anchoring: AnchorService,
        journal: AuditJournal,
        accounts: Directory,
        *,
        origin: str,
        public_key: bytes,
        page_bytes: int = PAGE_BYTES,
        page_heads: int = PAGE_HEADS,
    ) -> None:
        self._database = database
        self._reader = reader
        self._anchoring = anchoring
        self._journal = journal
        self._accounts = accounts
        self._page_bytes = page_bytes
        self._page_heads = page_heads
        self._log_part = LogPart(reader, anchoring, origin=origin, public_key=public_key)
        self._disclosures = Disclosures(database, journal)

    async def resolve(self, caller: Caller, named: str, *roles: Role) -> str:
        """Return the pseudonym that a caller means: their own, or anybody's for one of the roles; raise NotFound.

        `named` is "me", "system", a wallet or a pseudonym. Who may not see an account is told what anybody is told
        about one that is not there.
        """
        if named in {ME, caller.pseudonym} or named.lower() == caller.address:
            return caller.pseudonym
        if not caller.roles & set(roles):
            raise NotFound("no such account")
        if named == SYSTEM_ACCOUNT:
            async with self._database.transaction() as session:
                return await self._journal.system_account(session)
        if not named.startswith("0x"):
            return named
        async with self._database.reading() as session:
            return (await self._accounts.find(session, address=named)).pseudonym

    async def page(self, caller: Caller, named: str, after: int, limit: int) -> Exported:
        """Return an account's anchored records after a seq as one pack, everything that is left of each disclosed."""
        account = await self.resolve(caller, named, Role.REGULATOR)
        async with self._log_part.turns, self._database.reading() as session:
            anchor = await self._anchoring.mined(session)
            checkpoint = await self._reader.checkpoint(session)
            taken = await self._taken(session, account, after, limit, anchor, checkpoint)
            if not taken:
                raise NotFound("nothing of this account is anchored after that")
            first, last = taken[0].record, taken[-1].record
            more = bool(await self._reader.chain(session, account, last.seq + 1, anchor.head.size, 1))
            pack = await self._log_part.around(session, anchor, checkpoint)
            if not more:
                pack["heads"] = await self._log_part.heads(session, account, anchor)
        await self._disclosures.log(
            caller.pseudonym,
            [one.record for one in taken],
            of_account=account,
            fields=sorted({name for one in taken for name in one.record.fields}),
            first_seq=first.seq,
            last_seq=last.seq,
            first_entry=first.index or 0,
            last_entry=last.index or 0,
        )
        return Exported(_joined(pack, [one.entry for one in taken]), last.seq, more)

    async def heads(self, caller: Caller, named: str, after: int, limit: int) -> HeadsPage:
        """Return where an account stood at the anchors from index `after` + 1 on at which it exists."""
        account = await self.resolve(caller, named, Role.REGULATOR)
        async with self._log_part.turns, self._database.reading() as session:
            later = await self._anchors_of(session, account, after)
            if not later:
                raise NotFound("this account is in no anchor after that")
            found: list[Pack] = []
            room = self._page_heads
            for anchor in later[:limit]:
                heads = await self._reader.heads(session, anchor.head.size)
                room -= len(heads)
                if room < 0 and found:
                    break
                head = await asyncio.to_thread(head_part, heads, account)
                found.append({"anchor": self._log_part.anchor(anchor), "heads": head})
        page, more = later[: len(found)], len(found) < len(later)
        await self._disclosures.log(
            caller.pseudonym,
            of_account=account,
            fields=["heads"],
            first_anchor=page[0].index,
            last_anchor=page[-1].index,
        )
        return HeadsPage(account, tuple(found), page[-1].index if more else None)

    async def anchored_heads(self, recipient: str, anchor_index: int) -> Pack:
        """Return every account's head at an anchor, sorted by id: the anchor's heads root follows from them."""
        async with self._log_part.turns, self._database.reading() as session:
            anchor = await self._anchoring.mined(session, anchor_index)
            found = await self._reader.heads(session, anchor.head.size)
        heads: list[JsonValue] = [
            {"id": encode_bytes(one.id), "count": one.count, "head": encode_bytes(one.head)}
            for one in sorted_heads(found)
        ]
        await self._disclosures.log(
            recipient, fields=["heads"], first_anchor=anchor_index, last_anchor=anchor_index, accounts=len(heads)
        )
        return {"anchor": self._log_part.anchor(anchor), "heads": heads}

    async def _taken(
        self,
        session: AsyncSession,
        account: str,
        after: int,
        limit: int,
        anchor: Anchor,
        checkpoint: LogCheckpoint,
    ) -> list[_Taken]:
        taken: list[_Taken] = []
        room = self._page_bytes
        while len(taken) < limit:
            first = taken[-1].record.seq + 1 if taken else after + 1
            at_once = min(RECORDS_AT_ONCE, limit - len(taken))
            records = await self._reader.chain(session, account, first, anchor.head.size, at_once)
            shown = {one.seq: one.fields for one in records}
            entries = await self._log_part.entries(session, records, shown, checkpoint)
            texts = await asyncio.to_thread(lambda: [canonical_json(entry) for entry in entries])  # noqa: B023
            for record, text in zip(records, texts, strict=True):
                room -= len(text)
                if room < 0 and taken:
                    return taken
                taken.append(_Taken(record, text))
            if len(records) < at_once:
                break
        return taken

    async def _anchors_of(self, session: AsyncSession, account: str, after: int) -> list[Anchor]:
        newest = await self._anchoring.mined(session)
        first = await self._reader.chain(session, account, 1, newest.head.size, 1)
        return [
            one
            for one in await self._anchoring.anchors(session)
            if first and after < one.index <= newest.index and one.head.size > (first[0].index or 0)
            if one.block_number is not None and one.tx_hash is not None
        ]


def _joined(pack: Pack, entries: Sequence[bytes]) -> bytes:
    # Entries are many and are encoded one by one; a string cannot hold these bytes, its quotes would be escaped.
    around, empty, rest = canonical_json(pack).partition(b'"entries":[]')
    return b"".join((around, empty[:-1], b",".join(entries), b"]", rest))
