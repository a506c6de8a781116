"""No wallet is let go by an edit of a list, a cut of the hits, a failing neighbour or an older screening."""

from collections.abc import Sequence
from typing import Any

import pytest

from backend.kernel.errors import Conflict, Unavailable
from backend.ports.chain import Receipt
from backend.ports.screening import Outcome, ScreeningList, ScreeningResult, ScreeningSubject
from backend.ports.signer import KeyRole
from backend.screening.service import ScreeningService, WalletBlocks
from backend.screening.types import Decision, HitState
from tests.backend.screening.room import CLEAN, FINGERPRINTS, OSKAR, THIEF, WALLET, Entity, Room, entity, person

CASE = "case:1"
EDITED = entity("oskar", "Oskar Drenovic", birth="1970")


async def confirmed(room: Room) -> None:
    await room.load(OSKAR)
    await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))
    await room.resolve(Decision.CONFIRMED)
    await room.blocks.settle(CASE)
    assert list(room.on_chain.listed) == [CLEAN]


async def test_an_edit_of_a_confirmed_entry_lets_nobody_go_until_somebody_has_looked(room: Room) -> None:
    await confirmed(room)
    await room.load(EDITED)
    result = await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))
    await room.blocks.settle(CASE)
    assert result.decided is Outcome.BLOCKED
    assert list(room.on_chain.listed) == [CLEAN]
    await room.resolve(Decision.CLEARED)
    assert await room.blocks.settle(CASE) is Outcome.CLEAR
    assert room.on_chain.listed == {}
    assert await room.hits(HitState.CONFIRMED) == []


async def test_another_spelling_of_oneself_lets_nobody_go_until_somebody_has_looked(room: Room) -> None:
    await confirmed(room)
    assert (await room.screening.screen(CASE, person("Oskar Drenovich", CLEAN))).decided is Outcome.BLOCKED
    await room.blocks.settle(CASE)
    assert list(room.on_chain.listed) == [CLEAN]


async def test_what_leaves_the_list_lets_go(room: Room) -> None:
    await confirmed(room)
    await room.load(THIEF)
    assert (await room.screening.screen(CASE, person("Oskar Drenovic", CLEAN))).decided is Outcome.CLEAR
    await room.blocks.settle(CASE)
    assert room.on_chain.listed == {}


async def test_every_entry_that_somebody_looks_like_waits_for_a_person(room: Room) -> None:
    await room.load(*(entity(f"oskar-{number}", "Oskar Drenovic") for number in range(60)))
    result = await room.screening.screen(CASE, person("Oskar Drenovic"))
    assert len(result.hits) == 60


async def test_a_credential_that_cannot_be_taken_hinders_no_listing(room: Room) -> None:
    async def fail(wallet: str) -> None:
        raise Unavailable(f"no registry knows {wallet}")

    room.blocks.on_block.insert(0, fail)
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    with pytest.raises(Unavailable):
        await room.blocks.settle(CASE)
    assert list(room.on_chain.listed) == [WALLET]


async def test_a_chain_without_a_list_hinders_no_taking(room: Room) -> None:
    def absent(_wallet: str) -> bytes:
        raise Unavailable("no such contract")

    room.chain.answer("SanctionsPolicy", "listedOf", absent)
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    with pytest.raises(Unavailable):
        await room.blocks.settle(CASE)
    assert room.revoked == [WALLET]


class Meanwhile:
    """The adapter, while a list is replaced during each of the first searches."""

    def __init__(self, room: Room, *lists: Entity) -> None:
        self._room = room
        self._lists = list(lists)

    async def screen(
        self, subjects: Sequence[ScreeningSubject], lists: Sequence[ScreeningList]
    ) -> Sequence[ScreeningResult]:
        """Search, and have the list replaced."""
        found = await self._room.adapter.screen(subjects, lists)
        if self._lists:
            await self._room.load(self._lists.pop(0))
        return found


def slow(room: Room, *lists: Entity) -> ScreeningService:
    return ScreeningService(
        room.database,
        Meanwhile(room, *lists),  # type: ignore[arg-type]  # takes no list in
        room.lists,
        room.journal,
        room.clock,
        FINGERPRINTS,
    )


async def test_a_search_of_a_replaced_list_does_not_stand(room: Room) -> None:
    await room.load(OSKAR)
    assert (await slow(room, THIEF).screen(CASE, person("", WALLET))).decided is Outcome.BLOCKED
    with pytest.raises(Conflict, match="try again"):
        await slow(room, OSKAR, THIEF, EDITED).screen(CASE, person("", WALLET))


class Racing:
    """A chain on which another process settles right before an unlisting is mined."""

    def __init__(self, room: Room) -> None:
        self._room = room

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: object) -> Receipt:
        """Let the other one be first."""
        if function == "unlist":
            await self._room.screening.screen("case:2", person("", WALLET))
            await self._room.blocks.settle("case:2")
        return await self._room.chain.send(role, contract, function, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room.chain, name)


async def test_a_listing_that_another_took_for_its_own_is_made_good(room: Room) -> None:
    await room.load(THIEF)
    await room.screening.screen(CASE, person("", WALLET))
    await room.blocks.settle(CASE)
    await room.resolve(Decision.CLEARED)
    racing: Any = Racing(room)
    await WalletBlocks(room.database, racing, room.journal).settle(CASE)
    assert room.on_chain.listed == {}
    await room.blocks.settle_pending()
    assert list(room.on_chain.listed) == [WALLET]
