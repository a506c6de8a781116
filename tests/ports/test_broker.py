"""The paper broker keeps the port's promises."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.broker.paper import PaperBroker, PaperRates, venue_order_id
from backend.kernel.errors import Unavailable
from backend.ports.broker import Accepted, Rejected, Side, VenueOrder
from tests.fakes import FakeClock

ACCOUNT = "account"
TODAY = FakeClock().business().date()
CLOSE = Decimal("98.4600")
RATES = PaperRates(slippage=Decimal("0.0002"), fee=Decimal("0.0005"))


def price(instrument: str) -> Decimal | None:
    return CLOSE if instrument == "AAPL" else None


def broker() -> PaperBroker:
    return PaperBroker(price, RATES, FakeClock())


def order(side: Side = "buy", quantity: str = "2", key: str = "one", instrument: str = "AAPL") -> VenueOrder:
    return VenueOrder(key, ACCOUNT, instrument, side, Decimal(quantity))


async def test_a_buy_pays_the_close_and_slippage_and_a_fee() -> None:
    answer = await broker().submit(order())
    assert isinstance(answer, Accepted)
    assert answer.price == Decimal("98.4797")
    assert answer.fee == Decimal("0.09848")
    assert answer.quantity == 2
    assert answer.executed_at == FakeClock().business()


async def test_a_sell_gets_the_close_less_slippage() -> None:
    answer = await broker().submit(order("sell"))
    assert isinstance(answer, Accepted)
    assert answer.price == Decimal("98.4403")


async def test_a_repeated_order_gets_the_first_answer() -> None:
    venue = broker()
    assert await venue.submit(order()) == await venue.submit(order())


async def test_another_order_under_the_same_id_is_rejected() -> None:
    venue = broker()
    await venue.submit(order())
    assert isinstance(await venue.submit(order(quantity="3")), Rejected)


async def test_the_venues_id_follows_from_ours_after_a_restart_too() -> None:
    first, second = await broker().submit(order()), await broker().submit(order())
    assert first == second
    assert venue_order_id("one") != venue_order_id("two")


async def test_an_instrument_without_a_price_and_an_empty_order_are_rejected() -> None:
    assert isinstance(await broker().submit(order(instrument="NOPE")), Rejected)
    assert isinstance(await broker().submit(order(quantity="0")), Rejected)


async def test_the_books_tell_every_fill_of_a_day_and_of_no_other() -> None:
    venue = broker()
    answers = [await venue.submit(order(key=key, quantity=size)) for key, size in (("one", "2"), ("two", "3"))]
    await venue.submit(order(key="none", instrument="NOPE"))
    told = await venue.executions(TODAY)
    assert [(one.client_order_id, one.account, one.fill) for one in told] == [
        (key, ACCOUNT, answer) for key, answer in zip(("one", "two"), answers, strict=True)
    ]
    assert await venue.executions(TODAY - timedelta(days=1)) == []


async def test_a_withdrawn_order_is_turned_away_and_a_filled_one_stays_filled() -> None:
    venue = broker()
    assert isinstance(await venue.cancel("one"), Rejected)
    assert isinstance(await venue.submit(order()), Rejected)
    assert isinstance(await venue.cancel("one"), Rejected)
    filled = await venue.submit(order(key="two"))
    assert await venue.cancel("two") == filled
    assert [one.client_order_id for one in await venue.executions(TODAY)] == ["two"]


async def test_books_in_a_file_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "venue" / "books.sqlite3"
    first = PaperBroker(price, RATES, FakeClock(), file)
    answer = await first.submit(order())
    await first.cancel("two")
    first.close()
    second = PaperBroker(price, RATES, FakeClock(), file)
    assert await second.submit(order()) == answer
    assert isinstance(await second.submit(order(key="two")), Rejected)
    assert len(await second.executions(TODAY)) == 1
    second.close()


async def test_books_that_do_not_open_are_no_answer(tmp_path: Path) -> None:
    (tmp_path / "books").write_bytes(b"not a database, but long enough to be looked at as one" * 10)
    with pytest.raises(Unavailable):
        await PaperBroker(price, RATES, FakeClock(), tmp_path / "books").executions(TODAY)


@given(st.decimals("0.000001", "1000", places=6), st.sampled_from(["buy", "sell"]))
async def test_a_round_trip_never_gains(quantity: Decimal, first: Side) -> None:
    venue, second = broker(), "sell" if first == "buy" else "buy"
    answers = [
        await venue.submit(VenueOrder("a", ACCOUNT, "AAPL", first, quantity)),
        await venue.submit(VenueOrder("b", ACCOUNT, "AAPL", "buy" if second == "buy" else "sell", quantity)),
    ]
    paid = Decimal(0)
    for side, answer in zip((first, second), answers, strict=True):
        assert isinstance(answer, Accepted)
        paid += (answer.price if side == "buy" else -answer.price) * answer.quantity + answer.fee
    assert paid >= 0
