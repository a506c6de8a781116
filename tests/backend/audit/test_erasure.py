"""An erasure leaves the chain and its proofs as they were, and no value of what was erased."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.models import AccountRow, EntryRow, RecordRow
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.audit.service.erasure import ErasureService, Forget
from backend.audit.types import Erasing, StoredRecord
from backend.kernel.canonical import JsonValue, decode_bytes, encode_bytes
from backend.kernel.clock import epoch_of
from backend.kernel.commitment import bind_count, disclose, field_bytes
from backend.kernel.errors import Conflict, NotFound
from backend.kernel.merkle import leaf_hash, root_from_path
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT
from tests.fakes import FakeClock, FakeSigner

TRADER, OTHER = encode_bytes(b"\x01" * 32), encode_bytes(b"\x02" * 32)
OPERATOR = encode_bytes(b"\x03" * 32)
FIVE_YEARS = timedelta(days=1_827)
DAY = timedelta(days=1)
ORIGIN = "refi.trading/test"
CLOSED: dict[str, JsonValue] = {"subject": "0x" + "ab" * 20, "epoch": 16_953, "position_commitment": "0x" + "01" * 32}
RETAINED = {"account", "event", "prev", "seq"}


class Archive:
    """A log with its clock and who erases from it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock, self.reader = FakeClock(), LogReader()
        self.journal = AuditJournal(self.clock)
        self.start = epoch_of(self.clock.business())

    def service(self, *forget: Forget, at_most: int = 5_000) -> ErasureService:
        """Return who erases."""
        return ErasureService(
            self.database, self.journal, self.clock, retention=FIVE_YEARS, forget=forget, at_most=at_most
        )

    async def log(self, account: str, event: str, **fields: JsonValue) -> None:
        """Record an event of today."""
        async with self.database.transaction() as session:
            await self.journal.record(session, account, event, fields, actor="trader", policy="1")
        await Sequencer(self.database, FakeSigner(), self.clock, ORIGIN).integrate()

    async def erase(self, account: str = TRADER, before_epoch: int | None = None, **others: Any) -> Any:
        """Ask for an erasure."""
        service = others.pop("service", None) or self.service()
        return await service.erase(
            account,
            before_epoch=before_epoch,
            reason="I leave",
            legal_basis="GDPR 17(1)(b)",
            operator=others.pop("operator", account),
        )

    async def chain(self, account: str = TRADER) -> list[StoredRecord]:
        """Return an account's records in the log."""
        await Sequencer(self.database, FakeSigner(), self.clock, ORIGIN).integrate()
        async with self.database.reading() as session:
            size = (await self.reader.checkpoint(session)).size
            return await self.reader.chain(session, account, 1, size)

    async def tree(self) -> list[Any]:
        """Return the entries, the ends of the chains, and what binds the records; the proofs speak for the nodes."""
        async with self.database.reading() as session:
            queries = (
                select(EntryRow.index, EntryRow.entry).order_by(EntryRow.index),
                select(AccountRow.account, AccountRow.seq, AccountRow.head).order_by(AccountRow.account),
                select(RecordRow.id, RecordRow.commitment, RecordRow.prev).order_by(RecordRow.id),
            )
            return [[tuple(row) for row in await session.execute(query)] for query in queries]


@pytest.fixture
async def archive(database: Database) -> Archive:
    """Return an archive with four records of the trader on four days, and one of another."""
    made = Archive(database)
    await made.log(TRADER, "account.opened", **CLOSED)
    await made.log(OTHER, "account.opened", **CLOSED)
    for price in ("187.25", "188.5"):
        made.clock.advance(business=DAY)
        await made.log(TRADER, "order.filled", instrument="AAPL", price=price)
    made.clock.advance(business=DAY)
    await made.log(TRADER, "epoch.closed", **CLOSED)
    return made


def leads_to(name: str, shown: Mapping[str, Any]) -> bytes | None:
    """Return the commitment that a disclosure leads to."""
    leaf = leaf_hash(field_bytes(name, shown["value"], decode_bytes(shown["salt"])))
    path = [decode_bytes(node) for node in shown["path"]]
    root = root_from_path(leaf, shown["index"], shown["count"], path)
    return bind_count(shown["count"], root) if root else None


async def test_what_is_retained_still_leads_to_the_commitment_and_the_rest_is_gone(archive: Archive) -> None:
    before = await archive.chain()
    archive.clock.advance(business=2 * FIVE_YEARS)
    done = await archive.erase()
    assert (done.erased, done.kept, done.left) == (4, 0, 0)
    chain = await archive.chain()
    assert [set(record.fields) for record in chain[:4]] == [
        RETAINED | {"epoch", "position_commitment"},
        RETAINED,
        RETAINED,
        RETAINED | {"epoch", "position_commitment"},
    ]
    for old, record in zip(before, chain[:4], strict=True):
        assert record.erased
        assert record.salt == b""
        assert record.retained == disclose(old.fields, old.salt, record.retained)
        assert {leads_to(name, shown) for name, shown in record.retained.items()} == {record.commitment}


async def test_nothing_that_was_fixed_is_rewritten(archive: Archive) -> None:
    before = await archive.tree()
    async with archive.database.reading() as session:
        size = (await archive.reader.checkpoint(session)).size
        proofs = [await archive.reader.inclusion(session, index, size) for index in range(size)]
    archive.clock.advance(business=2 * FIVE_YEARS)
    await archive.erase()
    await archive.chain()
    entries, _, records = await archive.tree()
    assert entries[: len(before[0])] == before[0]
    assert records[: len(before[2])] == before[2]
    async with archive.database.reading() as session:
        assert [await archive.reader.inclusion(session, index, size) for index in range(size)] == proofs


async def test_an_erasure_is_on_the_accounts_own_chain_and_names_no_value(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    done = await archive.erase(operator=OPERATOR)
    last = (await archive.chain())[-1]
    assert (last.event, last.seq, last.erased) == ("erasure", 5, False)
    assert {name: last.fields[name] for name in ("erased", "kept", "left", "until", "operator", "actor")} == {
        "erased": 4,
        "kept": 0,
        "left": 0,
        "until": done.until,
        "operator": OPERATOR,
        "actor": OPERATOR,
    }
    assert (last.fields["reason"], last.fields["legal_basis"]) == ("I leave", "GDPR 17(1)(b)")
    assert last.prev == (await archive.chain())[-2].commitment
    for value in ("AAPL", "187.25", "0x" + "ab" * 20):
        assert value not in json.dumps(dict(last.fields))


async def test_what_the_law_keeps_is_kept_and_counted(archive: Archive) -> None:
    # The first two days are over five years old, the last two are not.
    archive.clock.advance(business=FIVE_YEARS - DAY)
    done = await archive.erase()
    assert (done.erased, done.kept, done.until) == (2, 2, archive.start + 2)
    assert [record.erased for record in await archive.chain()] == [True, True, False, False, False]
    assert (await archive.chain())[2].fields["price"] == "188.5"


@pytest.mark.parametrize(("days", "erased"), [(-1, 0), (0, 0), (1, 1)])
async def test_the_period_ends_when_a_whole_day_more_has_passed(archive: Archive, days: int, erased: int) -> None:
    archive.clock.advance(business=FIVE_YEARS - 3 * DAY + days * DAY)
    assert (await archive.erase()).erased == erased


async def test_a_request_that_the_law_allows_nothing_of_is_recorded_as_refused(archive: Archive) -> None:
    before = await archive.chain()
    done = await archive.erase()
    assert (done.erased, done.kept) == (0, 4)
    chain = await archive.chain()
    assert chain[:4] == before
    assert (chain[4].event, chain[4].fields["kept"]) == ("erasure.refused", 4)


async def test_only_what_came_before_the_named_epoch_goes(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    done = await archive.erase(before_epoch=archive.start + 1)
    assert (done.erased, done.kept, done.until) == (1, 0, archive.start + 1)
    assert [record.erased for record in await archive.chain()] == [True, False, False, False, False]


async def test_what_is_erased_is_not_erased_again(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    await archive.erase(before_epoch=archive.start + 9)
    first = await archive.chain()
    again = await archive.erase(before_epoch=archive.start + 9)
    assert (again.erased, again.kept) == (0, 0)
    # Nothing was asked for that is still there: nothing is recorded either.
    assert await archive.chain() == first


async def test_another_account_is_left_alone(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    before = await archive.chain(OTHER)
    await archive.erase()
    assert await archive.chain(OTHER) == before


async def test_an_account_that_is_not_there_is_not_made(archive: Archive) -> None:
    with pytest.raises(NotFound):
        await archive.erase(OPERATOR)
    assert [row[0] for row in (await archive.tree())[1]] == sorted([TRADER, OTHER])


async def test_an_erasure_that_is_old_enough_is_erased_like_any_other_record(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    await archive.erase()
    archive.clock.advance(business=2 * FIVE_YEARS)
    done = await archive.erase()
    assert done.erased == 1
    events = [(record.event, record.erased) for record in await archive.chain()]
    assert events[4:] == [("erasure", True), ("erasure", False)]


async def test_a_long_history_goes_in_pieces_the_oldest_first(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    service = archive.service(at_most=3)
    first = await archive.erase(before_epoch=archive.start + 9, service=service)
    assert (first.erased, first.left) == (3, 1)
    second = await archive.erase(before_epoch=archive.start + 9, service=service)
    assert (second.erased, second.left) == (1, 0)
    assert [record.erased for record in await archive.chain()] == [True, True, True, True, False, False]


async def test_the_chain_goes_on_after_its_head_was_erased(archive: Archive) -> None:
    archive.clock.advance(business=2 * FIVE_YEARS)
    await archive.erase()
    await archive.log(TRADER, "order.filled", instrument="MSFT")
    chain = await archive.chain()
    assert [record.seq for record in chain] == [1, 2, 3, 4, 5, 6]
    for before, record in pairwise(chain):
        assert record.fields["prev"] == encode_bytes(before.commitment)


async def test_other_tables_forget_in_the_same_transaction_or_nothing_is_erased(archive: Archive) -> None:
    told: list[Erasing] = []

    async def forget(_session: AsyncSession, erasing: Erasing) -> None:
        told.append(erasing)

    async def fail(_session: AsyncSession, _erasing: Erasing) -> None:
        raise Conflict("not now")

    archive.clock.advance(business=2 * FIVE_YEARS)
    with pytest.raises(Conflict):
        await archive.erase(service=archive.service(forget, fail))
    assert not any(record.erased for record in await archive.chain())
    await archive.erase(service=archive.service(forget))
    assert [one["price"] for one in told[1].records if "price" in one] == ["187.25", "188.5"]
    assert told[1].account == TRADER


async def test_the_systems_records_can_be_erased_too(archive: Archive) -> None:
    await archive.log(SYSTEM_ACCOUNT, "login.failed", subject="0x" + "ef" * 20, reason="nonce")
    async with archive.database.reading() as session:
        query = select(RecordRow.account).where(RecordRow.event == "login.failed")
        system = (await session.execute(query)).scalar_one()
    archive.clock.advance(business=2 * FIVE_YEARS)
    assert (await archive.erase(system, operator=OPERATOR)).erased == 1
    assert set((await archive.chain(system))[0].fields) == RETAINED


def files_of(database: Database) -> bytes:
    """Return every byte of the database's files."""
    path = Path(str(database.engine.url.database))
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


async def test_no_byte_of_an_erased_value_or_salt_stays_in_the_files(archive: Archive) -> None:
    secrets = [f"secret-{number:04}-of-the-trader" for number in range(400)]
    for at in range(0, len(secrets), 20):
        async with archive.database.transaction() as session:
            for value in secrets[at : at + 20]:
                for account in (TRADER, OTHER):
                    fields: dict[str, JsonValue] = {"note": f"{account[:2]}/{value}", "filler": "f" * (7 * at)}
                    await archive.journal.record(session, account, "order.filled", fields, actor="t", policy="1")
        await Sequencer(archive.database, FakeSigner(), archive.clock, ORIGIN).integrate()
    salts = [record.salt for record in await archive.chain()]
    content = files_of(archive.database)
    assert all(f"{TRADER[:2]}/{value}".encode() in content for value in secrets)
    assert all(salt in content for salt in salts)
    archive.clock.advance(business=2 * FIVE_YEARS)
    assert (await archive.erase()).erased == 404
    content = files_of(archive.database)
    assert [value for value in secrets if f"{TRADER[:2]}/{value}".encode() in content] == []
    assert [salt for salt in salts if salt in content] == []
    assert all(f"{OTHER[:2]}/{value}".encode() in content for value in secrets)
