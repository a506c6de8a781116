"""Our fills beside the venue's books: whatever differs is recorded, named, and halts whom it is about."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.accounts.types import Caller
from backend.decisions.service import PersonIntent
from backend.execution.engine import compare
from backend.execution.types import DaySummary, Order
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from backend.pipeline.stages import Submission, run
from backend.ports.broker import Execution, Unknown
from tests.backend.pipeline.rooms import FIRST_DAY, House
from tests.fakes import Remembered

SILENCE = Unknown("timeout")
Books = list[Execution]


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models")


async def close_day(house: House, day: date = FIRST_DAY) -> DaySummary:
    """Reconcile a day as its close does."""
    async with house.session() as session:
        found = await house.reconciliation.compare(session, day, closing=True)
        return await house.reconciliation.conclude(session, day, found)


async def on_demand(house: House, day: date = FIRST_DAY) -> DaySummary:
    async with house.session() as session:
        return await house.reconciliation.run(session, day, "operator")


async def orders(house: House, trader: Caller) -> dict[str, Order]:
    """Return an account's orders by state."""
    async with house.database.reading() as session:
        page = await house.execution.orders(session, trader.account_id, PageRequest(), None)
    return {order.state: order for order in page.items}


def completed(house: House) -> list[Remembered]:
    return [record for record in house.journal.records if record.event == "reconciliation.completed"]


async def halted(house: House, trader: Caller) -> list[str]:
    """Return why an account may not trade."""
    async with house.database.reading() as session:
        return [halt.reason for halt in await house.switch.halts(session, trader.account_id)]


async def test_books_that_agree_are_recorded_and_halt_nobody(house: House) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    for one in (trader, trader, other):
        assert (await house.person(one, "buy", "1")).state == "filled"
    summary = await close_day(house)
    assert (summary.accounts, summary.ours, summary.theirs, summary.matched) == (2, 3, 3, 3)
    assert (summary.differences, summary.unresolved) == (0, 0)
    assert {(record.account, record.fields["matched"]) for record in completed(house)} == {
        (trader.pseudonym, 2),
        (other.pseudonym, 1),
    }
    assert house.journal.events()[-1] == "reconciliation.summarised"
    assert await halted(house, trader) == []


def lose_one(books: Books) -> Books:
    return books[1:]


def invent_one(books: Books) -> Books:
    return [*books, replace(books[0], client_order_id="f" * 32)]


def repeat_one(books: Books) -> Books:
    return [*books, books[0]]


def other_fill(**changed: Any) -> Callable[[Books], Books]:
    return lambda books: [replace(books[0], fill=replace(books[0].fill, **changed)), *books[1:]]


def other_side(books: Books) -> Books:
    return [replace(books[0], side="sell"), *books[1:]]


LIES: list[tuple[str, Callable[[Books], Books], int]] = [
    ("missing_there", lose_one, 1),
    ("missing_here", invent_one, 2),
    ("repeated", repeat_one, 2),
    ("differing", other_fill(price=Decimal("1.0000")), 1),
    ("differing", other_fill(quantity=Decimal(7)), 1),
    ("differing", other_fill(fee=Decimal(9)), 1),
    ("differing", other_side, 1),
]


@pytest.mark.parametrize(("kind", "lie", "matched"), LIES)
async def test_a_venue_that_tells_something_else_is_recorded_by_order_and_halts_the_account(
    house: House, kind: str, lie: Callable[[Books], Books], matched: int
) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    first, _ = [(await house.person(trader, "buy", "1")).order for _ in range(2)]
    assert (await house.person(other, "buy", "1")).state == "filled"
    assert first is not None
    house.broker.told = lie
    summary = await close_day(house)
    assert summary.differences == 1
    record = next(record for record in completed(house) if record.account == trader.pseudonym)
    assert record.fields[kind] == ["f" * 32 if kind == "missing_here" else first.order_id]
    assert record.fields["differences"] == 1
    assert record.fields["matched"] == matched
    assert len(await halted(house, trader)) == 1
    assert str(FIRST_DAY) in (await halted(house, trader))[0]
    assert await halted(house, other) == []
    refused = await house.person(trader, "buy", "1")
    assert refused.refused is not None
    assert refused.refused.gate == "halted"


async def test_a_fill_of_nobody_here_halts_everybody(house: House) -> None:
    trader = await house.trader(1)
    assert (await house.person(trader, "buy", "1")).state == "filled"
    house.broker.told = lambda books: [*books, replace(books[0], client_order_id="e" * 32, account="somebody")]
    summary = await close_day(house)
    assert summary.differences == 1
    assert "not known here" in (await halted(house, trader))[0]
    # The account itself agrees with the venue.
    assert completed(house)[-1].fields["differences"] == 0


async def test_looking_again_leaves_no_second_record_and_no_second_halt(house: House) -> None:
    trader = await house.trader(1)
    assert (await house.person(trader, "buy", "1")).state == "filled"
    house.broker.told = lose_one
    await on_demand(house)
    count = len(house.journal.records)
    await on_demand(house)
    await close_day(house)
    assert len(house.journal.records) == count
    assert len(await halted(house, trader)) == 1
    house.broker.told = list
    assert (await on_demand(house)).differences == 0
    assert house.journal.events()[count:] == ["reconciliation.completed", "reconciliation.summarised"]


async def test_a_silent_venue_is_an_error_and_nothing_is_recorded(house: House) -> None:
    trader = await house.trader(1)
    assert (await house.person(trader, "buy", "1")).state == "filled"
    house.broker.silent = True
    count = len(house.journal.records)
    with pytest.raises(Unavailable):
        await close_day(house)
    assert len(house.journal.records) == count


async def test_an_order_that_the_venue_filled_in_silence_is_booked(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer, house.broker.arrives = SILENCE, True
    unknown = (await house.person(trader, "buy", "2")).order
    assert unknown is not None
    summary = await on_demand(house)
    assert (summary.ours, summary.matched, summary.unresolved) == (1, 1, 0)
    filled = (await orders(house, trader))["filled"]
    assert (filled.order_id, filled.price) == (unknown.order_id, Decimal("98.4797"))
    assert house.journal.events()[-3:] == ["order.filled", "reconciliation.completed", "reconciliation.summarised"]
    record, told = house.journal.records[-3], house.journal.records[-2]
    assert record.fields["reconciliation"] == told.fields["reconciliation"]
    assert told.fields["resolved"] == [unknown.order_id]
    assert record.fields["compliance_receipt"] == unknown.compliance_receipt
    assert record.fields["risk_figures"]
    async with house.database.reading() as session:
        held = await house.execution.holdings(session, trader.account_id)
    assert held.positions["AAPL"].quantity == 2
    assert held.unknown == ()
    assert await halted(house, trader) == []
    # Seen again, it is one of ours and nothing new.
    count = len(house.journal.records)
    await on_demand(house)
    assert len(house.journal.records) == count


async def test_an_order_that_never_arrived_stays_open_until_the_close_and_is_refused_then(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer = SILENCE
    unknown = (await house.person(trader, "buy", "2")).order
    assert unknown is not None
    await on_demand(house)
    assert set(await orders(house, trader)) == {"unknown"}
    await close_day(house)
    refused = (await orders(house, trader))["refused"]
    assert (refused.gate, refused.rule) == ("execution", "not_executed")
    assert "order.refused" in house.journal.events()
    assert await halted(house, trader) == []
    # It was withdrawn: should it arrive after all, the venue turns it away.
    house.broker.answer = None
    assert await house.broker.executions(FIRST_DAY) == []


async def test_an_order_that_nobody_knows_of_at_the_close_halts_its_account(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer = house.broker.cancels = SILENCE
    unknown = (await house.person(trader, "buy", "2")).order
    assert unknown is not None
    assert (await close_day(house)).unresolved == 1
    assert completed(house)[-1].fields["unresolved"] == [unknown.order_id]
    assert "unknown fate" in (await halted(house, trader))[0]
    assert set(await orders(house, trader)) == {"unknown"}


async def test_a_fill_of_another_size_than_was_asked_is_not_booked_but_halts(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer, house.broker.arrives = SILENCE, True
    await house.person(trader, "buy", "2")
    house.broker.told = other_fill(quantity=Decimal(1))
    summary = await close_day(house)
    assert (summary.differences, summary.unresolved) == (1, 1)
    assert set(await orders(house, trader)) == {"unknown"}
    assert len(await halted(house, trader)) == 1


async def test_an_order_of_unknown_fate_keeps_cash_exposure_and_shares_reserved(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer = SILENCE
    assert (await house.person(trader, "buy", "500")).state == "unknown"
    house.broker.answer = None
    # 500 shares at 98.46 of a cap of 50,000 USD: another 20 do not fit, whatever became of the first.
    over = await house.person(trader, "buy", "20")
    assert over.refused is not None
    assert over.refused.rule == "progressive_cap"
    assert (await house.person(trader, "buy", "1")).state == "filled"
    unsure = await house.person(trader, "sell", "2")
    assert unsure.refused is not None
    assert unsure.refused.rule == "insufficient_holding"
    house.broker.answer = SILENCE
    assert (await house.person(trader, "sell", "1")).state == "unknown"
    house.broker.answer = None
    twice = await house.person(trader, "sell", "1")
    assert twice.refused is not None
    assert twice.refused.rule == "insufficient_holding"
    await close_day(house)
    house.open_day(FIRST_DAY + timedelta(days=1))
    assert (await house.person(trader, "sell", "1")).state == "filled"


async def test_reserved_cash_cannot_be_spent_twice(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", initial_cash=Decimal(150))
    trader = await house.trader(1)
    house.broker.answer = SILENCE
    assert (await house.person(trader, "buy", "1")).state == "unknown"
    house.broker.answer = None
    refused = await house.person(trader, "buy", "1")
    assert refused.refused is not None
    assert refused.refused.rule == "insufficient_cash"


async def test_an_owner_withdraws_an_order_of_unknown_fate(house: House) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    house.broker.answer = SILENCE
    unknown = (await house.person(trader, "buy", "1")).order
    assert unknown is not None
    async with house.session() as session:
        with pytest.raises(NotFound):
            await house.execution.cancel(session, other, unknown.order_id)
        house.broker.cancels = SILENCE
        with pytest.raises(Unavailable):
            await house.execution.cancel(session, trader, unknown.order_id)
        house.broker.cancels = None
        assert (await house.execution.cancel(session, trader, unknown.order_id)).state == "cancelled"
        with pytest.raises(Conflict, match="cancelled"):
            await house.execution.cancel(session, trader, unknown.order_id)
    assert house.journal.events()[-1] == "order.cancelled"
    assert house.journal.records[-1].actor == trader.pseudonym


async def test_a_withdrawal_that_comes_too_late_books_the_fill(house: House) -> None:
    trader = await house.trader(1)
    house.broker.answer, house.broker.arrives = SILENCE, True
    unknown = (await house.person(trader, "buy", "1")).order
    assert unknown is not None
    async with house.session() as session:
        assert (await house.execution.cancel(session, trader, unknown.order_id)).state == "filled"
        with pytest.raises(Conflict, match="filled"):
            await house.execution.cancel(session, trader, unknown.order_id)
    assert house.journal.events()[-1] == "order.filled"


async def test_a_day_that_has_not_begun_or_was_not_looked_at_is_refused(house: House) -> None:
    with pytest.raises(Conflict, match="not begun"):
        await on_demand(house, FIRST_DAY + timedelta(days=1))
    async with house.database.reading() as session:
        with pytest.raises(NotFound):
            await house.reconciliation.outcomes(session, FIRST_DAY)


async def order_once(house: House, trader: Caller, *, crash: bool) -> None:
    """Place the same order under the same key; a crash undoes all that the venue has not seen."""
    async with house.session() as session:
        await run(Submission(session, trader, "the same", PersonIntent("AAPL", "buy", Decimal(1))), house.stages)
        if crash:
            raise Unavailable("the process dies after the venue has answered")


async def test_an_order_repeated_after_a_crash_is_the_venues_first_fill(house: House) -> None:
    trader = await house.trader(1)
    with pytest.raises(Unavailable):
        await order_once(house, trader, crash=True)
    assert [fill.account for fill in await house.broker.executions(FIRST_DAY)] == [trader.pseudonym]
    await order_once(house, trader, crash=False)
    assert len(await house.broker.executions(FIRST_DAY)) == 1
    # A fake journal forgets nothing that is rolled back; the books do.
    assert (await close_day(house)).differences == 0


async def test_a_fill_whose_order_was_lost_in_a_crash_is_found(house: House) -> None:
    trader = await house.trader(1)
    with pytest.raises(Unavailable):
        await order_once(house, trader, crash=True)
    assert (await close_day(house)).differences == 1
    assert len(completed(house)[-1].fields["missing_here"]) == 1
    assert len(await halted(house, trader)) == 1


def test_nothing_compared_with_nothing_agrees() -> None:
    assert compare([], []).differences() == 0
