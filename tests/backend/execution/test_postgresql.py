"""The order path on PostgreSQL, where transactions run beside each other."""

import asyncio
from decimal import Decimal
from pathlib import Path

from backend.kit.db import Database
from tests.backend.pipeline.rooms import House


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
