"""The journal fixes records in the caller's transaction."""

import asyncio
import json
import secrets
from datetime import timedelta

import pytest
from sqlalchemy import select

from backend.audit.models import AccountRow, RecordRow
from backend.audit.service import AuditJournal
from backend.kernel.canonical import encode_bytes
from backend.kernel.commitment import commit
from backend.kernel.errors import Invalid
from backend.kit.db import Database
from backend.ports.journal import SYSTEM_ACCOUNT, Journal, Recorded
from tests.fakes import FakeClock

TRADER = encode_bytes(b"\x01" * 32)
STRANGER = encode_bytes(b"\x02" * 32)


async def record(
    database: Database, journal: Journal, account: str = TRADER, event: str = "order.filled", **fields: str
) -> Recorded:
    async with database.transaction() as session:
        return await journal.record(session, account, event, fields, actor="trader", policy="1")


async def rows(database: Database) -> list[RecordRow]:
    async with database.reading() as session:
        return list(await session.scalars(select(RecordRow).order_by(RecordRow.id)))


async def test_a_record_names_its_account_seq_and_the_commitment_before_it(database: Database) -> None:
    journal = AuditJournal(FakeClock())
    first = await record(database, journal, instrument="AAPL")
    second = await record(database, journal, instrument="MSFT")
    kept = [json.loads(row.fields) for row in await rows(database)]
    assert [row["seq"] for row in kept] == [1, 2]
    assert [row["prev"] for row in kept] == [encode_bytes(bytes(32)), encode_bytes(first.commitment)]
    assert kept[1] == {
        "account": TRADER,
        "actor": "trader",
        "clock": "replay:0",
        "event": "order.filled",
        "instrument": "MSFT",
        "policy": "1",
        "prev": encode_bytes(first.commitment),
        "seq": 2,
        "ts_event": "2016-06-01T21:00:00.000000Z",
        "ts_recorded": "2026-11-20T10:00:00.000000Z",
    }
    assert (second.seq, second.account) == (2, TRADER)


async def test_the_commitment_covers_every_field_with_a_salt_of_its_own(database: Database) -> None:
    journal = AuditJournal(FakeClock())
    first = await record(database, journal, STRANGER, side="buy")
    second = await record(database, journal, TRADER, side="buy")
    assert first.commitment != second.commitment
    for row in await rows(database):
        assert row.commitment == commit(json.loads(row.fields), row.salt)
    assert len({row.salt for row in await rows(database)}) == 2


async def test_accounts_have_chains_of_their_own(database: Database) -> None:
    journal = AuditJournal(FakeClock())
    places = [(await record(database, journal, account)).seq for account in (TRADER, STRANGER, TRADER, STRANGER)]
    assert places == [1, 1, 2, 2]


async def test_the_system_account_keeps_one_random_pseudonym(database: Database) -> None:
    first = await record(database, AuditJournal(FakeClock()), SYSTEM_ACCOUNT, "gov.promoted")
    second = await record(database, AuditJournal(FakeClock()), SYSTEM_ACCOUNT, "gov.promoted")
    assert first.account == second.account != SYSTEM_ACCOUNT
    assert second.seq == 2


async def test_a_record_of_a_transaction_that_fails_is_gone_with_its_seq(database: Database) -> None:
    journal = AuditJournal(FakeClock())

    async def fail_after_recording() -> None:
        async with database.transaction() as session:
            await journal.record(session, TRADER, "order.filled", {}, actor="trader", policy="1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_recording()
    assert (await record(database, journal)).seq == 1
    assert len(await rows(database)) == 1


async def test_several_records_of_one_transaction_follow_each_other(database: Database) -> None:
    journal = AuditJournal(FakeClock())
    async with database.transaction() as session:
        made = [await journal.record(session, TRADER, "a.b", {}, actor="x", policy="1") for _ in range(3)]
    assert [one.seq for one in made] == [1, 2, 3]
    assert [row.prev for row in await rows(database)] == [bytes(32), made[0].commitment, made[1].commitment]


async def test_parallel_writers_of_one_account_leave_no_gap_and_no_fork(database: Database) -> None:
    journal = AuditJournal(FakeClock())
    made = await asyncio.gather(*[record(database, journal) for _ in range(20)])
    assert sorted(one.seq for one in made) == list(range(1, 21))
    kept = sorted(await rows(database), key=lambda row: row.seq)
    assert [row.prev for row in kept[1:]] == [row.commitment for row in kept[:-1]]
    async with database.reading() as session:
        assert (await session.execute(select(AccountRow.seq, AccountRow.head))).one() == (20, kept[-1].commitment)


async def test_a_clock_set_back_does_not_turn_history_round(database: Database) -> None:
    clock = FakeClock()
    journal = AuditJournal(clock)
    await record(database, journal)
    clock.advance(wall=timedelta(hours=-1))
    await record(database, journal)
    clock.advance(wall=timedelta(hours=2))
    await record(database, journal)
    times = [row.ts_recorded for row in await rows(database)]
    assert times[0] == times[1] < times[2]


@pytest.mark.parametrize(
    ("account", "event", "fields"),
    [
        ("0xabc", "order.filled", {}),
        (encode_bytes(secrets.token_bytes(31)), "order.filled", {}),
        (TRADER, "Order Filled", {}),
        (TRADER, "", {}),
        (TRADER, "x" * 600, {}),
        (TRADER, "order.filled", {"seq": 9}),
        (TRADER, "order.filled", {"price": 1.5}),
        (TRADER, "order.filled", {"price": None}),
        (TRADER, "order.filled", {"price": 2**53}),
    ],
)
async def test_what_has_no_canonical_form_is_refused_and_leaves_nothing(
    database: Database, account: str, event: str, fields: dict[str, object]
) -> None:
    with pytest.raises(Invalid):
        async with database.transaction() as session:
            await AuditJournal(FakeClock()).record(
                session,
                account,
                event,
                fields,  # type: ignore[arg-type]
                actor="x",
                policy="1",
            )
    assert await rows(database) == []
