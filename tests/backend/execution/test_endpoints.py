"""Reconciliations over HTTP: counts for anybody, order ids for operators and regulators."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from backend.kit.db import Database
from backend.ports.broker import Unknown
from tests.backend.api.whole import API, Floor, opened

ORDER = {"decision": {"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "1"}}


@pytest.fixture
async def floor(database: Database, tmp_path: Path) -> AsyncIterator[Floor]:
    async with opened(database, tmp_path) as made:
        yield made


async def place(floor: Floor, key: str) -> str:
    """Place an order and return its id."""
    answer = await floor["trader"].post(f"{API}/orders", json=ORDER, headers={"Idempotency-Key": key})
    assert answer.is_success, answer.text
    return str(answer.json()["order_id"])


async def test_anybody_sees_counts_and_only_operators_and_regulators_see_orders(floor: Floor) -> None:
    lost = await place(floor, "one")
    floor.whole.broker.told = lambda books: books[1:]
    made = (await floor["operator"].post(f"{API}/reconciliations", json={})).json()
    assert (made["day"], made["venue"], made["ours"], made["theirs"]) == ("2016-06-01", "PAPER", 1, 0)
    listed = (await floor["stranger"].get(f"{API}/reconciliations")).json()
    assert listed == {"items": [made], "next_before": None}
    assert lost not in str(listed)
    for role in ("operator", "regulator"):
        (account,) = (await floor[role].get(f"{API}/reconciliations/2016-06-01")).json()["accounts"]
        assert account["missing_there"] == [lost]
        assert account["account"] == floor.whole.pseudonyms["trader"]
    assert (await floor["trader"].get(f"{API}/reconciliations/2016-06-01")).status_code == 403
    assert (await floor["regulator"].get(f"{API}/reconciliations/2016-06-02")).status_code == 404
    assert (await floor["regulator"].get(f"{API}/reconciliations/yesterday")).status_code == 422


async def test_a_halt_after_a_difference_is_not_lifted_by_the_account_it_stops(floor: Floor) -> None:
    await place(floor, "one")
    floor.whole.broker.told = lambda books: books[1:]
    await floor["operator"].post(f"{API}/reconciliations", json={})
    (halt,) = (await floor["trader"].get(f"{API}/risk/me")).json()["halts"]
    assert (halt["scope"], halt["by_system"]) == ("account", True)
    asked = {"reason": "looked at"}
    assert (await floor["trader"].post(f"{API}/halts/{halt['id']}/review", json=asked)).status_code == 403
    for step in ("review", "rearm"):
        assert (await floor["operator"].post(f"{API}/halts/{halt['id']}/{step}", json=asked)).status_code == 200
    await place(floor, "two")


async def test_a_day_opens_only_once_the_venue_has_told_its_books(floor: Floor) -> None:
    await place(floor, "one")
    floor.whole.broker.silent = True
    assert (await floor["operator"].post(f"{API}/market/clock/advance")).status_code == 503
    assert (await floor["stranger"].get(f"{API}/market/clock")).json()["day"] == "2016-06-01"
    floor.whole.broker.silent = False
    assert (await floor["operator"].post(f"{API}/market/clock/advance")).json()["day"] == "2016-06-02"


async def test_positions_committed_to_at_the_close_hold_what_the_venue_filled_in_silence(floor: Floor) -> None:
    floor.whole.broker.answer, floor.whole.broker.arrives = Unknown("timeout"), True
    order = await place(floor, "one")
    assert (await floor["trader"].get(f"{API}/positions")).json()["positions"] == []
    assert (await floor["operator"].post(f"{API}/market/clock/advance")).status_code == 200
    events = [entry.event for entry in await floor.whole.entries() if entry.who == "trader"]
    assert events[-4:] == ["order.unknown", "order.filled", "reconciliation.completed", "epoch.closed"]
    detail = (await floor["trader"].get(f"{API}/orders/{order}")).json()
    assert (detail["state"], detail["decision"]["kind"]) == ("filled", "person")
    assert detail["record"]["seq"] == len(events) - 2
    (held,) = (await floor["trader"].get(f"{API}/positions")).json()["positions"]
    assert Decimal(held["quantity"]) == 1


async def test_a_filled_order_cannot_be_withdrawn_and_anothers_is_not_found(floor: Floor) -> None:
    order = await place(floor, "one")
    assert (await floor["trader"].delete(f"{API}/orders/{order}")).status_code == 409
    assert (await floor["operator"].delete(f"{API}/orders/{order}")).status_code == 404
    assert (await floor["stranger"].delete(f"{API}/orders/{order}")).status_code == 401
