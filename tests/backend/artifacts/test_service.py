"""An artifact is published under its CID whether or not the store answers."""

from hashlib import sha256

import pytest

from backend.artifacts.service import ArtifactService
from backend.artifacts.types import PinState
from backend.kernel.cid import PROFILE, file_cid
from backend.kernel.errors import Invalid, NotFound, Tampered, Unavailable
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

    async def pin(self, content: bytes = CONTENT) -> PinState:
        """Pin and return the state."""
        async with self.database.transaction() as session:
            return (await self.service.pin(session, "model.card", content)).state

    async def read(self, content: bytes = CONTENT) -> bytes:
        """Read by CID."""
        async with self.database.reading() as session:
            return (await self.service.content(session, file_cid(content)))[1]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


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
    async with world.database.reading() as session:
        with pytest.raises(Invalid):
            await world.service.content(session, "not a cid")


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
