"""A node that is down, slow or lies never disturbs trading; what was promised is kept once it is honest again."""

import asyncio
import time
from datetime import timedelta
from statistics import median

import pytest

from backend.adapters.content_store.kubo import KuboStore
from backend.artifacts.endpoints import router
from backend.artifacts.service import ArtifactService
from backend.audit.service import AuditJournal, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kernel.cid import file_cid
from backend.kit.db import Database
from tests.backend.adapters.content_store.node import BROKEN, serving
from tests.fakes import FakeClock, FakeSigner, client_of, serve

# ipfshttpclient 0.7.0 still passes an argument that urllib3 2 ignores.
pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter:FutureWarning")

TRADER = encode_bytes(b"\x01" * 32)
BUNDLE = bytes(1000)
MODES = ["lying", "half", *sorted(BROKEN)]
TRADES = 5


@pytest.mark.parametrize("mode", MODES)
async def test_trading_goes_on_and_the_pin_catches_up(database: Database, mode: str) -> None:
    clock = FakeClock()
    journal = AuditJournal(clock)
    with serving() as node:
        store = KuboStore(node.address, timedelta(seconds=0.2), 2**16)
        artifacts = ArtifactService(store, journal, clock)

        async def trade(number: int) -> float:
            started = time.monotonic()
            async with database.transaction() as session:
                await journal.record(session, TRADER, "order.filled", {"number": number}, actor="x", policy="1")
                await artifacts.pin(session, "log-bundle", BUNDLE)
            return time.monotonic() - started

        async def shown() -> list[tuple[str, str]]:
            async with client_of(serve({ArtifactService: artifacts, Database: database}, router)) as client:
                items = (await client.get("/artifacts", params={"kind": "log-bundle"})).json()["items"]
                content = (await client.get(f"/artifacts/{file_cid(BUNDLE)}")).content
            assert content == BUNDLE
            return [(item["cid"], item["state"]) for item in items]

        node.mode = mode
        await trade(0)
        handing_over = asyncio.create_task(artifacts.retry_pending(database))
        await asyncio.sleep(0.02)
        # While the store is asked, each trade is durable at its usual pace.
        assert median([await trade(number) for number in range(1, TRADES)]) < 0.2
        assert await handing_over == 0
        assert await shown() == [(file_cid(BUNDLE), "pending")]
        node.release.set()
        node.mode = "honest"
        assert await artifacts.retry_pending(database) == 1
        assert await shown() == [(file_cid(BUNDLE), "pinned")]
        assert node.pins == {file_cid(BUNDLE)}
    # Every trade is in the log, and the pin once.
    assert await Sequencer(database, FakeSigner(), clock, "refi.trading/test").integrate() == TRADES + 1
