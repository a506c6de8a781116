"""A venue that answers what nobody asked: nothing of it is booked, and the account's day still ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.types import Caller
from backend.execution.types import DaySummary, Holdings
from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.ports.broker import Accepted, Execution, Rejected, Unknown, VenueOrder
from tests.backend.pipeline.rooms import FIRST_DAY, INITIAL_CASH, House, MoodyBroker

Books = list[Execution]
FILL = Accepted("PAPER-1", Decimal(2), Decimal("98.5"), Decimal("0.1"), datetime(2016, 6, 1, 21, tzinfo=UTC))
LIES: list[dict[str, Any]] = [
    {"quantity": Decimal(3)},
    {"quantity": Decimal(-2)},
    {"quantity": Decimal("NaN")},
    {"price": Decimal("-98.5")},
    {"price": Decimal(0)},
    {"price": Decimal("98.50001")},
    {"price": Decimal("Infinity")},
    {"price": Decimal(10) ** 30},
    {"fee": Decimal("NaN")},
    {"fee": Decimal(-(10**30))},
    {"venue_order_id": "P" * 65},
    {"venue_order_id": ""},
    {"executed_at": FILL.executed_at.replace(tzinfo=None)},
]


@dataclass
class Liar(MoodyBroker):
    """Answers an order, and its withdrawal, with a fill of its own making."""

    lie: Accepted | None = None

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Answer with the lie while there is one."""
        return self.lie or await super().submit(order)

    async def cancel(self, client_order_id: str) -> Accepted | Rejected | Unknown:
        """Answer with the lie while there is one."""
        return self.lie or await super().cancel(client_order_id)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models", broker=Liar)


def liar(house: House) -> Liar:
    assert isinstance(house.broker, Liar)
    return house.broker


async def close_day(house: House, day: date = FIRST_DAY) -> DaySummary:
    async with house.session() as session:
        found = await house.reconciliation.compare(session, day, closing=True)
        return await house.reconciliation.conclude(session, day, found)


async def held(house: House, trader: Caller) -> Holdings:
    async with house.database.reading() as session:
        return await house.execution.holdings(session, trader.account_id)


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_a_fill_that_answers_no_order_leaves_it_unknown(house: House, lie: dict[str, Any]) -> None:
    trader = await house.trader(1)
    liar(house).lie = replace(FILL, **lie)
    outcome = await house.person(trader, "buy", "2")
    assert outcome.state == "unknown"
    after = await held(house, trader)
    assert (after.cash, after.positions, len(after.unknown)) == (INITIAL_CASH, {}, 1)


@pytest.mark.parametrize("lie", LIES, ids=str)
async def test_a_withdrawal_is_not_answered_by_such_a_fill_and_the_close_halts(
    house: House, lie: dict[str, Any]
) -> None:
    trader = await house.trader(1)
    house.broker.answer = Unknown("timeout")
    order = (await house.person(trader, "buy", "2")).order
    assert order is not None
    liar(house).lie = replace(FILL, **lie)
    async with house.session() as session:
        with pytest.raises(Unavailable):
            await house.execution.cancel(session, trader, order.order_id)
    assert (await close_day(house)).unresolved == 1
    async with house.database.reading() as session:
        assert len(await house.switch.halts(session, trader.account_id)) == 1
    after = await held(house, trader)
    assert (after.cash, after.positions, len(after.unknown)) == (INITIAL_CASH, {}, 1)


async def test_a_fill_that_is_one_is_booked(house: House) -> None:
    trader = await house.trader(1)
    liar(house).lie = FILL
    assert (await house.person(trader, "buy", "2")).state == "filled"
    assert (await held(house, trader)).cash == INITIAL_CASH - 2 * FILL.price - FILL.fee


def named(account: str) -> Callable[[Books], Books]:
    return lambda books: [replace(one, account=account) for one in books]


@pytest.mark.parametrize("account", ["", "x" * 44, "\x00", "\u202e", "é" * 43])
async def test_a_fill_of_an_account_with_any_name_is_nobodys_at_each_look(house: House, account: str) -> None:
    await house.person(await house.trader(1), "buy", "2")
    house.broker.told = named(account)
    for _ in range(2):
        assert (await close_day(house)).differences == 2
    async with house.database.reading() as session:
        outcomes = await house.reconciliation.outcomes(session, FIRST_DAY)
        names = {str(outcome["account"]) for outcome in outcomes}
    assert len(names) == 2
    assert all(0 < len(name) <= 43 and name.isascii() and name.isprintable() for name in names)
    assert house.journal.events().count("reconciliation.summarised") == 1


async def test_two_names_that_begin_alike_are_two_accounts(house: House) -> None:
    trader = await house.trader(1)
    for _ in range(2):
        await house.person(trader, "buy", "1")
    house.broker.told = lambda books: [replace(one, account="x" * 43 + str(number)) for number, one in enumerate(books)]
    for _ in range(2):
        assert (await close_day(house)).accounts == 3
    assert house.journal.events().count("reconciliation.summarised") == 1
