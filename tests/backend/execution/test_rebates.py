"""Stakers get a share of their fees back once a day is over: every order once, whatever fails in between."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.models import Account
from backend.accounts.types import Caller
from backend.adapters.staking.contract import ContractStaking
from backend.execution import repository
from backend.execution.models import OrderRow
from backend.execution.repository import CASH_DECIMALS, cash_units
from backend.execution.service import Rebates
from backend.execution.types import OrderState
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units
from backend.kit.db import Database
from backend.ports.journal import Recorded
from backend.ports.staking import StakeTier
from tests.backend.pipeline.rooms import House
from tests.fakes import FakeChain, FakeJournal

BPS = 1_000


class Stakes:
    """Answers every wallet alike, unless the chain is away."""

    def __init__(self) -> None:
        self.bps = BPS
        self.fault: Unavailable | NotFound | None = None

    async def tier(self, address: str) -> StakeTier:
        """Answer as told."""
        del address
        if self.fault is not None:
            raise self.fault
        return StakeTier(10**22, 2 if self.bps else 0, self.bps, 99)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


@pytest.fixture
def stakes() -> Stakes:
    return Stakes()


@pytest.fixture
def rebates(house: House, stakes: Stakes) -> Rebates:
    return Rebates(house.database, stakes, house.journal, house.clock)


async def cash_of(house: House, account_id: int) -> Decimal:
    async with house.session() as session:
        units = await cash_units(session, account_id)
    assert units is not None
    return from_units(units, CASH_DECIMALS)


async def fees_of(house: House) -> Decimal:
    return sum(
        (Decimal(str(record.fields["fee"])) for record in house.journal.records if "fee" in record.fields), Decimal(0)
    )


async def test_a_day_that_is_over_is_settled_once(house: House, rebates: Rebates) -> None:
    trader = await house.trader()
    for _ in range(3):
        assert (await house.person(trader, "buy", "1")).state == "filled"
    fees, before = await fees_of(house), await cash_of(house, trader.account_id)
    assert await rebates.run_once() == 0, "the day goes on"
    house.clock.set(house.clock.business() + timedelta(days=1))
    assert await rebates.run_once() == 1
    assert await rebates.run_once() == 0
    record = house.journal.records[-1]
    assert (record.event, record.account, record.fields["orders"]) == ("fee.rebated", trader.pseudonym, 3)
    given_back = Decimal(str(record.fields["rebate"]))
    assert fees / 10 - Decimal("0.000003") <= given_back <= fees / 10
    assert await cash_of(house, trader.account_id) == before + given_back
    async with house.session() as session:
        stake, total = await rebates.standing(session, trader)
    assert (stake.rebate_bps, total) == (BPS, given_back)


async def test_without_a_stake_nothing_is_given_and_the_day_is_settled(
    house: House, rebates: Rebates, stakes: Stakes
) -> None:
    trader = await house.trader()
    await house.person(trader, "buy", "1")
    house.clock.set(house.clock.business() + timedelta(days=1))
    stakes.bps = 0
    assert await rebates.run_once() == 0
    stakes.bps = BPS
    assert await rebates.run_once() == 0, "a stake of today is none of yesterday's settlement"
    assert house.journal.events()[-1] == "order.filled"


async def test_a_chain_that_is_away_postpones_and_loses_nothing(house: House, rebates: Rebates, stakes: Stakes) -> None:
    trader = await house.trader()
    await house.person(trader, "buy", "1")
    house.clock.set(house.clock.business() + timedelta(days=1))
    for fault in (Unavailable("no answer"), NotFound("no staking here")):
        stakes.fault = fault
        assert await rebates.run_once() == 0
    stakes.fault = None
    assert await rebates.run_once() == 1


async def test_refused_orders_cost_and_give_back_nothing(house: House, rebates: Rebates) -> None:
    trader = await house.trader()
    house.policy.refuses[trader.address] = ("VolumePolicy", "too much")
    await house.person(trader, "buy", "1")
    house.clock.set(house.clock.business() + timedelta(days=1))
    assert await rebates.run_once() == 0


async def test_a_stake_is_read_at_one_block_and_an_impossible_rebate_is_no_answer() -> None:
    chain = FakeChain()
    for function, answer in (("stakedOf", 7), ("tierOf", 1), ("rebateOf", 500)):
        chain.answer("Staking", function, lambda _account, answer=answer: answer)
    assert await ContractStaking(chain).tier("0x" + "11" * 20) == StakeTier(7, 1, 500, 0)
    assert {block for _, _, _, _, block in chain.called} == {0}
    chain.answer("Staking", "rebateOf", lambda _account: 10_001)
    with pytest.raises(Unavailable):
        await ContractStaking(chain).tier("0x" + "11" * 20)


FEES = (1, 9, 10, 9_999, 10_000, 10_001, 123_456_789, 10**14)


async def add_orders(house: House, trader: Caller, fees: Sequence[int | None], state: OrderState = "filled") -> None:
    """Write orders of yesterday with fees (1e-6 USD) straight into the table."""
    yesterday = house.clock.business() - timedelta(days=1)
    common = {
        "account_id": trader.account_id, "instrument": "AAPL", "side": "buy", "quantity_units": 1, "state": state,
        "gate": "", "rule": "", "reason": "", "model": "", "compliance_receipt": "", "risk_decision": "",
        "venue_order_id": "", "ordered_at": yesterday, "record_account": trader.pseudonym, "record_seq": 0,
        "record_commitment": "", "record_id": 0,
    }  # fmt: skip
    async with house.session() as session:
        await repository.lock_cash(session, trader.account_id, 0)
        for start in range(0, len(fees), 10_000):
            rows = [
                {**common, "order_id": name, "decision_id": name, "client_key": name, "fee_units": fee}
                for place, fee in enumerate(fees[start : start + 10_000], start)
                for name in (f"{state}-{trader.account_id}-{place}",)
            ]
            await session.execute(insert(OrderRow), rows)


@pytest.mark.parametrize("bps", [0, 1, 1_000, 3_333, 10_000])
async def test_each_fee_is_cut_to_the_smallest_unit_and_no_more_is_given_than_was_paid(
    house: House, rebates: Rebates, stakes: Stakes, bps: int
) -> None:
    trader, stakes.bps = await house.trader(), bps
    await add_orders(house, trader, FEES)
    paid = await rebates.run_once()
    expected = [fee * bps // 10_000 for fee in FEES]
    async with house.session() as session:
        found = (await session.scalars(select(OrderRow.rebate_units).order_by(OrderRow.id))).all()
    assert found == expected
    assert paid == (1 if sum(expected) else 0)
    assert await cash_of(house, trader.account_id) == from_units(sum(expected), NOTIONAL_DECIMALS)


async def test_only_filled_orders_with_a_fee_are_settled_and_late_ones_the_next_time(
    house: House, rebates: Rebates
) -> None:
    trader = await house.trader()
    for state, fee in (("filled", -5), ("filled", 0), ("filled", None), ("cancelled", 10_000), ("unknown", 10_000)):
        await add_orders(house, trader, [fee], cast("OrderState", state))
        assert await rebates.run_once() == 0
        async with house.session() as session:
            assert set(await session.scalars(select(OrderRow.rebate_units))) == {None}
            await session.execute(delete(OrderRow).where(OrderRow.state == "filled"))
    async with house.session() as session:
        await session.execute(update(OrderRow).where(OrderRow.state == "unknown").values(state="filled"))
    assert await rebates.run_once() == 1
    assert await cash_of(house, trader.account_id) == Decimal("0.001")


async def test_one_accounts_fault_keeps_nobody_else_waiting(house: House, stakes: Stakes) -> None:
    class Faulty(FakeJournal):
        async def record(
            self, session: AsyncSession, account: str, event: str, fields: Mapping[str, Any], **rest: Any
        ) -> Recorded:
            if account == first.pseudonym:
                raise Conflict("this chain is closed")
            return await super().record(session, account, event, fields, **rest)

    first, second = await house.trader(1), await house.trader(2)
    for trader in (first, second):
        await add_orders(house, trader, [10_000])
    assert await Rebates(house.database, stakes, Faulty(), house.clock).run_once() == 1
    assert await cash_of(house, first.account_id) == 0
    assert await cash_of(house, second.account_id) == Decimal("0.001")


async def test_several_processes_settle_a_day_once_on_postgresql(
    postgres_database: Database, tmp_path: Path, stakes: Stakes
) -> None:
    house = House(postgres_database, tmp_path)
    traders = [await house.trader(number) for number in (1, 2, 3)]
    for trader in traders:
        await add_orders(house, trader, [10_000] * 50)
    rivals = [Rebates(house.database, stakes, house.journal, house.clock) for _ in range(4)]
    paid = await asyncio.gather(*(rival.run_once() for rival in rivals))
    assert sum(paid) == len(traders)
    assert {await cash_of(house, trader.account_id) for trader in traders} == {Decimal("0.05")}
    assert house.journal.events().count("fee.rebated") == len(traders)


async def plan_of(house: House) -> str:
    """Return how the database finds the fees that are due."""
    prefix = "EXPLAIN" if house.database.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    today = house.clock.business().replace(hour=0, minute=0, second=0, microsecond=0)
    async with house.session() as session:
        if prefix == "EXPLAIN":
            await session.execute(text("ANALYZE orders"))
        query = select(Account.id).where(Account.id.in_(select(OrderRow.account_id).where(repository.open_fee(today))))
        compiled = query.compile(dialect=house.database.engine.dialect, compile_kwargs={"literal_binds": True})
        return "\n".join(str(row) for row in (await session.execute(text(f"{prefix} {compiled}"))).all())


async def test_fees_that_are_due_are_found_by_an_index_among_many_orders(house: House, rebates: Rebates) -> None:
    trader = await house.trader()
    await add_orders(house, trader, [None] * 20_000, "refused")
    await add_orders(house, trader, [10_000] * 200)
    assert "ix_orders_open_fees" in await plan_of(house)
    assert await rebates.run_once() == 1
    assert await cash_of(house, trader.account_id) == Decimal("0.2")


async def test_fees_that_are_due_are_found_by_an_index_on_postgresql(
    postgres_database: Database, tmp_path: Path
) -> None:
    house = House(postgres_database, tmp_path)
    trader = await house.trader()
    await add_orders(house, trader, [None] * 5_000, "refused")
    await add_orders(house, trader, [10_000] * 20)
    assert "ix_orders_open_fees" in await plan_of(house)
