"""On the whole application: an order is placed, years pass, its owner has it erased, and it is nowhere any more."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from backend.kernel.clock import close_of
from backend.kit.db import Database
from backend.kit.models import IdempotencyKey
from backend.risk.models import HaltRow
from backend.transparency.engine.verifier import verify
from tests.backend.api.whole import API, Floor, opened
from tests.backend.pipeline.rooms import FIRST_DAY

YEARS = timedelta(days=6 * 366)
GROUNDS = {"reason": "I leave", "legal_basis": "GDPR 17(1)(b)"}
BUY = {"decision": {"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "2.5"}}


@pytest.fixture
async def floor(database: Database, tmp_path: Path) -> AsyncIterator[Floor]:
    """Yield the whole application with an account a role."""
    async with opened(database, tmp_path) as made:
        yield made


async def order(client: httpx.AsyncClient, key: str = "first") -> httpx.Response:
    """Place an order."""
    return await client.post(f"{API}/orders", json=BUY, headers={"Idempotency-Key": key})


async def exported(floor: Floor, role: str, account: str) -> list[Any]:
    """Follow the links through an account's pages."""
    found: list[Any] = []
    path: str | None = f"{API}/evidence/accounts/{account}?limit=2"
    while path is not None:
        answer = await floor[role].get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        path = answer.links["next"]["url"] if "next" in answer.links else None
    return found


def files_of(database: Database) -> bytes:
    """Return every byte of the database's files."""
    path = Path(str(database.engine.url.database))
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


async def test_an_old_order_is_erased_everywhere_and_the_log_still_proves_its_place(floor: Floor) -> None:
    placed = await order(floor["trader"])
    assert placed.status_code == 201, placed.text
    order_id, decision_id = placed.json()["order_id"], placed.json().get("decision_id", "")
    await floor.whole.anchor()
    before = await exported(floor, "trader", "me")
    assert order_id.encode() in files_of(floor.whole.database)
    floor.whole.clock.set(close_of(FIRST_DAY) + YEARS)
    done = await floor["trader"].post(f"{API}/erasures", json=GROUNDS)
    assert done.status_code == 200, done.text
    assert done.json()["erased"] == sum(len(page["entries"]) for page in before)
    for gone in filter(None, (order_id, decision_id)):
        assert gone.encode() not in files_of(floor.whole.database)
    assert (await floor["trader"].get(f"{API}/orders")).json()["orders"] == []
    again = await order(floor["trader"])
    assert again.status_code == 410
    assert (await floor["trader"].get(f"{API}/orders")).json()["orders"] == []
    await floor.whole.anchor()
    after = await exported(floor, "trader", "me")
    seqs = [entry["disclosed"]["seq"]["value"] for page in after for entry in page["entries"]]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) == done.json()["erased"] + 1
    assert order_id not in json.dumps(after)
    contract, chain_id = floor.whole.anchoring.contract, floor.whole.anchoring.chain_id
    for page in (*before, *after):
        assert verify(json.dumps(page).encode(), contract=contract, chain_id=chain_id).ok


async def test_a_recent_order_stays_and_the_refusal_is_on_record(floor: Floor) -> None:
    placed = await order(floor["trader"])
    done = await floor["trader"].post(f"{API}/erasures", json=GROUNDS)
    assert done.json()["erased"] == 0
    assert done.json()["kept"] > 0
    assert (await floor.whole.entries())[-1].event == "erasure.refused"
    assert (await order(floor["trader"])).content == placed.content


async def test_nobody_sees_or_erases_anothers_without_the_role(floor: Floor) -> None:
    await floor.whole.anchor()
    mine, missing = floor.whole.pseudonyms["trader"], "A" * 43
    known = await floor.whole.count()
    for path in ("", "/heads"):
        seen = {
            role: [
                (await floor[role].get(f"{API}/evidence/accounts/{name}{path}")).status_code for name in (mine, missing)
            ]
            for role in ("stranger", "operator", "admin")
        }
        assert seen == {"stranger": [401, 401], "operator": [404, 404], "admin": [404, 404]}
    for role, status in {"stranger": 401, "operator": 403, "regulator": 403}.items():
        for name in (mine, missing):
            answer = await floor[role].post(f"{API}/erasures", json=GROUNDS | {"account": name})
            assert answer.status_code == status
    assert await floor.whole.count() == known
    assert [page["entries"][0]["disclosed"]["event"]["value"] for page in await exported(floor, "regulator", mine)][
        :1
    ] == ["account.opened"]


async def test_whoever_guesses_an_erased_order_cannot_test_the_guess(floor: Floor) -> None:
    assert (await order(floor["trader"])).status_code == 201
    floor.whole.clock.set(close_of(FIRST_DAY) + YEARS)
    assert (await floor["trader"].post(f"{API}/erasures", json=GROUNDS)).status_code == 200
    async with floor.whole.database.reading() as session:
        assert list(await session.scalars(select(IdempotencyKey.request_sha256))) == [""]
    other = {"decision": {**BUY["decision"], "quantity": "3"}}
    for body in (BUY, other):
        again = await floor["trader"].post(f"{API}/orders", json=body, headers={"Idempotency-Key": "first"})
        assert again.status_code == 410


async def test_a_halt_that_is_over_goes_with_the_records_of_it(floor: Floor) -> None:
    made = (await floor["trader"].post(f"{API}/halts", json={"reason": "my own affair"})).json()
    for step in ("review", "rearm"):
        moved = await floor["operator"].post(f"{API}/halts/{made['id']}/{step}", json={"reason": "looked at"})
        assert moved.status_code == 200
    floor.whole.clock.set(close_of(FIRST_DAY) + YEARS)
    done = await floor["admin"].post(f"{API}/erasures", json=GROUNDS | {"account": "system"})
    assert done.status_code == 200, done.text
    async with floor.whole.database.reading() as session:
        assert (await session.execute(select(HaltRow.subject, HaltRow.reason))).all() == [("", "")]


async def test_a_day_of_erased_orders_is_not_reconciled_again(floor: Floor) -> None:
    placed = (await order(floor["trader"])).json()
    floor.whole.clock.set(close_of(FIRST_DAY) + YEARS)
    assert (await floor["trader"].post(f"{API}/erasures", json=GROUNDS)).json()["erased"]
    again = await floor["operator"].post(f"{API}/reconciliations", json={"day": FIRST_DAY.isoformat()})
    assert again.status_code == 409
    assert "may be erased" in again.json()["detail"]
    assert not (await floor["trader"].get(f"{API}/risk/me")).json()["halted"]
    assert placed["order_id"].encode() not in files_of(floor.whole.database)
