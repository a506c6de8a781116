"""Whatever was acknowledged before a kill -9 is there afterwards, once, and the log never has two faces."""

import asyncio
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from sqlalchemy import delete, select

from backend.audit.models import CheckpointRow, EntryRow, RecordRow
from backend.audit.service import Sequencer
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Database
from tests.backend.audit.writer import ACCOUNTS, ORIGIN
from tests.fakes import FakeClock, FakeSigner

ROOT = Path(__file__).parents[3]
KILLS = 4


@dataclass
class Acknowledged:
    """What the killed processes had promised."""

    records: dict[tuple[str, int], str] = field(default_factory=dict)
    checkpoints: set[tuple[int, str]] = field(default_factory=set)

    def note(self, line: str) -> None:
        """Take down one whole line; a killed process may leave half of one."""
        match line.split(" "):
            case ["record", account, seq, commitment] if line.endswith("\n"):
                # The same place promised twice would be a fork.
                assert self.records.setdefault((account, int(seq)), commitment.strip()) == commitment.strip()
            case ["checkpoint", size, root] if line.endswith("\n"):
                self.checkpoints.add((int(size), root.strip()))


def run_and_kill(url: str, acknowledged: Acknowledged) -> None:
    command = [sys.executable, "-m", "tests.backend.audit.writer", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged.note(process.stdout.readline())
        time.sleep(random.uniform(0.01, 0.5))
        process.kill()
        for line in process.stdout:
            acknowledged.note(line)


def roots_of(leaves: list[bytes]) -> list[bytes]:
    """Return the root of every size."""
    frontier: list[bytes] = []
    roots = [merkle.EMPTY_ROOT]
    for size, leaf in enumerate(leaves):
        frontier, _ = merkle.grow(size, frontier, [leaf])
        roots.append(merkle.join(frontier))
    return roots


async def faults(database: Database, acknowledged: Acknowledged) -> list[str]:
    """Return what the database does not keep of what was promised, and what does not hold together."""
    await Sequencer(database, FakeSigner(), FakeClock(), ORIGIN).integrate()
    async with database.reading() as session:
        records = list(await session.scalars(select(RecordRow).order_by(RecordRow.seq)))
        entries = list(await session.scalars(select(EntryRow).order_by(EntryRow.index)))
        checkpoints = list(await session.scalars(select(CheckpointRow).order_by(CheckpointRow.size)))
    found = []
    kept = {(row.account, row.seq): encode_bytes(row.commitment) for row in records}
    if not acknowledged.records.items() <= kept.items():
        found.append("an acknowledged record is lost")
    for account in ACCOUNTS:
        chain = [row for row in records if row.account == account]
        if [row.seq for row in chain] != list(range(1, len(chain) + 1)):
            found.append("a seq is skipped")
        if any(row.prev != before.commitment for before, row in pairwise(chain)):
            found.append("a chain is broken")
        places = [row.entry_index for row in chain]
        if None in places or places != sorted(place for place in places if place is not None):
            found.append("the log's order is not the account's")
    if [row.index for row in entries] != list(range(len(records))):
        found.append("an index is skipped")
    if {row.record_id for row in entries} != {row.id for row in records}:
        found.append("a record has no entry of its own")
    roots = roots_of([merkle.leaf_hash(row.entry.encode()) for row in entries])
    if any(row.size > len(entries) or roots[row.size] != row.root for row in checkpoints):
        found.append("a checkpoint is not the tree's")
    if not acknowledged.checkpoints <= {(row.size, encode_bytes(row.root)) for row in checkpoints}:
        found.append("a signed checkpoint is lost")
    return found


async def check(url: str, acknowledged: Acknowledged) -> None:
    database = Database(url)
    try:
        assert await faults(database, acknowledged) == []
        # The same harness must see a write that was dropped.
        async with database.transaction() as session:
            last = (await session.scalars(select(RecordRow).order_by(RecordRow.id.desc()).limit(1))).one()
            acknowledged.records[last.account, last.seq] = encode_bytes(last.commitment)
            await session.execute(delete(EntryRow).where(EntryRow.record_id == last.id))
            await session.execute(delete(RecordRow).where(RecordRow.id == last.id))
        assert "an acknowledged record is lost" in await faults(database, acknowledged)
    finally:
        await database.close()


def test_kill_9_loses_nothing_that_was_acknowledged_and_skips_no_index(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'log.sqlite3'}"
    acknowledged = Acknowledged()
    for _ in range(KILLS):
        run_and_kill(url, acknowledged)
    assert len(acknowledged.records) > KILLS
    assert len(acknowledged.checkpoints) > KILLS
    asyncio.run(check(url, acknowledged))
