"""What was found of somebody is kept under a reference, decided on once, and told to the log without their details."""

import json
from datetime import date

import pytest

from backend.accounts.types import Caller, Role
from backend.kernel.errors import Conflict, Forbidden, NotFound
from backend.kit.pagination import PageRequest
from backend.ports.screening import Outcome
from backend.screening.types import Decision, HitState
from tests.backend.screening.room import CLEAN, OFFICE, OSKAR, REVIEWER, THIEF, WALLET, Room, entity, person

CASE = "case:1"
SUBJECT = person("Oskar Drenovitch", CLEAN, birth=date(1970, 5, 6))


async def test_nothing_found_is_clear_and_on_record(room: Room) -> None:
    update = await room.load(OSKAR)
    result = await room.screening.screen(CASE, person("Petra Lindqvist"))
    assert (result.decided, result.hits) == (Outcome.CLEAR, ())
    record = room.journal.records[-1]
    assert record.event == "screening.completed"
    assert record.fields["lists"] == [f"opensanctions:{update.loaded.version}"]
    assert await room.hits() == []


async def test_a_hit_waits_for_a_person_once(room: Room) -> None:
    await room.load(OSKAR)
    for _time in range(2):
        assert (await room.screening.screen(CASE, SUBJECT)).decided is Outcome.REVIEW
    (hit,) = await room.hits()
    assert (hit.reference, hit.entry_id, hit.state) == (CASE, "oskar", HitState.OPEN)
    assert room.journal.events()[1:] == ["screening.hit", "screening.completed"]


async def test_the_log_holds_nothing_of_who_is_screened(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CLEARED)
    told = json.dumps([dict(record.fields) for record in room.journal.records])
    for detail in ("Drenov", "1970", CLEAN, "papers"):
        assert detail not in told
    assert "case:1" in told


async def test_a_cleared_pair_is_not_raised_again_while_neither_changes(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CLEARED)
    await room.load(OSKAR, OFFICE)
    result = await room.screening.screen(CASE, SUBJECT)
    assert (result.decided, result.hits) == (Outcome.CLEAR, ())


async def test_a_cleared_pair_is_raised_again_when_the_entry_changes(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CLEARED)
    await room.load(entity("oskar", "Oskar Drenovic", birth="1970-05-06"))
    assert (await room.screening.screen(CASE, SUBJECT)).decided is Outcome.REVIEW
    assert len(await room.hits()) == 1


async def test_a_cleared_pair_is_raised_again_when_the_subject_changes(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CLEARED)
    assert (await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))).decided is Outcome.REVIEW


async def test_what_is_cleared_for_one_is_open_for_another(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CLEARED)
    assert (await room.screening.screen("case:2", SUBJECT)).decided is Outcome.REVIEW


async def test_a_confirmed_sanction_blocks_and_a_confirmed_office_does_not(room: Room) -> None:
    await room.load(OSKAR, OFFICE)
    await room.screening.screen(CASE, SUBJECT)
    await room.resolve(Decision.CONFIRMED)
    assert (await room.screening.screen(CASE, SUBJECT)).decided is Outcome.BLOCKED
    await room.screening.screen("case:2", person("Mirela Ostrovan"))
    await room.resolve(Decision.CONFIRMED)
    assert (await room.screening.screen("case:2", person("Mirela Ostrovan"))).decided is Outcome.CLEAR


async def test_a_sanctioned_wallet_blocks_at_once_until_somebody_clears_it(room: Room) -> None:
    await room.load(THIEF)
    subject = person("Somebody Else", WALLET.upper().replace("X", "x"))
    assert (await room.screening.screen(CASE, subject)).decided is Outcome.BLOCKED
    await room.resolve(Decision.CLEARED)
    assert (await room.screening.screen(CASE, subject)).decided is Outcome.CLEAR


async def test_a_hit_lapses_when_the_entry_leaves_the_list_and_opens_when_it_comes_back(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    await room.load(OFFICE)
    assert (await room.screening.screen(CASE, SUBJECT)).decided is Outcome.CLEAR
    assert [hit.state for hit in await room.hits(None)] == [HitState.LAPSED]
    await room.load(OSKAR)
    assert (await room.screening.screen(CASE, SUBJECT)).decided is Outcome.REVIEW
    assert [hit.state for hit in await room.hits(None)] == [HitState.OPEN]


async def test_a_hit_is_decided_once(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    decided = await room.resolve(Decision.CLEARED)
    assert (decided.state, decided.decided_by) == (HitState.CLEARED, "reviewer")
    with pytest.raises(Conflict, match="cleared"):
        await room.resolve(Decision.CONFIRMED, hit=decided.id)
    with pytest.raises(NotFound):
        await room.resolve(Decision.CONFIRMED, hit=999)


async def test_nobody_decides_on_a_hit_of_their_own(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, SUBJECT)
    themselves = Caller(1, CLEAN, "themselves", frozenset({Role.OPERATOR}))
    with pytest.raises(Forbidden, match="of their own"):
        await room.resolve(Decision.CLEARED, themselves)
    assert (await room.resolve(Decision.CLEARED, REVIEWER)).state is HitState.CLEARED


async def test_the_queue_comes_in_pages(room: Room) -> None:
    await room.load(OSKAR)
    for number in range(5):
        await room.screening.screen(f"case:{number}", SUBJECT)
    async with room.database.reading() as session:
        first = await room.reviews.page(session, HitState.OPEN, PageRequest(3))
        rest = await room.reviews.page(session, HitState.OPEN, PageRequest(3, first.next_before))
    assert [hit.reference for hit in (*first.items, *rest.items)] == [f"case:{n}" for n in (4, 3, 2, 1, 0)]
    assert rest.next_before is None


async def test_looking_somebody_up_keeps_nothing(room: Room) -> None:
    await room.load(OSKAR)
    assert (await room.screening.peek(SUBJECT)).decided is Outcome.REVIEW
    assert await room.hits(None) == []
    assert room.journal.events() == ["screening.list_updated"]
