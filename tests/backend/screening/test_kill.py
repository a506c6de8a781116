"""A process that dies while it puts a list in force leaves the one before in force."""

import asyncio
import sys
from pathlib import Path

from backend.kit.db import Database
from backend.ports.screening import Outcome
from tests.backend.screening.room import OSKAR, Room, person

UPDATES = """
import asyncio, sys
from pathlib import Path
from backend.kit.db import Database
from tests.backend.screening.room import THIEF, Room

async def main(folder):
    room = Room(Database(f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}"), folder)

    async def record(*_args, **_fields):
        print("within", flush=True)
        await asyncio.sleep(600)

    room.journal.record = record
    await room.load(THIEF)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_kill_within_the_update_leaves_the_list_before_in_force(database: Database, tmp_path: Path) -> None:
    room = Room(database, tmp_path)
    before = await room.load(OSKAR)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UPDATES, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"within\n"
    process.kill()
    await process.wait()
    async with room.database.reading() as session:
        assert [known.version for known in await room.lists.loaded(session)] == [before.loaded.version]
    assert (await room.screening.peek(person("Oskar Drenovic"))).decided is Outcome.REVIEW
    assert (await room.screening.peek(person("Tamriko Velshvili"))).decided is Outcome.CLEAR
