"""Reorganise, kill and cheat the chain under the anchor relays: `python -m scripts.chaos.anchors [--seed N]`.

Whatever happens, every leaf ends up under exactly one anchor of the canonical chain, and no anchor that was ever shown
as final is withdrawn. Relays are crashed at any point of their work too, and take up what they find.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.chain.submitter import Submission
from backend.adapters.clock.replay import ReplayClock
from backend.adapters.signer.keystore import KeystoreSigner
from backend.anchoring.engine import anchor_word
from backend.anchoring.service import AnchorService
from backend.anchoring.types import FINAL, ON_CHAIN, Anchor, AnchorHead
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.canonical import encode_bytes
from backend.kernel.clock import close_of
from backend.kernel.errors import RefiError, Tampered, Unavailable
from backend.kit.db import Base, Database
from backend.ports.signer import KeyRole
from scripts.chaos.anvil import CHAIN_ID, DEEPEST, Anvil

ORIGIN = "refi.trading/chaos"
DAY = date(2016, 6, 1)
ACCOUNTS = [encode_bytes(bytes([number]) * 32) for number in range(1, 6)]
NOBODY = "0x" + "22" * 20
SUBMISSION = Submission(timedelta(seconds=0.4), timedelta(seconds=4))
STALL_SECONDS = 60.0
LOW_FEE, HIGH_FEE = 10**9, 10**10
POLL_SECONDS = 0.02
Tell = Callable[[str], None]


@dataclass
class Relay:
    """One relay with connections of its own; it ends anywhere when its task is cancelled."""

    database: Database
    chain: RpcChain
    service: AnchorService
    task: asyncio.Task[None]

    async def crash(self) -> None:
        """Stop at whatever point it is, as a killed process does."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.chain.close()
        await self.database.close()


@dataclass
class World:
    """A log, a chain under it, relays, and what was seen."""

    folder: Path
    chance: random.Random
    anvil: Anvil
    keys: list[KeystoreSigner]
    database: Database
    relays: list[Relay] = field(default_factory=list)
    final: dict[int, AnchorHead] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    paused: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def clock(self) -> ReplayClock:
        """A clock whose wall time is real."""
        return ReplayClock(close_of(DAY))

    def service(self, database: Database, key: KeystoreSigner) -> tuple[RpcChain, AnchorService]:
        """Return a relay's service with a chain connection of its own."""
        chain = RpcChain(
            self.anvil.url, self.folder / "deployments", key, timeout=timedelta(seconds=5), submission=SUBMISSION
        )
        journal = AuditJournal(self.clock)
        public_key = self.keys[0].log_public_key()
        service = AnchorService(
            database, chain, LogReader(), journal, self.clock, origin=ORIGIN, public_key=public_key, chain_id=CHAIN_ID
        )
        return chain, service

    def open_relay(self, number: int) -> Relay:
        """Start a relay; the second shares the first one's key, the others have their own."""
        database = Database(_url(self.folder))
        chain, service = self.service(database, self.keys[max(0, number - 1) % len(self.keys)])
        task = asyncio.create_task(self._relay(service))
        task.add_done_callback(self._note_death)
        return Relay(database, chain, service, task)

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken.append(f"a relay died of {error!r}")

    async def grow(self, count: int) -> None:
        """Let the log grow."""
        journal = AuditJournal(self.clock)
        async with self.database.transaction() as session:
            for _ in range(count):
                account = self.chance.choice(ACCOUNTS)
                await journal.record(session, account, "order.filled", {}, actor="chaos", policy="1")
        await Sequencer(self.database, self.keys[0], self.clock, ORIGIN).integrate()

    async def anchors(self) -> list[Anchor]:
        """Return what the database knows."""
        async with self.database.reading() as session:
            return await self.relays[0].service.anchors(session)

    async def crash_one(self) -> None:
        """Crash a relay and start another in its place."""
        number = self.chance.randrange(len(self.relays))
        await self.relays[number].crash()
        self.relays[number] = self.open_relay(number)
        self.events["relays crashed"] += 1

    async def _relay(self, service: AnchorService) -> None:
        while not self.stop.is_set():
            try:
                if await service.is_due(timedelta(0), 1):
                    await service.anchor_now()
                await service.follow()
            except Tampered as alarm:
                self.broken.append(f"alarm: {alarm.detail} {alarm.context}")
                return
            except (RefiError, SQLAlchemyError) as error:
                self.events[f"tries failed: {getattr(error, 'code', 'database')}"] += 1
            await asyncio.sleep(self.chance.uniform(0.01, 0.1))

    async def mine(self) -> None:
        """Mine a block every few milliseconds."""
        while not self.stop.is_set():
            if not self.paused:
                with suppress(Unavailable):
                    await self.anvil.mine()
            await asyncio.sleep(self.chance.uniform(0.005, 0.03))

    async def watch(self) -> None:
        """See that no anchor that was ever final changes."""
        while not self.stop.is_set():
            known = {one.index: one for one in await self.anchors()}
            for index, head in self.final.items():
                if index not in known or known[index].head != head or known[index].state not in FINAL:
                    self.broken.append(f"anchor {index} was final and is {known.get(index)}")
            self.final |= {index: one.head for index, one in known.items() if one.state in FINAL}
            await asyncio.sleep(POLL_SECONDS)


def _url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'chaos.sqlite3'}"


@asynccontextmanager
async def world(folder: Path, seed: int, relays: int) -> AsyncIterator[World]:
    """Yield a world that runs; end everything in it afterwards."""
    chance = random.Random(seed)  # noqa: S311 - faults, not secrets
    keys = [KeystoreSigner(folder / f"keys{number}", "", local_chain=True) for number in range(max(1, relays - 1))]
    anvil, database = Anvil(folder), Database(_url(folder))
    (folder / "deployments").mkdir()
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    made = World(folder, chance, anvil, keys, database)
    tasks: list[asyncio.Task[None]] = []
    try:
        await anvil.start()
        anchorers = [key.address(KeyRole.ANCHORER) for key in keys]
        await anvil.deploy(ORIGIN, keys[0].log_public_key(), anchorers, folder / "deployments")
        made.relays = [made.open_relay(number) for number in range(relays)]
        tasks = [asyncio.create_task(made.mine()), asyncio.create_task(made.watch())]
        yield made
    finally:
        made.stop.set()
        # The node first: it is another process, and whoever waits for its answer waits no more.
        await anvil.kill()
        for relay in made.relays:
            await relay.crash()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()
        await anvil.close()


async def until(reached: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until something is so; Unavailable when it does not come about in a minute."""
    deadline = time.monotonic() + STALL_SECONDS
    while not await reached():
        if time.monotonic() > deadline:
            raise Unavailable(f"stalled: {what}")
        await asyncio.sleep(POLL_SECONDS)


async def settle(made: World) -> list[str]:
    """Wait until everything is anchored and final, and return what is wrong with it."""
    made.paused = False

    async def is_final() -> bool:
        async with made.database.reading() as session:
            latest = await LogReader().latest(session)
        known = await made.anchors()
        size = latest.size if latest else 0
        return bool(made.broken) or (
            bool(known) and known[-1].head.size == size and all(one.state in FINAL for one in known)
        )

    try:
        await until(is_final, "not everything became final")
    except Unavailable as stalled:
        left = [(one.index, one.state.value) for one in await made.anchors() if one.state not in FINAL]
        pool = await made.anvil.rpc("txpool_status")
        made.broken.append(f"{stalled.detail}: {left}, pool {pool}, block {await made.anvil.height()}")
    return [*made.broken, *await differences(made)]


async def differences(made: World) -> list[str]:
    """Hold the canonical chain against the log: each leaf under one anchor, each anchor the log's own tree."""
    chain, service = made.service(made.database, made.keys[0])
    wrong: list[str] = []
    try:
        found = await chain.events("AuditAnchor", "Anchored", filters={"logId": service.log_id})
        count = int(await chain.call("AuditAnchor", "anchorCount", service.log_id))
        if [int(event["index"]) for event in found] != list(range(count)):
            wrong.append(f"the chain has a gap or a double: {[event['index'] for event in found]}")
        below = 0
        async with made.database.reading() as session:
            known = {one.index: one for one in await service.anchors(session)}
            for event in found:
                head = AnchorHead(int(event["size"]), bytes(event["root"]), bytes(event["headsRoot"]))
                index = int(event["index"])
                stored = bytes(await chain.call("AuditAnchor", "anchorAt", service.log_id, index))
                if head.size <= below or await LogReader().root(session, head.size) != head.root:
                    wrong.append(f"anchor {index} is not a later tree of the log")
                if stored != anchor_word(service.log_id, index, head):
                    wrong.append(f"anchor {index} is stored as another word")
                if index not in known or known[index].head != head:
                    wrong.append(f"the database knows anchor {index} as {known.get(index)}")
                below = head.size
            latest = await LogReader().latest(session)
        if latest is None or below != latest.size or len(known) != count:
            wrong.append(f"{below} leaves are anchored of {latest}; {len(known)} anchors are known of {count}")
        wrong += [f"final anchor {index} changed" for index, head in made.final.items() if known[index].head != head]
    finally:
        await chain.close()
    return wrong


async def reorganise(folder: Path, *, reorgs: int, kills: int, relays: int, seed: int, tell: Tell) -> list[str]:
    """Reorganise the chain many times, kill it some times, and return what broke."""
    async with world(folder, seed, relays) as made:
        deaths = set(made.chance.sample(range(reorgs), min(kills, reorgs)))
        for number in range(reorgs):
            await made.grow(made.chance.randint(1, 20))
            await asyncio.sleep(made.chance.uniform(0.0, 0.6))
            if made.chance.random() < 0.2:
                await made.crash_one()
            await _grown_back(made)
            depth = made.chance.randint(1, DEEPEST)
            lost = await made.anvil.reorganise(depth, refill=made.chance.random() < 0.5)
            made.events["reorgs"] += 1
            made.events["blocks lost"] += lost
            if number in deaths:
                await _grown_back(made)
                made.events["blocks lost to kill -9"] += await made.anvil.crash(made.chance.randint(1, DEEPEST - 1))
                made.events["kill -9"] += 1
            if made.broken:
                break
            if (number + 1) % 10 == 0:
                tell(f"  {number + 1}/{reorgs} reorgs, {len(made.final)} anchors final, {dict(made.events)}")
        wrong = await settle(made)
        tell(f"  {len(made.final)} anchors final, {dict(made.events)}")
        return wrong


async def _grown_back(made: World) -> None:
    async def is_back() -> bool:
        with suppress(Unavailable):
            return await made.anvil.height() >= max(made.anvil.highest - 2, made.anvil.restarted_at + DEEPEST)
        return False

    await until(is_back, "the chain does not grow")


async def contend(folder: Path, *, anchors: int, relays: int, seed: int, tell: Tell) -> list[str]:
    """Let several relays anchor at once while their transactions are dropped, stuck and underbid."""
    async with world(folder, seed, relays) as made:
        faults = asyncio.create_task(_cheat(made))
        seen, since = 0, time.monotonic()
        while seen < anchors and not made.broken:
            await made.grow(made.chance.randint(1, 5))
            await asyncio.sleep(made.chance.uniform(0.02, 0.2))
            placed = sum(one.state in ON_CHAIN for one in await made.anchors())
            if placed > seen:
                if placed // 20 > seen // 20:
                    tell(f"  {placed}/{anchors} anchors, {dict(made.events)}")
                seen, since = placed, time.monotonic()
            if time.monotonic() - since > STALL_SECONDS:
                made.broken.append(f"no anchor for {STALL_SECONDS:.0f} s")
        faults.cancel()
        with suppress(asyncio.CancelledError):
            await faults
        wrong = await settle(made)
        tell(f"  {len(made.final)} anchors final, {dict(made.events)}")
        return wrong


async def _cheat(made: World) -> None:
    """Drop, hold up, price out and underbid what the relays send, one fault after another."""
    while True:
        await asyncio.sleep(made.chance.uniform(0.02, 0.3))
        fault = made.chance.choice([_drop, _drop, _hold_up, _price_out, _underbid])
        try:
            await fault(made)
        except Unavailable:
            made.events["faults that did not take"] += 1
        finally:
            made.paused = False
        if made.chance.random() < 0.1:
            await made.crash_one()


async def _drop(made: World) -> None:
    made.paused = True
    for _ in range(25):
        pool = await made.anvil.rpc("txpool_content")
        waiting = [entry["hash"] for kind in pool.values() for sent in kind.values() for entry in sent.values()]
        if waiting:
            await made.anvil.rpc("anvil_dropTransaction", made.chance.choice(waiting))
            made.events["dropped"] += 1
            return
        await asyncio.sleep(POLL_SECONDS)


async def _hold_up(made: World) -> None:
    made.paused = True
    await asyncio.sleep(made.chance.uniform(0.2, 1.2))
    made.events["held up"] += 1


async def _price_out(made: World) -> None:
    latest = await made.anvil.rpc("eth_getBlockByNumber", "latest", False)
    base = int(latest["baseFeePerGas"], 16)
    await made.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(LOW_FEE if base > HIGH_FEE else 4 * base))
    made.events["priced out"] += 1


async def _underbid(made: World) -> None:
    """Put a cheap transaction of a dead process under a relay's next nonce."""
    made.paused = True
    key = made.chance.choice(made.keys)
    address = key.address(KeyRole.ANCHORER)
    latest = await made.anvil.rpc("eth_getBlockByNumber", "latest", False)
    transaction = {
        "to": NOBODY,
        "value": 1,
        "data": b"",
        "gas": 21_000,
        "nonce": int(await made.anvil.rpc("eth_getTransactionCount", address, "pending"), 16),
        "maxPriorityFeePerGas": 1,
        "maxFeePerGas": int(latest["baseFeePerGas"], 16) + 1,
        "chainId": CHAIN_ID,
    }
    raw = key.sign_transaction(KeyRole.ANCHORER, transaction)
    await made.anvil.rpc("eth_sendRawTransaction", "0x" + raw.hex())
    await asyncio.sleep(made.chance.uniform(0.0, 0.8))
    made.events["underbid"] += 1


def run(reorgs: int, kills: int, relays: int, anchors: int, seed: int, tell: Tell) -> list[str]:
    """Do both jobs in folders that are thrown away and return what broke."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="refi-anchors-") as folder:
        if reorgs:
            tell(f"{reorgs} reorgs of depth 1-{DEEPEST} and {kills} kill -9 under {relays} relays")
            place = Path(folder) / "reorgs"
            place.mkdir()
            wrong += asyncio.run(reorganise(place, reorgs=reorgs, kills=kills, relays=relays, seed=seed, tell=tell))
        if anchors:
            tell(f"{anchors} anchors by {relays} relays at once, transactions dropped, stuck and underpriced")
            place = Path(folder) / "relays"
            place.mkdir()
            wrong += asyncio.run(contend(place, anchors=anchors, relays=relays, seed=seed, tell=tell))
    return wrong


def main() -> int:
    """Run, and fail when anything broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reorgs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--relays", type=int, default=3)
    parser.add_argument("--anchors", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    if not chosen.verbose:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    # A terminated run ends its processes as an interrupted one does, also one that a shell put into the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    wrong = run(chosen.reorgs, chosen.kills, chosen.relays, chosen.anchors, seed, lambda line: print(line, flush=True))
    for line in wrong[:20]:
        print(f"  BROKEN: {line}", flush=True)
    print(f"{'FAILED' if wrong else 'ok'} in {time.monotonic() - started:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
