"""Stakers get a share of their fees back once a day is over: every order once, whatever fails in between."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.staking.contract import ContractStaking
from backend.execution.engine import rebates_of
from backend.execution.repository import CASH_DECIMALS, cash_units
from backend.execution.service import Rebates
from backend.kernel.errors import NotFound, Unavailable
from backend.kernel.fixed import from_units
from backend.kit.db import Database
from backend.ports.staking import StakeTier
from tests.backend.pipeline.rooms import House
from tests.fakes import FakeChain

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


@given(st.dictionaries(st.integers(), st.integers(0, 10**12)), st.integers(0, 10_000))
def test_nobody_gets_more_back_than_the_fee_and_more_bps_never_give_less(fees: dict[int, int], bps: int) -> None:
    back = rebates_of(fees, bps)
    assert all(0 <= back[order] <= fee for order, fee in fees.items())
    assert rebates_of(fees, 10_000) == fees
    assert all(rebates_of(fees, bps // 2)[order] <= back[order] for order in fees)
