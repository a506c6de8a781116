"""An artifact is published under its CID whether or not the store answers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest

from backend.artifacts.service import ArtifactService
from backend.artifacts.types import PinState
from backend.kernel.cid import PROFILE, file_cid
from backend.kernel.errors import Conflict, Invalid, NotFound, Tampered, Unavailable
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from tests.backend.artifacts.stores import FakeStore
from tests.fakes import FakeClock, FakeJournal

CONTENT = b"a model card"


class World:
    """A service over a store that can fail."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = FakeStore()
        self.journal = FakeJournal()
        self.service = ArtifactService(self.store, self.journal, FakeClock())

    async def promise(self, content: bytes = CONTENT) -> PinState:
        """Promise and return the state."""
        async with self.database.transaction() as session:
            return (await self.service.pin(session, "model.card", content)).state

    async def pin(self, content: bytes = CONTENT) -> PinState:
        """Promise, hand over, and return the state."""
        await self.promise(content)
        await self.service.retry_pending(self.database)
        return (await self.service.content(self.database, file_cid(content)))[0].state

    async def read(self, content: bytes = CONTENT) -> bytes:
        """Read by CID."""
        return (await self.service.content(self.database, file_cid(content)))[1]


async def until(reached: Callable[[], bool]) -> None:
    """Wait a little until something is so."""
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 - another task brings it about
            await asyncio.sleep(0.01)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_a_promise_does_not_wait_for_the_store_and_is_gone_with_its_transaction(world: World) -> None:
    world.store.holding = True
    async with asyncio.timeout(2):
        assert await world.promise() is PinState.PENDING
    assert await world.read() == CONTENT

    async def fail() -> None:
        async with world.database.transaction() as session:
            await world.service.pin(session, "model.card", b"never")
            raise Conflict("changed my mind")

    with pytest.raises(Conflict):
        await fail()
    with pytest.raises(NotFound):
        await world.read(b"never")


async def test_what_is_promised_is_handed_over_as_soon_as_it_is_durable(world: World) -> None:
    running = asyncio.create_task(world.service.run(world.database, every=timedelta(hours=1)))
    await asyncio.sleep(0.05)
    await world.promise()
    await until(lambda: world.journal.events() == ["artifact.pinned"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_write_is_not_held_up_while_the_store_is_slow(world: World) -> None:
    world.store.holding = True
    await world.promise()
    handing_over = asyncio.create_task(world.service.retry_pending(world.database))
    await until(lambda: world.store.asked > 0)
    async with asyncio.timeout(2):
        assert await world.promise(b"another") is PinState.PENDING
    assert not handing_over.done()
    world.store.let_go()
    assert await handing_over == 1


async def test_an_artifact_that_the_store_chokes_on_does_not_stand_in_the_others_way(world: World) -> None:
    world.store.choking_on = {b"%d" % number for number in range(3)}
    for number in range(4):
        await world.promise(b"%d" % number)
    # Three in a row and the round is over: the store may be down.
    assert await world.service.retry_pending(world.database) == 0
    assert await world.service.retry_pending(world.database) == 1
    assert world.store.pins == {file_cid(b"3")}


async def test_what_is_pinned_is_logged_once_with_its_cid_and_profile(world: World) -> None:
    assert await world.pin() is PinState.PINNED
    assert await world.pin() is PinState.PINNED
    assert world.store.pins == {file_cid(CONTENT)}
    assert world.journal.events() == ["artifact.pinned"]
    assert world.journal.records[0].fields == {
        "cid": file_cid(CONTENT),
        "kind": "model.card",
        "size": len(CONTENT),
        "sha256": sha256(CONTENT).hexdigest(),
        "profile": PROFILE,
    }


@pytest.mark.parametrize("fault", ["down", "wrong_name", "wrong_bytes"])
async def test_a_store_that_is_down_or_lies_leaves_the_pin_pending_and_catches_up(world: World, fault: str) -> None:
    setattr(world.store, fault, True)
    assert await world.pin() is PinState.PENDING
    assert await world.read() == CONTENT
    assert await world.service.retry_pending(world.database) == 0
    assert world.journal.events() == []
    setattr(world.store, fault, False)
    assert await world.service.retry_pending(world.database) == 1
    assert await world.service.retry_pending(world.database) == 0
    assert world.journal.events() == ["artifact.pinned"]
    assert await world.read() == CONTENT


async def test_what_the_store_refuses_for_good_is_failed_and_not_tried_again(world: World) -> None:
    world.store.refusing = True
    assert await world.pin() is PinState.FAILED
    world.store.refusing = False
    assert await world.service.retry_pending(world.database) == 0
    assert world.journal.events() == ["artifact.refused"]
    assert await world.read() == CONTENT


async def test_bytes_that_are_not_what_the_cid_says_are_never_served(world: World) -> None:
    await world.pin()
    world.store.wrong_bytes = True
    with pytest.raises(Tampered):
        await world.read()


async def test_a_store_that_is_down_makes_reading_unavailable(world: World) -> None:
    await world.pin()
    world.store.down = True
    with pytest.raises(Unavailable):
        await world.read()


async def test_only_what_was_published_here_can_be_read(world: World) -> None:
    await world.store.put(b"somebody else's")
    with pytest.raises(NotFound):
        await world.read(b"somebody else's")
    with pytest.raises(Invalid):
        await world.service.content(world.database, "not a cid")


async def test_artifacts_are_listed_newest_first_in_pages(world: World) -> None:
    for content in (b"1", b"2", b"3"):
        await world.pin(content)
    async with world.database.reading() as session:
        first = await world.service.page(session, PageRequest(2))
        second = await world.service.page(session, PageRequest(2, first.next_before))
        none = await world.service.page(session, PageRequest(2), kind="returns")
    assert [pin.cid for pin in (*first.items, *second.items)] == [file_cid(content) for content in (b"3", b"2", b"1")]
    assert second.next_before is None
    assert none.items == ()
