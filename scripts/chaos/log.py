"""Kill the log's writer and sequencer, and cut their power: `python -m scripts.chaos.log [--kills N] [--power-cuts N]`.

Nothing that was acknowledged may be lost, and no size may have two roots. Two controls show that the harness can fail:
a log that asks for no syncs loses acknowledged records when the power is cut, and a write that is dropped is missed.
"""

import argparse
import asyncio
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy import select as rows_of
from sqlalchemy.exc import SQLAlchemyError

from backend.adapters.signer.keystore import KeystoreSigner
from backend.audit.models import CheckpointRow, EntryRow, RecordRow
from backend.kernel import merkle
from backend.kernel.canonical import encode_bytes
from backend.kit.db import Database
from scripts.chaos.log_processes import ACCOUNTS, Log, both, child, create, integrate, record
from scripts.chaos.power import make_power_unsafe

LIFE_SECONDS = (0.005, 0.25)
START_SECONDS = 20.0
CHECK_EVERY = 25


@dataclass
class Acknowledged:
    """What the killed processes had promised."""

    records: dict[tuple[str, int], str] = field(default_factory=dict)
    checkpoints: dict[int, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Take down one whole line."""
        match line.split(" "):
            case ["record", account, seq, commitment]:
                if self.records.setdefault((account, int(seq)), commitment) != commitment:
                    self.broken.append("the same place in a chain was promised twice")
            case ["checkpoint", size, root]:
                if self.checkpoints.setdefault(int(size), root) != root:
                    self.broken.append("one size has two roots")


def kill_once(log: Log, promised: Acknowledged, *, cut_power: bool) -> None:
    """Let the processes work for a moment after their first word, kill them, and take down what they said."""
    pipe, words = os.pipe()
    works = (both,) if cut_power else (record, integrate)
    prepare: Callable[[], object] = make_power_unsafe if cut_power else dict
    children = [child(work, log, words, prepare) for work in works]
    try:
        if not select.select([pipe], [], [], START_SECONDS)[0]:
            raise TimeoutError("a process of the log does not start")
        time.sleep(random.uniform(*LIFE_SECONDS))  # noqa: S311 - moments, not secrets
    finally:
        random.shuffle(children)
        ends = [_killed(number) for number in children]
        os.close(words)
    with os.fdopen(pipe) as said:
        for line in said:
            # A killed process may leave half a line.
            if line.endswith("\n"):
                promised.note(line.strip())
    if any(end != signal.SIGKILL for end in ends):
        promised.broken.append("a process ended by itself")


def _killed(number: int) -> int:
    os.kill(number, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(number, 0)[1])


async def faults(log: Log, promised: Acknowledged) -> list[str]:
    """Return what the log does not keep of what was promised, and what does not hold together."""
    database = log.database()
    try:
        return promised.broken + await _faults(log, database, promised)
    except SQLAlchemyError:
        return ["the log cannot be read"]
    finally:
        await database.close()


async def drop_last_write(log: Log) -> None:
    """Take the newest record away, as a disk does that loses a write."""
    database = log.database()
    async with database.transaction() as session:
        last = (await session.scalars(rows_of(RecordRow).order_by(RecordRow.id.desc()).limit(1))).one()
        await session.execute(delete(EntryRow).where(EntryRow.record_id == last.id))
        await session.execute(delete(RecordRow).where(RecordRow.id == last.id))
    await database.close()


async def _faults(log: Log, database: Database, promised: Acknowledged) -> list[str]:
    await log.sequencer(database).integrate()
    async with database.reading() as session:
        records = list(await session.scalars(rows_of(RecordRow).order_by(RecordRow.seq)))
        entries = list(await session.scalars(rows_of(EntryRow).order_by(EntryRow.index)))
        checkpoints = list(await session.scalars(rows_of(CheckpointRow).order_by(CheckpointRow.size)))
    found = []
    kept = {(row.account, row.seq): encode_bytes(row.commitment) for row in records}
    if not promised.records.items() <= kept.items():
        found.append("an acknowledged record is lost")
    for account in ACCOUNTS:
        found += _chain_faults([row for row in records if row.account == account])
    if [row.index for row in entries] != list(range(len(records))):
        found.append("an index is skipped")
    if {row.record_id for row in entries} != {row.id for row in records}:
        found.append("a record has no entry of its own")
    roots = _roots_of([merkle.leaf_hash(row.entry.encode()) for row in entries])
    if any(row.size >= len(roots) or roots[row.size] != row.root for row in checkpoints):
        found.append("a checkpoint is not the tree's")
    if not promised.checkpoints.items() <= {row.size: encode_bytes(row.root) for row in checkpoints}.items():
        found.append("a signed checkpoint is lost")
    return found


def _chain_faults(chain: list[RecordRow]) -> list[str]:
    found = []
    if [row.seq for row in chain] != list(range(1, len(chain) + 1)):
        found.append("a seq is skipped")
    if any(row.prev != before.commitment for before, row in pairwise(chain)):
        found.append("a chain is broken")
    places = [row.entry_index for row in chain]
    if None in places or places != sorted(place for place in places if place is not None):
        found.append("the log's order is not the account's")
    return found


def _roots_of(leaves: list[bytes]) -> list[bytes]:
    frontier: list[bytes] = []
    roots = [merkle.EMPTY_ROOT]
    for size, leaf in enumerate(leaves):
        frontier, _ = merkle.grow(size, frontier, [leaf])
        roots.append(merkle.join(frontier))
    return roots


def torment(log: Log, rounds: int, *, cut_power: bool, say: Callable[[str], None]) -> tuple[Acknowledged, list[str]]:
    """Kill the log's processes so many times; return what they promised and the first faults found."""
    promised, found = Acknowledged(), list[str]()
    asyncio.run(create(log))
    for number in range(1, rounds + 1):
        kill_once(log, promised, cut_power=cut_power)
        if number % CHECK_EVERY == 0 or number == rounds:
            found = asyncio.run(faults(log, promised))
            say(f"  {number} of {rounds}: {len(promised.records)} records, {len(promised.checkpoints)} checkpoints")
        if found:
            break
    return promised, found


def lost_without_sync(log: Log) -> list[str]:
    """Cut the power of a log that asks for no sync, once; return the faults, of which there must be some."""
    # Made with syncs, so that only what the log itself wrote is at stake.
    asyncio.run(create(Log(log.path, log.signer)))
    promised = Acknowledged()
    kill_once(log, promised, cut_power=True)
    return asyncio.run(faults(log, promised))


def main() -> int:
    """Run the faults and both controls; exit 0 only when the log held and the controls were caught."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--power-cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), options.kills, options.power_cuts, lambda line: print(line, flush=True))


def run(folder: Path, kills: int, power_cuts: int, say: Callable[[str], None]) -> int:
    """Run everything in a folder and return the exit status."""
    signer = KeystoreSigner(folder / "keys", "", local_chain=True)
    verdicts = []
    for name, rounds, cut_power in (("kill -9", kills, False), ("power cut", power_cuts, True)):
        say(f"{name}: writer and sequencer, {rounds} times")
        log = Log(folder / f"{name.replace(' ', '')}.sqlite3", signer)
        promised, found = torment(log, rounds, cut_power=cut_power, say=say)
        say(f"  {found or 'nothing lost, one root a size'}")
        verdicts += [not found, len(promised.records) >= max(rounds, 1)]
    asyncio.run(drop_last_write(log))
    dropped = asyncio.run(faults(log, promised))
    say(f"control, a dropped write: {dropped or 'NOT CAUGHT'}")
    unsafe = lost_without_sync(Log(folder / "unsafe.sqlite3", signer, synchronous="OFF"))
    say(f"control, synchronous=OFF and a power cut: {unsafe or 'NOT CAUGHT'}")
    verdicts += [bool(dropped), bool(unsafe)]
    say("ok" if all(verdicts) else "FAILED")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
