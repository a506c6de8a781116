"""A batch's orders come before the rules in one call, and end as they would one by one."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.types import Caller
from backend.compliance.repository.rules import lock_rules
from backend.compliance.types import GateTerms
from backend.kit.db import Database
from backend.pipeline.schemas import OrderIn
from backend.pipeline.service import MAX_ASKED_AHEAD, OrderService
from backend.ports.broker import Rejected
from backend.ports.governance import ModelState
from tests.backend.pipeline.rooms import House, add_model

TERMS = GateTerms(timedelta(seconds=5), timedelta(minutes=15), timedelta(seconds=2))
PRICE = Decimal("98.46")


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models", terms=TERMS)


def person(side: str, quantity: str, instrument: str = "AAPL") -> OrderIn:
    wanted = {"kind": "person", "instrument": instrument, "side": side, "quantity": quantity}
    return OrderIn.model_validate({"decision": wanted})


def agent(model: str, instrument: str) -> OrderIn:
    return OrderIn.model_validate({"decision": {"kind": "agent", "model": model, "instrument": instrument}})


async def place(house: House, trader: Caller, orders: list[OrderIn], *, watched: bool = True) -> list[dict[str, Any]]:
    """Place a batch while the watcher looks, and return the orders' ends."""
    async with house.session() as session:
        (await lock_rules(session)).seen_at = house.wall.wall() if watched else None
    async with house.session() as session:
        return await OrderService(house.stages).place_all(session, trader, "batch", orders)


def states(results: list[dict[str, Any]]) -> list[str]:
    return [str(result["state"]) for result in results]


async def test_the_orders_of_a_batch_are_asked_about_in_one_call(house: House) -> None:
    results = await place(house, await house.trader(), [person("buy", "1")] * 10)
    assert states(results) == ["filled"] * 10
    assert house.policy.together == [10]
    assert len(house.policy.asked) == 10
    close = house.close("AAPL")
    assert close is not None
    assert [order.cumulative for order in house.policy.asked] == [close * number for number in range(10)]
    receipts = {record.fields["compliance_receipt"] for record in house.journal.records[1:]}
    assert len(receipts) == 10


async def test_two_orders_within_a_limit_that_exceed_it_together_do_not_both_pass(house: House) -> None:
    close = house.close("AAPL")
    assert close is not None
    house.policy.limit = close * Decimal("3.5")
    results = await place(house, await house.trader(), [person("buy", "2"), person("buy", "2"), person("buy", "1")])
    assert states(results) == ["filled", "refused", "filled"]
    assert results[1]["rule"] == "SlidingVolumePolicy"


async def test_an_order_that_ends_otherwise_than_foreseen_has_the_rest_asked_about_again(house: House) -> None:
    # What is not held cannot be sold: the second one adds no volume.
    orders = [person("buy", "1"), person("sell", "5"), person("buy", "1"), person("buy", "1"), person("buy", "1")]
    assert states(await place(house, await house.trader(), orders)) == ["filled", "refused", *["filled"] * 3]
    assert house.policy.together == [5, 3]
    assert len(house.policy.asked) == 8


async def test_what_is_foreseen_wrongly_again_and_again_is_asked_about_singly(house: House) -> None:
    results = await place(house, await house.trader(), [person("sell", str(number)) for number in range(1, 9)])
    assert states(results) == ["refused"] * 8
    assert house.policy.together == [8, 7, 6, 5]
    # From the fifth order on nobody asked ahead.
    assert len(house.policy.together) == MAX_ASKED_AHEAD
    assert len(house.policy.asked) == 8 + 7 + 6 + 5 + 4


async def test_what_is_asked_again_ahead_is_not_asked_twice(house: House) -> None:
    results = await place(house, await house.trader(), [person("sell", "1")] * 20)
    assert states(results) == ["refused"] * 20
    assert house.policy.together == [20]
    assert len(house.policy.asked) == 20


async def test_a_model_that_decides_is_asked_about_ahead_as_a_person_is(house: House, tmp_path: Path) -> None:
    model = add_model(house.models, tmp_path / "made", "buy_25")
    house.governance.states[model] = ModelState.PRODUCTION
    held = add_model(house.models, tmp_path / "holds", "hold")
    house.governance.states[held] = ModelState.PRODUCTION
    orders = [agent(model, "AAPL"), agent(held, "AAPL"), person("buy", "1"), agent(model, "MSFT")]
    assert states(await place(house, await house.trader(), orders)) == ["filled", "held", "filled", "filled"]
    assert house.policy.together == [3]
    assert len(house.policy.asked) == 3


async def test_a_malformed_order_among_others_spoils_nothing(house: House) -> None:
    orders = [person("buy", "1"), person("buy", "1", "NOPE"), person("buy", "1")]
    assert states(await place(house, await house.trader(), orders)) == ["filled", "error", "filled"]
    assert house.policy.together == [2]


@pytest.mark.parametrize("silent", [True, False])
async def test_where_asking_ahead_is_of_no_use_each_order_is_asked_about(silent: bool, house: House) -> None:
    house.policy.down = silent
    results = await place(house, await house.trader(), [person("buy", "1")] * 3, watched=silent)
    assert states(results) == (["refused"] if silent else ["filled"]) * 3
    assert len(house.policy.asked) == (0 if silent else 3)


async def test_a_single_order_is_not_asked_about_ahead(house: House) -> None:
    assert states(await place(house, await house.trader(), [person("buy", "1")])) == ["filled"]
    assert house.policy.together == []


async def test_what_the_venue_rejects_leaves_its_volume_to_the_others(house: House) -> None:
    house.broker.answer = Rejected("closed")
    close = house.close("AAPL")
    assert close is not None
    house.policy.limit = close * 2
    results = await place(house, await house.trader(), [person("buy", "2"), person("buy", "2")])
    assert [result["rule"] for result in results] == ["venue_rejected", "venue_rejected"]


async def test_a_batch_under_another_lifetime_still_ends_the_same(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", terms=replace(TERMS, cache_lifetime=timedelta(0)))
    assert states(await place(house, await house.trader(), [person("buy", "1")] * 3)) == ["filled"] * 3
    assert house.policy.together == []
