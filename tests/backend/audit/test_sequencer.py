"""The sequencer gives every durable record one index, and the reader proves the tree that they make."""

import asyncio
import tempfile
from datetime import timedelta
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Executable, delete, insert, update

from backend.audit.models import AccountRow, CheckpointRow, LogStateRow, RecordRow
from backend.audit.repository.records import ACCOUNTS_A_PAGE
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Invalid, NotFound, Tampered, Unavailable
from backend.kernel.signed_note import (
    Checkpoint,
    VerifierKey,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    sign_note,
)
from backend.kit.db import Base, Database
from tests.fakes import FakeClock, FakeSigner

ORIGIN = "refi.trading/test"
KEY = VerifierKey(ORIGIN, FakeSigner().log_public_key())


def account(number: int) -> str:
    return encode_bytes(bytes([number]) * 32)


def sequencer(database: Database, *, clock: FakeClock | None = None, batch: int = 1_000) -> Sequencer:
    return Sequencer(
        database, FakeSigner(), clock or FakeClock(), ORIGIN, interval=timedelta(milliseconds=10), batch=batch
    )


async def record_many(database: Database, accounts: list[int]) -> None:
    journal = AuditJournal(FakeClock())
    async with database.transaction() as session:
        for number in accounts:
            await journal.record(session, account(number), "order.filled", {"n": number}, actor="x", policy="1")


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    return True


async def entries_of(database: Database, size: int) -> list[str]:
    async with database.reading() as session:
        return [await LogReader().entry(session, index) for index in range(size)]


async def test_an_empty_log_has_no_checkpoint_and_integrating_nothing_makes_none(database: Database) -> None:
    assert await sequencer(database).integrate() == 0
    async with database.reading() as session:
        assert await LogReader().latest(session) is None
        with pytest.raises(NotFound):
            await LogReader().checkpoint(session)


async def test_every_record_gets_one_index_in_the_order_of_its_account(database: Database) -> None:
    await record_many(database, [1, 2, 1, 3, 1, 2])
    assert await sequencer(database, batch=4).integrate() == 6
    assert await sequencer(database).integrate() == 0
    async with database.reading() as session:
        records = [await LogReader().record(session, index) for index in range(6)]
        assert await LogReader().pending(session) == 0
    assert [(one.account, one.seq) for one in records] == [
        (account(number), seq) for number, seq in [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 2)]
    ]


async def test_the_checkpoint_is_a_note_that_the_logs_key_signed(database: Database) -> None:
    await record_many(database, [1, 2, 3])
    await sequencer(database).integrate()
    async with database.reading() as session:
        found = await LogReader().checkpoint(session)
    text = open_note(found.note, VerifierKey(ORIGIN, FakeSigner().log_public_key()), verify_ed25519)
    leaves = [merkle.leaf_hash(entry.encode()) for entry in await entries_of(database, 3)]
    assert parse_checkpoint(text).size == found.size == 3
    assert parse_checkpoint(text).root == found.root == merkle.root(leaves)


async def test_two_sequencers_at_once_never_give_an_index_twice(database: Database) -> None:
    await record_many(database, [1, 2, 3] * 20)
    done = await asyncio.gather(*[sequencer(database, batch=7).integrate() for _ in range(4)])
    assert sum(done) == 60
    assert len(set(await entries_of(database, 60))) == 60


async def test_only_the_elected_one_integrates_until_its_lease_ends(database: Database) -> None:
    clock = FakeClock()
    first, second = sequencer(database, clock=clock), sequencer(database, clock=clock)
    assert await first._is_elected()
    assert not await second._is_elected()
    clock.advance(wall=timedelta(seconds=4))
    assert await first._is_elected()
    clock.advance(wall=timedelta(seconds=4))
    assert not await second._is_elected()
    clock.advance(wall=timedelta(seconds=2))
    assert await second._is_elected()
    assert not await first._is_elected()


async def test_a_lease_from_a_clock_that_ran_ahead_does_not_stop_the_log(database: Database) -> None:
    ahead, right = FakeClock(), FakeClock()
    ahead.advance(wall=timedelta(days=365))
    assert await sequencer(database, clock=ahead)._is_elected()
    assert await sequencer(database, clock=right)._is_elected()
    assert not await sequencer(database, clock=right)._is_elected()


async def test_the_loop_integrates_until_it_is_stopped_and_then_resigns(database: Database) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(sequencer(database).run(stop))
    await record_many(database, [1, 2])
    for _ in range(200):
        await asyncio.sleep(0.01)
        async with database.reading() as session:
            if await LogReader().latest(session):
                break
    stop.set()
    await asyncio.wait_for(running, 5)
    assert len(await entries_of(database, 2)) == 2
    assert await sequencer(database)._is_elected()


class FailingSigner(FakeSigner):
    """Refuses to sign as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.away = True

    def sign_note(self, message: bytes) -> bytes:
        """Sign, or say that the key cannot be reached."""
        if self.away:
            raise Unavailable("the signer does not answer")
        return super().sign_note(message)


async def test_a_signer_that_is_away_leaves_nothing_half_done_and_the_loop_catches_up(database: Database) -> None:
    signer, stop = FailingSigner(), asyncio.Event()
    await record_many(database, [1, 2])
    running = asyncio.create_task(
        Sequencer(database, signer, FakeClock(), ORIGIN, interval=timedelta(milliseconds=5)).run(stop)
    )
    await asyncio.sleep(0.1)
    async with database.reading() as session:
        assert await LogReader().latest(session) is None
        assert await LogReader().pending(session) == 2
        with pytest.raises(NotFound):
            await LogReader().entry(session, 0)
    signer.away = False
    for _ in range(200):
        await asyncio.sleep(0.01)
        async with database.reading() as session:
            if not await LogReader().pending(session):
                break
    stop.set()
    await asyncio.wait_for(running, 5)
    assert len(await entries_of(database, 2)) == 2


@pytest.mark.parametrize(
    "tampering",
    [
        update(LogStateRow).values(frontier=bytes(32)),
        update(LogStateRow).values(size=1),
        update(CheckpointRow).values(note=CheckpointRow.note + "\n"),
        update(CheckpointRow).values(root=bytes(32)),
        update(CheckpointRow).values(
            note=sign_note(checkpoint_text(Checkpoint(ORIGIN, 2, bytes(32))), KEY, FakeSigner("other").sign_note)
        ),
        delete(CheckpointRow),
        update(RecordRow).where(RecordRow.entry_index.is_(None)).values(commitment=b"short"),
    ],
    ids=["frontier", "size", "note", "root", "signature", "no checkpoint", "commitment"],
)
async def test_a_tree_that_does_not_extend_the_last_signature_is_never_signed(
    database: Database, tampering: Executable
) -> None:
    await record_many(database, [1, 2])
    await sequencer(database).integrate()
    await record_many(database, [1])
    async with database.transaction() as session:
        await session.execute(tampering)
    with pytest.raises(Tampered):
        await sequencer(database).integrate()
    async with database.reading() as session:
        assert await LogReader().pending(session) == 1


async def test_heads_name_the_last_record_of_each_account_at_a_size(database: Database) -> None:
    await record_many(database, [1, 2, 1])
    await sequencer(database).integrate()
    await record_many(database, [2, 3])
    async with database.reading() as session:
        reader = LogReader()
        at_three = {head.id[0]: head.count for head in await reader.heads(session, 3)}
        at_two = {head.id[0]: (head.count, head.head) for head in await reader.heads(session, 2)}
        first = await reader.record(session, 0)
        assert await reader.heads(session, 0) == []
        with pytest.raises(NotFound):
            await reader.heads(session, 4)
    assert at_three == {1: 2, 2: 1}
    assert at_two[1] == (1, first.commitment)


async def test_many_heads_are_read_in_pages_and_let_others_have_their_turn(database: Database) -> None:
    count, turns = 2 * ACCOUNTS_A_PAGE + 1, 0
    ends = [{"account": encode_bytes(sha256(b"%d" % n).digest()), "seq": n % 2} for n in range(count)]
    async with database.transaction() as session:
        await session.execute(
            insert(AccountRow),
            [{"account": end["account"], "seq": 0, "head": bytes(32), "ts_recorded": ""} for end in ends],
        )
        for end in ends:
            if end["seq"]:
                await AuditJournal(FakeClock()).record(session, str(end["account"]), "a", {}, actor="x", policy="1")
    await sequencer(database).integrate()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    async with database.reading() as session:
        await LogReader().latest(session)
        turns = 0
        heads = await LogReader().heads(session, count // 2)
        taken = turns
    other.cancel()
    assert {encode_bytes(head.id) for head in heads} == {end["account"] for end in ends if end["seq"]}
    assert taken >= count // ACCOUNTS_A_PAGE


async def test_what_the_log_does_not_hold_is_not_found(database: Database) -> None:
    await record_many(database, [1])
    await sequencer(database).integrate()
    reader = LogReader()
    async with database.reading() as session:
        for missing in (
            reader.entry(session, 1),
            reader.record(session, 1),
            reader.inclusion(session, 1, 1),
            reader.inclusion(session, 0, 2),
            reader.consistency(session, 1, 2),
            reader.checkpoint(session, 2),
            reader.root(session, 2),
        ):
            with pytest.raises(NotFound):
                await missing
        with pytest.raises(Invalid):
            await reader.consistency(session, 2, 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=25), min_size=1, max_size=4),
    limit=st.sampled_from([1, 3, 1_000]),
)
def test_after_any_batches_every_proof_verifies_and_no_wrong_one_does(batches: list[list[int]], limit: int) -> None:
    asyncio.run(_check_every_proof(batches, limit))


async def _check_every_proof(batches: list[list[int]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite+aiosqlite:///{Path(folder) / 'log.sqlite3'}")
        try:
            async with database.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            await _grow_and_check(database, batches, limit)
        finally:
            await database.close()


async def _grow_and_check(database: Database, batches: list[list[int]], limit: int) -> None:
    sizes = list(accumulate(len(batch) for batch in batches))
    for batch in batches:
        await record_many(database, batch)
        await sequencer(database, batch=limit).integrate()
    leaves = [merkle.leaf_hash(entry.encode()) for entry in await entries_of(database, sizes[-1])]
    reader = LogReader()
    async with database.reading() as session:
        for size in range(1, sizes[-1] + 1, 3):
            root = await reader.root(session, size)
            assert root == merkle.root(leaves[:size])
            for index, path in enumerate(await reader.inclusions(session, range(size), size)):
                assert merkle.verify_inclusion(leaves[index], index, size, path, root)
                assert not merkle.verify_inclusion(leaves[index], index, size, path, bytes(32))
        for old, new in [(old, new) for old in sizes for new in sizes if old <= new]:
            proof = await reader.consistency(session, old, new)
            roots = (await reader.checkpoint(session, old)).root, (await reader.checkpoint(session, new)).root
            assert merkle.verify_consistency(old, roots[0], new, roots[1], proof)
            assert not merkle.verify_consistency(old, bytes(32), new, roots[1], proof)
        heads = {head.id[0]: head.count for head in await reader.heads(session, sizes[-1])}
    flat = [number for batch in batches for number in batch]
    assert heads == {number: flat.count(number) for number in set(flat)}
