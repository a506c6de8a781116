"""One effect a key, on both databases."""

import asyncio
import hashlib

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.kit.db import Database
from backend.kit.idempotency import StoredResponse, idempotency_key, once
from backend.kit.models import IdempotencyKey

BODY = hashlib.sha256(b"body").hexdigest()
OTHER_BODY = hashlib.sha256(b"other").hexdigest()


@pytest.fixture(params=["database", "postgres_database"], ids=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Database:
    """Return each database in turn."""
    found: Database = request.getfixturevalue(request.param)
    return found


class Effect:
    """An action that counts how often it was done."""

    def __init__(self, status: int = 201) -> None:
        self.done = 0
        self.status = status

    async def __call__(self) -> StoredResponse:
        """Have the effect."""
        self.done += 1
        await asyncio.sleep(0)
        return StoredResponse(self.status, f'{{"order":{self.done}}}')


async def ask(store: Database, effect: Effect, key: str = "key", body: str = BODY, account: int = 1) -> StoredResponse:
    """Send one request in a transaction of its own."""
    async with store.transaction() as session:
        return await once(session, account, key, body, effect)


async def test_a_repeated_request_gets_the_first_answer(store: Database) -> None:
    effect = Effect()
    first, second = await ask(store, effect), await ask(store, effect)
    assert (first.status, first.body, first.replayed) == (201, '{"order":1}', False)
    assert (second.status, second.body, second.replayed) == (201, '{"order":1}', True)
    assert effect.done == 1


async def test_a_refusal_is_an_answer_like_any_other(store: Database) -> None:
    effect = Effect(status=403)
    await ask(store, effect)
    assert (await ask(store, effect)).status == 403
    assert effect.done == 1


async def test_a_hundred_parallel_requests_have_one_effect(store: Database) -> None:
    effect = Effect()

    async def attempt() -> str:
        try:
            return (await ask(store, effect)).body
        except Conflict:
            return "in flight"

    answers = await asyncio.gather(*(attempt() for _ in range(100)))
    assert effect.done == 1
    assert set(answers) <= {'{"order":1}', "in flight"}
    assert answers.count('{"order":1}') >= 1


async def test_a_key_belongs_to_its_account(store: Database) -> None:
    effect = Effect()
    await ask(store, effect, account=1)
    assert not (await ask(store, effect, account=2)).replayed
    assert effect.done == 2


async def test_the_same_key_with_another_body_is_refused(store: Database) -> None:
    effect = Effect()
    await ask(store, effect)
    with pytest.raises(Invalid, match="another request"):
        await ask(store, effect, body=OTHER_BODY)
    assert effect.done == 1


async def test_a_fault_frees_the_key(store: Database) -> None:
    async def fault() -> StoredResponse:
        raise Unavailable("the venue does not answer")

    with pytest.raises(Unavailable):
        async with store.transaction() as session:
            await once(session, 1, "key", BODY, fault)
    assert (await ask(store, Effect())).status == 201
    async with store.reading() as session:
        assert await session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1


async def test_a_request_in_flight_is_a_conflict_on_postgresql(postgres_database: Database) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow() -> StoredResponse:
        started.set()
        await finish.wait()
        return StoredResponse(201, "{}")

    async def first() -> StoredResponse:
        async with postgres_database.transaction() as session:
            return await once(session, 1, "key", BODY, slow)

    task = asyncio.create_task(first())
    await started.wait()
    with pytest.raises(Conflict, match="being worked on"):
        await ask(postgres_database, Effect())
    finish.set()
    assert not (await task).replayed
    assert (await ask(postgres_database, Effect())).replayed


@pytest.mark.parametrize("key", ["", " ", "a b", "k\u00e9y", "x" * 129, "line\nbreak"])
def test_a_missing_or_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(Invalid, match="Idempotency-Key"):
        idempotency_key(key)


async def test_reading_takes_no_write_lock_and_refuses_to_write(store: Database) -> None:
    async with store.transaction() as writer, store.reading() as reader:
        await writer.execute(text("DELETE FROM idempotency_keys"))
        assert await reader.scalar(select(func.count()).select_from(IdempotencyKey)) == 0
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        async with store.reading() as reader:
            await reader.execute(text("DELETE FROM idempotency_keys"))


async def test_a_database_error_quotes_no_values(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(DBAPIError) as raised:
            await session.execute(text("INSERT INTO jobs (id) VALUES (:id)"), {"id": "a-secret"})
    assert "jobs" in str(raised.value)
    assert "a-secret" not in str(raised.value)
