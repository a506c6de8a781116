"""Execution uses an approval once and books exactly what the venue did."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.decisions.service import PersonIntent
from backend.execution.service import order_id_of
from backend.execution.types import Holdings
from backend.kernel.clock import close_of
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from backend.pipeline.stages import Submission, run
from tests.backend.pipeline.rooms import FIRST_DAY, INITIAL_CASH, MARKET_DATA, House


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


async def holdings(house: House, account_id: int) -> Holdings:
    async with house.session() as session:
        return await house.execution.holdings(session, account_id)


orders = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell"]),
        st.sampled_from(["AAPL", "MSFT"]),
        st.decimals("0.000001", "60", places=6),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders)
async def test_cash_and_shares_follow_from_the_fills_to_the_last_unit(
    house: House, placed: list[tuple[str, str, Decimal]]
) -> None:
    house.keys += 1_000
    trader = await house.trader(house.keys)
    cash, held = INITIAL_CASH, {"AAPL": Decimal(0), "MSFT": Decimal(0)}
    for side, instrument, quantity in placed:
        outcome = await house.person(trader, side, str(quantity), instrument)
        if outcome.state != "filled":
            continue
        assert outcome.order is not None
        price, fee = outcome.order.price, outcome.order.fee
        assert price is not None
        assert fee is not None
        sign = 1 if side == "buy" else -1
        cash -= sign * quantity * price + fee
        held[instrument] += sign * quantity
    booked = await holdings(house, trader.account_id)
    assert booked.cash == cash
    assert {name: position.quantity for name, position in booked.positions.items()} == {
        name: quantity for name, quantity in held.items() if quantity
    }


async def test_the_average_cost_is_what_the_shares_cost_without_fees(house: House) -> None:
    trader = await house.trader()
    first = await house.person(trader, "buy", "10")
    second = await house.person(trader, "buy", "30")
    assert first.order is not None
    assert second.order is not None
    assert first.order.price is not None
    assert second.order.price is not None
    cost = (first.order.price * 10 + second.order.price * 30) / 40
    assert (await holdings(house, trader.account_id)).positions["AAPL"].average_cost == cost
    await house.person(trader, "sell", "13")
    assert (await holdings(house, trader.account_id)).positions["AAPL"].average_cost == cost
    await house.person(trader, "sell", "27")
    assert not (await holdings(house, trader.account_id)).positions


async def test_an_account_that_never_ordered_has_its_initial_cash(house: House) -> None:
    assert (await holdings(house, (await house.trader()).account_id)).cash == INITIAL_CASH


async def test_one_decision_is_one_order_at_the_venue(house: House) -> None:
    outcome = await house.person(await house.trader(), "buy", "1")
    assert outcome.order is not None
    assert outcome.order.order_id == order_id_of(outcome.decision.decision_id)
    assert house.broker.seen[0].client_order_id == outcome.order.order_id


async def test_a_fault_after_the_fill_leaves_nothing_behind(house: House) -> None:
    trader = await house.trader()

    async def order_and_fail() -> None:
        async with house.session() as session:
            intent = PersonIntent("AAPL", "buy", Decimal(1))
            await run(Submission(session, trader, "key", intent), house.stages)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await order_and_fail()
    assert (await holdings(house, trader.account_id)) == Holdings(INITIAL_CASH)
    async with house.session() as session:
        assert not (await house.execution.orders(session, trader.account_id, PageRequest(), None)).items


async def test_orders_of_one_account_cannot_spend_the_same_cash(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path, initial_cash=Decimal(150))
    trader = await house.trader()
    outcomes = await asyncio.gather(*(house.person(trader, "buy", "1") for _ in range(3)))
    assert sorted(outcome.state for outcome in outcomes) == ["filled", "refused", "refused"]
    assert (await holdings(house, trader.account_id)).cash >= 0


async def test_orders_are_found_by_their_owner_and_by_their_record(house: House) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    outcome = await house.person(trader, "buy", "1")
    assert outcome.order is not None
    async with house.session() as session:
        assert await house.execution.order(session, trader.account_id, outcome.order.order_id) == outcome.order
        assert await house.execution.order_of_record(session, outcome.recorded.record_id) == outcome.order
        assert await house.execution.order_of_record(session, 10**6) is None
        with pytest.raises(NotFound):
            await house.execution.order(session, other.account_id, outcome.order.order_id)


async def test_pages_of_orders_run_from_new_to_old(house: House) -> None:
    trader = await house.trader()
    placed = [await house.person(trader, "buy", "1") for _ in range(3)]
    async with house.session() as session:
        first = await house.execution.orders(session, trader.account_id, PageRequest(2), "filled")
        rest = await house.execution.orders(session, trader.account_id, PageRequest(2, first.next_before), "filled")
    ids = [order.order_id for order in (*first.items, *rest.items)]
    assert ids == [outcome.order.order_id for outcome in reversed(placed) if outcome.order]
    assert rest.next_before is None


async def test_what_was_held_at_a_close_is_without_later_orders(house: House) -> None:
    trader = await house.trader()
    days = [day for day in MARKET_DATA.days() if day >= FIRST_DAY][:3]
    await house.person(trader, "buy", "5")
    house.open_day(days[1])
    await house.person(trader, "buy", "2")
    await house.person(trader, "buy", "1", "MSFT")
    house.open_day(days[2])
    await house.person(trader, "sell", "7")
    held = []
    async with house.session() as session:
        for day in days:
            then = await house.execution.at_close(session, trader.account_id, close_of(day))
            held.append({name: units for name, units in then.items() if units})
    assert held == [{"AAPL": 5_000_000}, {"AAPL": 7_000_000, "MSFT": 1_000_000}, {"MSFT": 1_000_000}]
