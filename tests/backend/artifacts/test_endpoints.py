"""Anybody may read what was published, and only that."""

from backend.artifacts.endpoints import router
from backend.artifacts.service import ArtifactService
from backend.kernel.cid import file_cid
from backend.kit.db import Database
from tests.backend.artifacts.stores import FakeStore
from tests.fakes import FakeClock, FakeJournal, client_of, serve


async def test_a_stranger_reads_bytes_that_a_browser_will_not_run(database: Database) -> None:
    service = ArtifactService(FakeStore(), FakeJournal(), FakeClock())
    async with database.transaction() as session:
        pin = await service.pin(session, "model.card", b"<script>")
    await service.retry_pending(database)
    async with client_of(serve({ArtifactService: service, Database: database}, router)) as client:
        found = await client.get(f"/artifacts/{pin.cid}")
        listed = (await client.get("/artifacts", params={"kind": "model.card"})).json()
    assert found.content == b"<script>"
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"].startswith("attachment")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert [(item["cid"], item["state"]) for item in listed["items"]] == [(pin.cid, "pinned")]


async def test_a_pin_that_waits_is_seen_to_wait(database: Database) -> None:
    store = FakeStore()
    store.down = True
    service = ArtifactService(store, FakeJournal(), FakeClock())
    async with database.transaction() as session:
        await service.pin(session, "log-bundle", b"{}")
    async with client_of(serve({ArtifactService: service, Database: database}, router)) as client:

        async def shown() -> list[tuple[str, int]]:
            items = (await client.get("/artifacts", params={"kind": "log-bundle"})).json()["items"]
            return [(item["state"], item["attempts"]) for item in items]

        assert await shown() == [("pending", 0)]
        await service.retry_pending(database)
        assert await shown() == [("pending", 1)]
        store.down = False
        await service.retry_pending(database)
        assert await shown() == [("pinned", 1)]


async def test_what_was_not_published_is_not_found_and_what_is_no_cid_is_invalid(database: Database) -> None:
    service = ArtifactService(FakeStore(), FakeJournal(), FakeClock())
    async with client_of(serve({ArtifactService: service, Database: database}, router)) as client:
        assert (await client.get(f"/artifacts/{file_cid(b'x')}")).status_code == 404
        assert (await client.get("/artifacts/not-a-cid")).status_code == 422
        for kind in ("", "a\x00b", "x" * 65):
            assert (await client.get("/artifacts", params={"kind": kind})).status_code == 422
