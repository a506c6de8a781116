"""Anybody reads the log and its proofs over HTTP."""

import pytest

from backend.audit.endpoints import router
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel import merkle
from backend.kernel.canonical import decode_bytes, encode_bytes
from backend.kit.db import Database
from tests.fakes import FakeClock, FakeSigner, client_of, serve

SIZE = 300


@pytest.fixture
async def grown(database: Database) -> Database:
    """Return a database whose log has 300 entries, and a checkpoint at 100 too."""
    journal = AuditJournal(FakeClock())
    sequencer = Sequencer(database, FakeSigner(), FakeClock(), "refi.trading/test")
    for count in (100, SIZE - 100):
        async with database.transaction() as session:
            for _ in range(count):
                await journal.record(session, encode_bytes(b"\x07" * 32), "order.filled", {}, actor="x", policy="1")
        await sequencer.integrate()
    return database


async def test_tiles_and_bundles_rebuild_the_tree_of_the_checkpoint(grown: Database) -> None:
    async with client_of(serve({LogReader: LogReader(), Database: grown}, router)) as client:
        note = await client.get("/log/checkpoint")
        full = await client.get("/log/tile/0/000")
        part = await client.get(f"/log/tile/0/001.p/{SIZE - 256}")
        above = await client.get("/log/tile/1/000.p/1")
        bundle = await client.get("/log/tile/entries/000")
    assert note.headers["content-type"].startswith("text/plain")
    assert note.headers["cache-control"] == "no-cache"
    hashes = [full.content[at : at + 32] for at in range(0, 256 * 32, 32)]
    rest = [part.content[at : at + 32] for at in range(0, len(part.content), 32)]
    assert note.text.split("\n")[1] == str(SIZE)
    assert len(rest) == SIZE - 256
    root = merkle.root(hashes + rest)
    assert merkle.join([merkle.root(hashes), *[merkle.root(rest)]]) == root
    assert above.content == merkle.root(hashes)
    assert "immutable" in full.headers["cache-control"]
    assert "immutable" not in part.headers["cache-control"]
    entries, content = [], bundle.content
    while content:
        length = int.from_bytes(content[:2], "big")
        entries.append(content[2 : 2 + length])
        content = content[2 + length :]
    assert [merkle.leaf_hash(entry) for entry in entries] == hashes


async def test_proofs_verify_against_the_roots_they_name(grown: Database) -> None:
    async with client_of(serve({LogReader: LogReader(), Database: grown}, router)) as client:
        inclusion = (await client.get("/log/proof/inclusion", params={"index": 7})).json()
        consistency = (await client.get("/log/proof/consistency", params={"first": 100})).json()
        earlier = await client.get("/log/checkpoint", params={"size": 100})
    path = [decode_bytes(node) for node in inclusion["path"]]
    root = decode_bytes(inclusion["root"])
    assert merkle.verify_inclusion(decode_bytes(inclusion["leaf"]), 7, SIZE, path, root)
    proof = [decode_bytes(node) for node in consistency["proof"]]
    first, second = decode_bytes(consistency["first_root"]), decode_bytes(consistency["second_root"])
    assert merkle.verify_consistency(100, first, SIZE, second, proof)
    assert second == root
    assert earlier.text.split("\n")[1] == "100"


REFUSED = {
    "/log/tile/0/002": 404,
    "/log/tile/0/001": 404,
    "/log/tile/0/001.p/45": 404,
    "/log/tile/9/000": 404,
    "/log/tile/0/1": 422,
    "/log/tile/x/000": 422,
    "/log/tile/0/000.p/256": 422,
    "/log/tile/entries/001": 404,
    "/log/tile/entries/x": 422,
    "/log/tile/entries/x999/x999/x999/x999/x999/999": 404,
    "/log/tile/5/x999/x999/x999/x999/x999/999": 404,
    "/log/checkpoint?size=99": 404,
    "/log/proof/inclusion?index=300": 404,
    "/log/proof/inclusion?index=-1": 422,
    "/log/proof/inclusion?index=5&size=5": 404,
    "/log/proof/inclusion?index=5&size=301": 404,
    "/log/proof/consistency?first=10&second=301": 404,
    "/log/proof/consistency?first=10&second=5": 422,
    "/log/proof/consistency?first=10&second=99999999999999999999": 422,
}


async def test_what_is_not_there_or_malformed_gets_a_clear_answer(grown: Database) -> None:
    async with client_of(serve({LogReader: LogReader(), Database: grown}, router)) as client:
        answered = {path: (await client.get(path)).status_code for path in REFUSED}
    assert answered == REFUSED
