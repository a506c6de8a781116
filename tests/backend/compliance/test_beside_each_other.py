"""Everything that writes about an account at once, on PostgreSQL: nothing waits for itself, and nothing is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from backend.accounts.types import Caller
from backend.audit.models import RecordRow
from backend.audit.service import AuditJournal
from backend.compliance.repository.rules import rules_seen
from backend.compliance.repository.volumes import volume_of
from backend.compliance.service import RulesWatcher, SettlementService
from backend.execution.service import ExecutionService
from backend.kit.db import Database
from backend.pipeline.schemas import OrderIn
from backend.pipeline.service import OrderService
from backend.risk.service import KillSwitch, RiskGate
from tests.backend.compliance.test_settlement import Gate
from tests.backend.pipeline.rooms import INITIAL_CASH, LIMITS, MARKET_DATA, House

ROUNDS = 3
ORDER = OrderIn.model_validate({"decision": {"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "1"}})
TRADERS, HALTED = (4, 8, 14), 20


class Crowd:
    """A house with a real journal, and everybody who writes beside its traders."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.house, self.chain = House(database, folder), Gate()
        house, self.journal = self.house, AuditJournal(self.house.clock)
        self.switch = KillSwitch(house.market, self.journal)
        risk = RiskGate(house.market, MARKET_DATA, self.journal, self.switch, LIMITS)
        execution = ExecutionService(house.broker, house.compliance, risk, house.decisions, self.journal, INITIAL_CASH)
        stages = replace(house.stages, risk=risk, execution=execution, journal=self.journal)
        self.orders = OrderService(stages)
        self.settlements = [SettlementService(database, self.chain, self.journal) for _ in range(2)]
        self.watchers = [RulesWatcher(database, self.chain, self.journal, house.wall) for _ in range(2)]
        self.filled = self.changes = 0
        self.done = asyncio.Event()

    async def batches(self, traders: Sequence[Caller], name: str) -> None:
        """Buy, two orders a transaction."""
        for number in range(ROUNDS):
            for trader in traders:
                async with self.house.session() as session:
                    made = await self.orders.place_all(session, trader, f"{name}{number}", [ORDER] * 2)
                assert {one["state"] for one in made} <= {"filled", "refused"}, made
                self.filled += sum(one["state"] == "filled" for one in made)

    async def halts(self, trader: Caller) -> None:
        """Record something of an account, halt it in the same transaction as a block or a breach does, and order."""
        for number in range(ROUNDS):
            async with self.house.session() as session:
                await self.journal.record(session, trader.pseudonym, "test", {}, actor="system", policy="test")
                await self.switch.trip_account(session, trader.account_id, trader.address, f"breach {number}")
            async with self.house.session() as session:
                made = await self.orders.place_all(session, trader, f"halted{number}", [ORDER])
            assert made[0]["state"] == "refused"

    async def reconciles(self) -> None:
        """Compare with the venue."""
        for _ in range(ROUNDS):
            async with self.house.session() as session:
                day = self.house.clock.business().date()
                assert (await self.house.reconciliation.run(session, day, "operator")).differences == 0

    async def changes_rules(self) -> None:
        """Change something on chain."""
        await self.chain.advance_to(self.chain.blocks[-1].timestamp + 2)
        self.chain.emit("CredentialRegistry", "CredentialRemoved")
        self.changes += 1
        await asyncio.sleep(0.05)

    async def until_done(self, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat it as long as the others work."""
        while not self.done.is_set():
            await work()
            await asyncio.sleep(0.005)

    async def all_at_once(self, traders: Sequence[Caller], halted: Caller) -> None:
        """Let everybody write beside everybody else."""

        async def work() -> None:
            buying = [self.batches(traders, name) for name in ("a", "b")]
            await asyncio.gather(*buying, self.halts(halted), self.reconciles())
            self.done.set()

        beside = [*(one.settle for one in self.settlements), *(one.poll for one in self.watchers), self.changes_rules]
        await asyncio.gather(work(), *map(self.until_done, beside))
        await self.settlements[0].settle()
        await self.watchers[0].poll()


async def test_nobody_waits_for_itself_and_every_volume_record_and_change_counts(
    postgres_database: Database, tmp_path: Path
) -> None:
    crowd = Crowd(postgres_database, tmp_path)
    # A pseudonym is 32 bytes in base64url, whose last digit has two unused bits.
    traders, halted = [await crowd.house.trader(number) for number in TRADERS], await crowd.house.trader(HALTED)
    async with asyncio.timeout(60):
        await crowd.all_at_once(traders, halted)
    close = crowd.house.close("AAPL")
    assert close is not None
    async with crowd.house.session() as session:
        volumes = [await volume_of(session, trader.account_id) for trader in traders]
        chains = (await session.execute(select(RecordRow.account, RecordRow.seq))).all()
        version = (await rules_seen(session)).version
    assert sum(found.cumulative for found in volumes if found) == crowd.filled * close * 10**6 > 0
    for found in volumes:
        assert found is not None
        assert found.settled == found.cumulative == crowd.chain.settled[found.address]
    assert 1 < version <= crowd.changes + 1
    for account in {name for name, _ in chains}:
        seqs = sorted(seq for name, seq in chains if name == account)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
