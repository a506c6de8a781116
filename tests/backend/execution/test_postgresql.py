"""The order path on PostgreSQL, where transactions run beside each other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Role
from backend.audit.service import AuditJournal
from backend.compliance.repository.rules import lock_rules
from backend.compliance.repository.volumes import cumulative_of
from backend.decisions.service import PersonIntent
from backend.execution.service import ExecutionService
from backend.kernel.clock import epoch_of
from backend.kit.db import Database
from backend.kit.pagination import Page, PageRequest
from backend.pipeline.stages import Submission, run
from backend.ports.policy import OrderCheck, Verdict
from backend.proofs.service import EpochService
from backend.risk.repository import lock_limits
from backend.risk.service import KillSwitch, RiskGate
from backend.risk.types import HaltScope
from tests.backend.pipeline.rooms import INITIAL_CASH, LIMITS, MARKET_DATA, FakePolicy, House

# Long enough for a transaction to reach the lock that it waits for.
A_MOMENT = 0.3


async def test_orders_of_one_account_wait_for_each_other(postgres_database: Database, tmp_path: Path) -> None:
    house = House(postgres_database, tmp_path, initial_cash=Decimal(150))
    trader, other = await house.trader(1), await house.trader(2)
    outcomes = await asyncio.gather(*(house.person(trader, "buy", "1") for _ in range(4)))
    assert sorted(outcome.state for outcome in outcomes) == ["filled", "refused", "refused", "refused"]
    assert {outcome.refused.rule for outcome in outcomes if outcome.refused} == {"insufficient_cash"}
    assert (await house.person(other, "buy", "1")).state == "filled"
    async with house.session() as session:
        held = await house.execution.holdings(session, trader.account_id)
    assert held.positions["AAPL"].quantity == 1
    assert held.cash >= 0


class Everybody:
    """Lists one account."""

    def __init__(self, account_id: int, address: str, pseudonym: str) -> None:
        self.id, self.address, self.pseudonym = account_id, address, pseudonym
        self.opened_at = datetime(2016, 1, 4, tzinfo=UTC)

    async def page(self, session: AsyncSession, request: PageRequest) -> Page["Everybody"]:
        """Return the account."""
        del session, request
        return Page((self,), None)


async def test_an_epoch_closes_over_the_orders_that_were_under_way(postgres_database: Database, tmp_path: Path) -> None:
    house = House(postgres_database, tmp_path)
    trader = await house.trader()
    directory = Everybody(trader.account_id, trader.address, trader.pseudonym)
    epochs = EpochService(house.journal, house.clock, directory, house.execution, house.market.universe())
    closing = asyncio.Event()

    async def close() -> tuple[int, ...]:
        await closing.wait()
        async with house.session() as session:
            return (await epochs.close(session, epoch_of(house.clock.business()))).closed[0].positions

    closed = asyncio.create_task(close())
    async with house.session() as session:
        outcome = await run(Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1))), house.stages)
        assert outcome.state == "filled"
        closing.set()
        await asyncio.sleep(A_MOMENT)
        assert not closed.done()
    assert sum(await closed) == 1_000_000
    late = await house.person(trader, "buy", "1")
    assert late.refused is not None
    assert late.refused.rule == "epoch_closed"


async def test_an_order_that_halts_its_account_never_deadlocks_with_a_breach(
    postgres_database: Database, tmp_path: Path
) -> None:
    house = House(postgres_database, tmp_path)
    trader = await house.trader(4)
    assert (await house.person(trader, "buy", "1")).state == "filled"
    journal = AuditJournal(house.clock)
    switch = KillSwitch(house.market, journal)
    risk = RiskGate(house.market, MARKET_DATA, journal, switch, LIMITS)
    execution = ExecutionService(house.broker, house.compliance, risk, house.decisions, journal, INITIAL_CASH)
    stages = replace(house.stages, risk=risk, execution=execution, journal=journal)
    async with house.session() as session:
        (await lock_limits(session, trader.account_id)).peak_equity_units = 10**16

    async def order() -> str:
        async with house.session() as session:
            asked = Submission(session, trader, "late", PersonIntent("AAPL", "sell", Decimal(1)))
            outcome = await run(asked, stages)
        assert outcome.refused is not None
        return outcome.refused.rule

    async def record(session: AsyncSession) -> None:
        await journal.record(session, trader.pseudonym, "var.breach", {}, actor="system", policy="test")

    async with house.session() as session:
        await record(session)
    async with house.session() as session:
        await record(session)
        ordered = asyncio.create_task(order())
        await asyncio.sleep(A_MOMENT)
        await switch.trip_account(session, trader.account_id, trader.address, "VaR above the limit")
    assert await ordered == "kill_switch"


@pytest.mark.parametrize("scope", list(HaltScope))
async def test_a_halt_is_told_only_when_no_fill_can_follow(
    scope: HaltScope, postgres_database: Database, tmp_path: Path
) -> None:
    house = House(postgres_database, tmp_path)
    trader = await house.trader(roles=frozenset({Role.OPERATOR}))

    async def halt() -> None:
        async with house.session() as session:
            await house.switch.trip(session, scope, "enough", trader)

    async with house.session() as session:
        outcome = await run(Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1))), house.stages)
        assert outcome.state == "filled"
        halted = asyncio.create_task(halt())
        await asyncio.sleep(A_MOMENT)
        assert not halted.done()
    await halted
    assert (await house.person(trader, "buy", "1")).state == "refused"


async def test_reconciling_beside_orders_finds_no_difference_and_never_deadlocks(
    postgres_database: Database, tmp_path: Path
) -> None:
    house = House(postgres_database, tmp_path)
    traders = [await house.trader(number) for number in (1, 2, 3)]
    today = house.clock.business().date()

    async def reconcile() -> None:
        async with house.session() as session:
            assert (await house.reconciliation.run(session, today, "operator")).differences == 0

    async def orders() -> None:
        for _ in range(3):
            await asyncio.gather(*(house.person(trader, "buy", "1") for trader in traders))

    async with asyncio.timeout(30):
        await asyncio.gather(orders(), *(reconcile() for _ in range(4)))
        await reconcile()
    async with house.database.reading() as session:
        summary = (await house.reconciliation.page(session, PageRequest())).items[0]
    assert (summary.accounts, summary.ours, summary.matched) == (3, 9, 9)


class Meddled(FakePolicy):
    """Lets something happen after each answer."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    async def check(self, order: OrderCheck) -> Verdict:
        """Answer, then let it happen."""
        verdict = await super().check(order)
        if self.meanwhile is not None:
            await self.meanwhile()
        return verdict


async def test_a_change_of_the_rules_is_seen_before_a_trade_or_waits_for_it(
    postgres_database: Database, tmp_path: Path
) -> None:
    async def change() -> None:
        async with postgres_database.transaction() as session:
            (await lock_rules(session)).version += 1

    policy = Meddled(change)
    house = House(postgres_database, tmp_path, policy=policy)
    trader = await house.trader()
    # Revoked between the verdict and the trade, by another transaction.
    refused = await house.person(trader, "buy", "1")
    assert refused.refused is not None
    assert refused.refused.rule == "rules_changed"
    assert not house.broker.seen
    policy.meanwhile = None
    # Once the order is on its way the change waits.
    async with house.session() as session:
        outcome = await run(Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1))), house.stages)
        assert outcome.state == "filled"
        changed = asyncio.create_task(change())
        await asyncio.sleep(A_MOMENT)
        assert not changed.done()
    await changed
    assert (await house.person(trader, "buy", "1")).state == "filled"


async def test_orders_beside_a_watcher_never_deadlock_and_count_every_volume(
    postgres_database: Database, tmp_path: Path
) -> None:
    house = House(postgres_database, tmp_path)
    traders = [await house.trader(number) for number in (1, 2, 3)]
    done = asyncio.Event()

    async def watch() -> int:
        polls = 0
        while not done.is_set():
            async with house.session() as session:
                row = await lock_rules(session)
                row.seen_at = house.wall.wall()
                row.version += polls % 5 == 0
            polls += 1
            await asyncio.sleep(0.005)
        return polls

    async def orders() -> list[str]:
        found = []
        for _ in range(4):
            outcomes = await asyncio.gather(*(house.person(trader, "buy", "1") for trader in traders for _ in range(2)))
            found += ["" if outcome.refused is None else outcome.refused.rule for outcome in outcomes]
        done.set()
        return found

    async with asyncio.timeout(60):
        rules, polls = await asyncio.gather(orders(), watch())
    assert set(rules) <= {"", "rules_changed"}
    assert polls > 1
    async with house.session() as session:
        volumes = [await cumulative_of(session, trader.account_id) for trader in traders]
    close = house.close("AAPL")
    assert close is not None
    assert sum(volumes) == rules.count("") * close * 10**6
