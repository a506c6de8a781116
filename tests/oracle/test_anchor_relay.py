"""The relay anchors when it is due and outlives a chain that is down."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from backend.anchoring.service import AnchorService
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kernel.errors import Tampered, Unavailable
from backend.kit.db import Database
from backend.ports.chain import Block
from oracle.anchor_relay import relay, settle_after
from oracle.loop import until_stopped
from tests.fakes import FakeChain, FakeClock, FakeSigner

ORIGIN = "refi.trading/test"
TICK = timedelta(milliseconds=2)


class Setting:
    """A log, a chain, and the service that a relay drives."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock, self.signer = FakeClock(), FakeSigner()
        self.chain = FakeChain(self.signer)
        self.log_id = self.chain.register_log(ORIGIN, self.signer.log_public_key())
        self.service = AnchorService(
            database,
            self.chain,
            LogReader(),
            AuditJournal(self.clock),
            self.clock,
            origin=ORIGIN,
            public_key=self.signer.log_public_key(),
            chain_id=self.chain.id,
        )

    async def grow(self, count: int, event: str = "order.filled") -> None:
        """Let the log grow."""
        async with self.database.transaction() as session:
            for _ in range(count):
                await AuditJournal(self.clock).record(
                    session, encode_bytes(b"\x01" * 32), event, {}, actor="x", policy="1"
                )
        await Sequencer(self.database, self.signer, self.clock, ORIGIN).integrate()

    def sizes(self) -> list[int]:
        """Return what the chain holds."""
        return [head[0] for head in self.chain.anchored[self.log_id].heads]


@pytest.fixture
def setting(database: Database) -> Setting:
    """Return a setting with an empty log."""
    return Setting(database)


async def while_relaying(setting: Setting, work: Callable[[], Awaitable[None]]) -> None:
    """Run a relay while the work is done, and end it."""
    stop = asyncio.Event()
    running = asyncio.create_task(
        relay(setting.service, stop, interval=timedelta(minutes=10), leaves=5, poll=TICK, follow=TICK)
    )
    try:
        await work()
    finally:
        stop.set()
        await asyncio.wait_for(running, 5)


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if reached():
            return
        await asyncio.sleep(0.005)
    pytest.fail("not reached in five seconds")


async def test_it_anchors_the_first_tree_then_enough_leaves_then_enough_time(setting: Setting) -> None:
    async def work() -> None:
        await setting.grow(1)
        await until(lambda: setting.sizes() == [1])
        await setting.grow(4)
        await asyncio.sleep(0.05)
        assert setting.sizes() == [1]
        await setting.grow(1)
        await until(lambda: setting.sizes() == [1, 6])
        await setting.grow(1)
        setting.clock.advance(wall=timedelta(minutes=10))
        await until(lambda: setting.sizes() == [1, 6, 7])

    await while_relaying(setting, work)


async def test_it_anchors_what_was_recorded_before_somebody_asked(setting: Setting) -> None:
    async def work() -> None:
        await setting.grow(1)
        await until(lambda: setting.sizes() == [1])
        async with setting.database.transaction() as session:
            await setting.service.request(session, "operator")
        await asyncio.sleep(0.05)
        assert setting.sizes() == [1]
        # The request's own record has its place in the log now, and so has the entry after it.
        await setting.grow(1)
        await until(lambda: setting.sizes() == [1, 3])

    await while_relaying(setting, work)


async def test_it_anchors_the_end_of_a_trading_day(setting: Setting) -> None:
    async def work() -> None:
        await setting.grow(1)
        await until(lambda: setting.sizes() == [1])
        await setting.grow(1, "epoch.closed")
        await until(lambda: setting.sizes() == [1, 2])
        await setting.grow(1)
        await asyncio.sleep(0.05)
        assert setting.sizes() == [1, 2]

    await while_relaying(setting, work)


async def test_it_anchors_again_what_the_chain_lost(setting: Setting) -> None:
    async def work() -> None:
        for size in (1, 6):
            await setting.grow(1 if size == 1 else 5)
            await until(lambda: bool(setting.sizes()) and setting.sizes()[-1] == size)  # noqa: B023
        await asyncio.sleep(0.05)
        setting.chain.drop_anchors(setting.log_id, 2)
        await until(lambda: setting.sizes() == [1, 6])

    await while_relaying(setting, work)


async def test_it_ends_with_an_alarm_when_the_chain_contradicts_what_was_final(setting: Setting) -> None:
    await setting.grow(3)
    await setting.service.anchor_now()
    setting.chain.tags = {"safe": 1, "finalized": 1}
    await setting.service.follow()
    setting.chain.drop_anchors(setting.log_id, 1)
    with pytest.raises(Tampered):
        await asyncio.wait_for(
            relay(setting.service, asyncio.Event(), interval=timedelta(minutes=10), leaves=5, poll=TICK, follow=TICK), 5
        )
    assert setting.sizes() == []


async def test_it_outlives_a_chain_that_is_down(setting: Setting) -> None:
    async def work() -> None:
        setting.chain.down = True
        await setting.grow(2)
        await asyncio.sleep(0.05)
        assert setting.sizes() == []
        setting.chain.down = False
        await until(lambda: setting.sizes() == [2])

    await while_relaying(setting, work)


async def test_a_fault_that_nobody_foresaw_ends_it_aloud(setting: Setting) -> None:
    await setting.grow(1)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    setting.chain.answer("AuditAnchor", "anchorCount", broken)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(relay(setting.service, asyncio.Event(), interval=timedelta(minutes=10), leaves=5), 5)


async def test_it_ends_soon_while_the_chain_hangs(setting: Setting) -> None:
    class Hanging(FakeChain):
        """A chain that never answers."""

        async def block(self, block: object = None) -> Block:
            del block
            await asyncio.sleep(60)
            raise AssertionError

    await setting.grow(1)
    setting.chain.__class__ = Hanging
    stop = asyncio.Event()
    work = relay(setting.service, stop, interval=timedelta(minutes=10), leaves=5)
    running = asyncio.create_task(until_stopped(work, stop, timedelta(milliseconds=50)))
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.wait_for(running, 2)


async def test_what_ends_it_is_raised_and_an_end_in_time_is_not_cut_short() -> None:
    stop, done = asyncio.Event(), []

    async def alarm() -> None:
        raise Tampered("the chain contradicts")

    async def last_work() -> None:
        await stop.wait()
        await asyncio.sleep(0.02)
        done.append(1)

    with pytest.raises(Tampered):
        await until_stopped(alarm(), stop)
    running = asyncio.create_task(until_stopped(last_work(), stop, timedelta(seconds=2)))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert done == [1]


async def test_what_is_traded_is_settled_after_each_anchor_and_once_more_after_a_fault() -> None:
    anchored, stop = asyncio.Event(), asyncio.Event()
    calls: list[int] = []

    async def settle() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise Unavailable("the RPC does not answer")

    settling = asyncio.create_task(settle_after(anchored, settle, stop, TICK))
    await asyncio.sleep(0.01)
    assert not calls
    anchored.set()
    await until(lambda: len(calls) == 1)
    anchored.set()
    await until(lambda: len(calls) == 3)
    await asyncio.sleep(0.02)
    assert len(calls) == 3
    settling.cancel()


async def test_a_settlement_that_never_answers_holds_no_anchor_up(setting: Setting) -> None:
    anchored, stop = asyncio.Event(), asyncio.Event()
    anchored.set()
    settling = asyncio.create_task(settle_after(anchored, asyncio.Event().wait, stop))
    running = asyncio.create_task(
        relay(
            setting.service,
            stop,
            interval=timedelta(minutes=10),
            leaves=1,
            poll=TICK,
            follow=TICK,
            anchored=anchored.set,
        )
    )
    for size in (1, 2):
        await setting.grow(1)
        await until(lambda: setting.sizes()[-1:] == [size])  # noqa: B023
    stop.set()
    settling.cancel()
    await asyncio.wait_for(running, 5)
    assert anchored.is_set()


HANGS = """
import asyncio, time
from datetime import timedelta
from oracle.loop import stop_on_signals

async def main():
    stop = asyncio.Event()
    stop_on_signals(stop, timedelta(seconds=0.3))
    print("ready", flush=True)
    await stop.wait()
    time.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_hangs_on_its_way_out_is_ended_by_the_system(name: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(name)
        assert process.wait(5) == -signal.SIGALRM
    finally:
        process.kill()
        process.communicate()
