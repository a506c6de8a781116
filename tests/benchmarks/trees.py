"""The bare log beside pymerkle's SqliteTree: appends that reach the disk, and proofs at a million leaves.

The log's side is what production runs: the sequencer's write of entries and tiles, and the reader's proofs.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from hashlib import sha256
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from backend.audit.engine.nodes import leaves_of
from backend.audit.repository import tree
from backend.audit.service import LogReader, extend
from backend.audit.types import LogCheckpoint
from backend.kernel import merkle
from backend.kit.db import Database
from tests.benchmarks.harness import Benchmark, Meaningless, Pair, Side
from tests.benchmarks.logs import place

ENTRY_DIGITS = 300
PEER = "pymerkle SqliteTree"
MILLION = 1_000_000


def peer_tree(file: Path) -> Any:
    """Open a tree of the peer, which is an extra of the benchmarks."""
    try:
        return import_module("pymerkle").SqliteTree(str(file))
    except ModuleNotFoundError as error:
        raise Meaningless("pymerkle is not installed: pip install -e .[bench]") from error


def entry(number: int) -> str:
    """Return an entry as long as the peer's own benchmarks use."""
    return sha256(b"%d" % number).hexdigest() * 5


async def root_of(database: Database) -> tuple[int, bytes]:
    """Return the log's size and root."""
    async with database.transaction() as session:
        state = await tree.lock_state(session)
    return state.size, merkle.join(state.frontier)


@contextmanager
def bare_appends(total: int, batch: int) -> Iterator[Pair]:
    """Yield appends of the same entries to both trees, `batch` a durable commit."""
    with place() as (runner, database, folder), closing(peer_tree(folder / "peer.sqlite3")) as peer:
        mine, theirs = count(), count()

        async def ours() -> int:
            for _ in range(total // batch):
                entries = [(0, entry(next(mine))[:ENTRY_DIGITS]) for _ in range(batch)]
                async with database.transaction() as session:
                    await extend(session, await tree.lock_state(session), entries)
            return total

        def others() -> int:
            for _ in range(total // batch):
                entries = [entry(next(theirs))[:ENTRY_DIGITS].encode() for _ in range(batch)]
                if batch == 1:
                    peer.append_entry(entries[0])
                else:
                    peer.append_entries(entries)
            return total

        def agree(_mine: int, _theirs: int) -> bool:
            return runner.run(root_of(database)) == (peer.get_size(), peer.get_root())

        yield Pair(Side("extend, SQLite", lambda: runner.run(ours())), Side(PEER, others), total, agree)


@contextmanager
def filled(size: int) -> Iterator[tuple[asyncio.Runner, Database, Any, Path]]:
    """Yield both trees with the same leaves, filled by inserts of many rows."""
    with place() as (runner, database, folder):
        texts = [str(number) for number in range(size)]
        leaves = leaves_of(texts)
        with closing(peer_tree(folder / "peer.sqlite3")) as peer:
            rows = ((at + 1, text.encode(), leaf) for at, (text, leaf) in enumerate(zip(texts, leaves, strict=True)))
            peer.con.executemany("INSERT INTO leaf (id, entry, hash) VALUES (?, ?, ?)", rows)
            peer.con.commit()
            runner.run(_fill(database, leaves))
            yield runner, database, peer, folder


async def _fill(database: Database, leaves: list[bytes]) -> None:
    async with database.transaction() as session:
        grown = await tree.extend(session, await tree.lock_state(session), [], leaves)
        await tree.add_checkpoint(session, LogCheckpoint(grown.size, merkle.join(grown.frontier), "", ""))


@contextmanager
def inclusions(size: int) -> Iterator[Pair]:
    """Yield proofs that leaves drawn at random are in the tree."""
    leaves = leaves_of(str(number) for number in range(size))
    with filled(size) as (runner, database, peer, _folder):
        root = runner.run(root_of(database))[1]
        mine, theirs = random.Random(1), random.Random(1)

        async def ours() -> tuple[int, list[bytes]]:
            index = mine.randrange(size)
            async with database.reading() as session:
                return index, await LogReader().inclusion(session, index, size)

        def others() -> tuple[int, Any]:
            index = theirs.randrange(size)
            return index, peer.prove_inclusion(index + 1, size)

        def agree(proved: tuple[int, list[bytes]], other: tuple[int, Any]) -> bool:
            index, path = proved
            # The peer's path begins with the leaf itself.
            same = index == other[0] and set(other[1].path[1:]) == set(path)
            return same and merkle.verify_inclusion(leaves[index], index, size, path, root)

        yield Pair(Side("LogReader, SQLite", lambda: runner.run(ours())), Side(PEER, others), 1, agree)


@contextmanager
def consistencies(size: int) -> Iterator[Pair]:
    """Yield proofs that the tree extends smaller ones of sizes drawn at random."""
    with filled(size) as (runner, database, peer, _folder):
        root = runner.run(root_of(database))[1]
        mine, theirs = random.Random(2), random.Random(2)

        async def ours() -> tuple[int, bytes, list[bytes]]:
            first = mine.randrange(1, size)
            async with database.reading() as session:
                return (
                    first,
                    await LogReader().root(session, first),
                    await LogReader().consistency(session, first, size),
                )

        def others() -> tuple[int, bytes, Any]:
            first = theirs.randrange(1, size)
            return first, peer.get_root(first), peer.prove_consistency(first, size)

        def agree(proved: tuple[int, bytes, list[bytes]], other: tuple[int, bytes, Any]) -> bool:
            return proved[:2] == other[:2] and merkle.verify_consistency(proved[0], proved[1], size, root, proved[2])

        yield Pair(Side("LogReader, SQLite", lambda: runner.run(ours())), Side(PEER, others), 1, agree)


@contextmanager
def first_proofs(size: int) -> Iterator[Pair]:
    """Yield the first proof of a log that was just opened; the system's cache is warm for both."""
    with filled(size) as (runner, _database, _peer, folder):
        index = size // 3

        async def ours() -> list[bytes]:
            database = Database(f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}")
            async with database.reading() as session:
                path = await LogReader().inclusion(session, index, size)
            await database.close()
            return path

        def others() -> list[bytes]:
            with closing(peer_tree(folder / "peer.sqlite3")) as opened:
                return list(opened.prove_inclusion(index + 1, size).path[1:])

        yield Pair(
            Side("open, LogReader", lambda: runner.run(ours())),
            Side(f"open, {PEER}", others),
            1,
            lambda path, other: set(path) == set(other),
        )


BENCHMARKS = (
    Benchmark("bare-append-1", "entry", partial(bare_appends, 50, 1)),
    Benchmark("bare-append-100", "entry", partial(bare_appends, 2_000, 100)),
    Benchmark("bare-append-1000", "entry", partial(bare_appends, 10_000, 1_000)),
    Benchmark("bare-append-10000", "entry", partial(bare_appends, 20_000, 10_000)),
    Benchmark("inclusion-1m", "proof", partial(inclusions, MILLION), samples=100),
    Benchmark("consistency-1m", "root + proof", partial(consistencies, MILLION), samples=100),
    Benchmark("first-proof-1m", "opening", partial(first_proofs, MILLION), samples=5),
)
