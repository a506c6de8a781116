"""The life of an order from intent to record."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from backend.kernel.canonical import canonical_json
from backend.kernel.clock import epoch_of
from backend.kit.db import Database
from backend.proofs.engine.kept import ClosedEpoch
from backend.proofs.repository import add_epoch
from tests.backend.pipeline.rooms import House


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models")


async def test_an_order_within_every_limit_is_filled_booked_and_recorded(house: House) -> None:
    trader = await house.trader()
    outcome = await house.person(trader, "buy", "10.5")
    assert outcome.state == "filled"
    order = outcome.order
    assert order is not None
    assert order.price is not None
    close = house.market.price("AAPL")
    assert close is not None
    assert order.price == (close * Decimal("1.0002")).quantize(Decimal("0.0001"))
    assert order.notional == Decimal("10.5") * close
    async with house.session() as session:
        held = await house.execution.holdings(session, trader.account_id)
    assert held.positions["AAPL"].quantity == Decimal("10.5")
    assert held.positions["AAPL"].average_cost == order.price
    assert order.fee is not None
    assert held.cash == Decimal(100_000) - Decimal("10.5") * order.price - order.fee
    record = house.journal.records[-1]
    assert (record.event, record.account) == ("order.filled", trader.pseudonym)
    assert canonical_json(record.fields)
    assert record.fields["notional"] == str(order.notional.normalize())
    assert record.fields["model"] == ""
    assert record.fields["investment_decision"] == record.fields["subject"] == trader.address
    assert order.record_seq == outcome.recorded.seq


async def test_nothing_is_traded_on_a_day_whose_positions_are_committed_to(house: House) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    epoch = epoch_of(house.clock.business())
    async with house.session() as session:
        closed = ClosedEpoch(trader.pseudonym, trader.address, epoch, bytes(32), (), 0, 0, record_id=1, record_seq=1)
        await add_epoch(session, closed)
    outcome = await house.person(trader, "buy", "1")
    assert outcome.refused is not None
    assert (outcome.refused.gate, outcome.refused.rule) == ("risk", "epoch_closed")
    assert house.journal.records[-1].event == "order.refused"
    assert (await house.person(other, "buy", "1")).state == "filled"
    house.open_day(date(2016, 6, 2))
    assert (await house.person(trader, "buy", "1")).state == "filled"
