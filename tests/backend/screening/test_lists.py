"""Lists are replaced as a whole or not at all, and everybody hears of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.kit.models import Job
from backend.ports.screening import ListFormat, Outcome
from backend.screening.service import SWEEP_JOB
from tests.backend.screening.room import OFFICE, OSKAR, THIEF, Room, entity, person

MANY = [entity(f"e{number}", f"Person Number{number:03}") for number in range(10)]


async def jobs(room: Room) -> list[str]:
    async with room.database.reading() as session:
        return list(await session.scalars(select(Job.name)))


async def test_a_list_in_force_is_on_record_with_its_version(room: Room) -> None:
    update = await room.load(OSKAR)
    assert (update.loaded.entries, update.version_before, update.loaded.stale) == (1, "", False)
    (record,) = room.journal.records
    assert (record.event, record.actor, record.fields["list_version"]) == (
        "screening.list_updated",
        "operator:test",
        update.loaded.version,
    )
    assert await jobs(room) == [SWEEP_JOB]


async def test_another_file_replaces_the_list_as_a_whole(room: Room) -> None:
    first = await room.load(OSKAR)
    second = await room.load(THIEF)
    assert second.version_before == first.loaded.version
    assert (await room.screening.peek(person("Oskar Drenovic"))).decided is Outcome.CLEAR
    assert (await room.screening.peek(person("Tamriko Velshvili"))).decided is Outcome.REVIEW


async def test_the_same_file_again_changes_nothing_but_its_age(room: Room) -> None:
    first = await room.load(OSKAR)
    room.clock.advance(wall=timedelta(days=8))
    async with room.database.reading() as session:
        assert [known.stale for known in await room.lists.loaded(session)] == [True]
    again = await room.load(OSKAR)
    assert (again.job, again.loaded.version, again.loaded.stale) == ("", first.loaded.version, False)
    assert room.journal.events() == ["screening.list_updated"]


async def test_lists_of_two_names_are_both_in_force(room: Room) -> None:
    await room.load(OSKAR)
    await room.load(OFFICE, name="peps")
    result = await room.screening.peek(person("Mirela Ostrovan"))
    assert [known.name for known in result.lists] == ["opensanctions", "peps"]
    assert [hit.list_name for hit in result.hits] == ["peps"]


async def test_a_list_that_has_lost_half_its_entries_needs_force(room: Room) -> None:
    before = await room.load(*MANY)
    with pytest.raises(Conflict, match="is it the right file"):
        await room.load(*MANY[:4])
    async with room.database.reading() as session:
        assert [known.version for known in await room.lists.loaded(session)] == [before.loaded.version]
    assert (await room.load(*MANY[:5])).loaded.entries == 5
    assert (await room.load(*MANY[:1], force=True)).loaded.entries == 1
    assert room.journal.records[-1].fields["forced"] is True


async def test_a_file_that_is_refused_leaves_the_list_in_force(room: Room, tmp_path: Path) -> None:
    await room.load(OSKAR)
    broken = tmp_path / "broken.json"
    broken.write_text('{"id": "x"\n')
    with pytest.raises(Invalid):
        await room.lists.update(broken, ListFormat.OPENSANCTIONS_JSON, actor="operator:test")
    assert (await room.screening.peek(person("Oskar Drenovic"))).decided is Outcome.REVIEW


async def test_a_stop_before_the_commit_leaves_the_list_in_force(room: Room) -> None:
    """The file is kept before the transaction; what is in force is the transaction's alone."""
    await room.load(OSKAR)
    await room.adapter.take_in(room.file(THIEF), ListFormat.OPENSANCTIONS_JSON)
    assert (await room.screening.peek(person("Oskar Drenovic"))).decided is Outcome.REVIEW

    class Stopped(Exception):
        pass

    async def stopped(*_args: object, **_fields: object) -> None:
        raise Stopped

    room.journal.record = stopped  # type: ignore[assignment]
    with pytest.raises(Stopped):
        await room.load(THIEF)
    assert (await room.screening.peek(person("Tamriko Velshvili"))).decided is Outcome.CLEAR
    assert (await room.screening.peek(person("Oskar Drenovic"))).decided is Outcome.REVIEW
    assert await jobs(room) == [SWEEP_JOB]


async def test_without_a_list_nobody_can_be_screened(room: Room) -> None:
    with pytest.raises(Unavailable, match="no list is loaded"):
        await room.screening.peek(person("Anybody"))
    with pytest.raises(Unavailable, match="no list is loaded"):
        await room.screening.screen("case:1", person("Anybody"))
    with pytest.raises(Unavailable, match="no list is loaded"):
        await room.screening.lists_key()


@pytest.mark.parametrize("name", ["Upper", "-x", "a b", "x" * 40, "../x"])
async def test_a_lists_name_is_a_plain_word(room: Room, name: str) -> None:
    with pytest.raises(Invalid, match="list's name"):
        await room.load(OSKAR, name=name)
