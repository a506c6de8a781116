"""The watching process keeps the last look fresh, outlives what is away, and ends when it is told to."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from backend.compliance.repository.rules import RulesSeen, rules_seen
from backend.compliance.service import RulesWatcher
from backend.kit.db import Database
from oracle.compliance_watcher import watch
from tests.fakes import FakeChain, FakeClock, FakeJournal

TICK = timedelta(milliseconds=2)


class Setting:
    """A chain, a database, and a watcher of both."""

    def __init__(self, database: Database) -> None:
        self.database, self.chain, self.clock, self.journal = database, FakeChain(), FakeClock(), FakeJournal()
        self.chain.answer("OrderGate", "getPolicyEngine", lambda: "0x" + "e1" * 20)
        self.chain.answer("PolicyEngine", "getPolicies", lambda *_: ())
        self.followed = 0
        self.stop = asyncio.Event()

    async def follow(self) -> None:
        """Count how often the business clock was brought up to date."""
        self.followed += 1

    def start(self) -> asyncio.Task[None]:
        """Start a process's work."""
        watcher = RulesWatcher(self.database, self.chain, self.journal, self.clock)
        return asyncio.create_task(watch(watcher, self.stop, interval=TICK, follow=self.follow))

    async def seen(self) -> RulesSeen:
        """Return the row."""
        async with self.database.reading() as session:
            return await rules_seen(session)

    async def until_looked(self) -> RulesSeen:
        """Return the row once a look came after this moment."""
        self.clock.advance(wall=timedelta(seconds=1))
        for _ in range(1_000):
            if (seen := await self.seen()).seen_at == self.clock.wall():
                return seen
            await asyncio.sleep(0.005)
        pytest.fail("nobody looked")


@pytest.fixture
def setting(database: Database) -> Setting:
    return Setting(database)


async def test_the_last_look_stays_fresh_while_nothing_changes(setting: Setting) -> None:
    watching = setting.start()
    assert (await setting.until_looked()).version == 1
    assert (await setting.until_looked()).version == 1
    setting.stop.set()
    await asyncio.wait_for(watching, 5)
    assert setting.followed >= 2
    assert len(setting.journal.records) == 1


async def test_a_chain_that_comes_back_is_looked_at_again(setting: Setting) -> None:
    watching = setting.start()
    await setting.until_looked()
    setting.chain.down = True
    await asyncio.sleep(0.3)
    before = await setting.seen()
    setting.clock.advance(wall=timedelta(seconds=60))
    await asyncio.sleep(0.3)
    assert await setting.seen() == before
    setting.chain.down = False
    await setting.until_looked()
    setting.stop.set()
    await asyncio.wait_for(watching, 5)


async def test_a_process_that_was_killed_leaves_its_work_to_the_next(setting: Setting) -> None:
    first = setting.start()
    await setting.until_looked()
    first.cancel()
    await asyncio.wait({first})
    setting.chain.emit("CredentialRegistry", "CredentialRemoved")
    await setting.chain.advance_to(setting.chain.blocks[-1].timestamp + 2)
    setting.chain.emit("CredentialRegistry", "CredentialRemoved")
    second, third = setting.start(), setting.start()
    assert (await setting.until_looked()).version == 2
    setting.stop.set()
    await asyncio.wait_for(asyncio.gather(second, third), 5)


def test_the_process_starts_without_what_only_models_and_traders_need() -> None:
    loaded = "import sys, oracle.compliance_watcher, backend.bootstrap.watching as light; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True)
    modules = set(done.stdout.split())
    assert "backend.compliance.service.watching" in modules
    assert not modules & {"torch", "siwe", "fastapi", "backend.bootstrap.platform"}
