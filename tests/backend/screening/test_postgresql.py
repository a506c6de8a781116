"""Screening on PostgreSQL, where transactions run beside each other."""

import asyncio
from pathlib import Path

from backend.kit.db import Database
from backend.screening import repository
from backend.screening.types import Decision
from tests.backend.screening.room import Room, entity, person

# Long enough for a transaction to reach the lock that it waits for.
A_MOMENT = 0.3


async def test_a_decision_waits_for_a_search_before_it_takes_the_hit(
    postgres_database: Database, tmp_path: Path
) -> None:
    room = Room(postgres_database, tmp_path)
    await room.load(entity("e1", "Oskar Petr Drenovic"))
    await room.screening.screen("case:1", person("Oskar Petr Drenovic"), actor="system")
    [hit] = await room.hits()
    async with postgres_database.transaction() as search:
        await repository.record_of(search, "case:1")
        deciding = asyncio.create_task(room.resolve(Decision.CLEARED))
        await asyncio.sleep(A_MOMENT)
        # In the other order both would wait for each other here.
        assert await repository.hit(search, hit.id) is not None
    assert (await deciding).state.value == "cleared"
