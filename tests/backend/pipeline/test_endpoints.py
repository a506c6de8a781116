"""Orders over HTTP: one effect a key, refusals as problem documents, batches in order."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.compliance.service import ComplianceGate, CredentialService
from backend.decisions.service import DecisionService
from backend.execution.service import ExecutionService
from backend.kit.db import Database
from backend.market.service import MarketService
from backend.pipeline.service import OrderService
from backend.ports.governance import ModelState
from backend.risk.service import KillSwitch, RiskGate
from tests.backend.accounts.site import Site, local_settings, wallet
from tests.backend.pipeline.rooms import House, add_model
from tests.fakes import FakeClock

API = "/api/v1"
OPENED = datetime(2016, 1, 4, tzinfo=UTC)
ADMIN, TRADER, OPERATOR = wallet("admin"), wallet("trader"), wallet("operator")


@dataclass
class Floor:
    """A house behind HTTP with a signed-in trader, operator and admin."""

    house: House
    trader: httpx.AsyncClient
    operator: httpx.AsyncClient
    nobody: httpx.AsyncClient


@pytest.fixture
async def floor(database: Database, tmp_path: Path) -> AsyncIterator[Floor]:
    house = House(database, tmp_path / "models")
    services: dict[type, object] = {
        MarketService: house.market,
        DecisionService: house.decisions,
        ComplianceGate: house.compliance,
        CredentialService: CredentialService(house.chain, house.journal),
        RiskGate: house.risk,
        KillSwitch: house.switch,
        ExecutionService: house.execution,
        OrderService: OrderService(house.stages),
    }
    settings = local_settings(tmp_path, first_admin=ADMIN.address)
    site = Site(database, settings, FakeClock(business=OPENED), services=services)
    async with AsyncExitStack() as stack:
        admin, trader, operator, nobody = [await stack.enter_async_context(site.browser()) for _ in range(4)]
        for client, signer in ((admin, ADMIN), (trader, TRADER), (operator, OPERATOR)):
            (await site.sign_in(client, signer)).raise_for_status()
        granted = await admin.put(f"{API}/accounts/{OPERATOR.address}/roles", json={"roles": ["operator"]})
        granted.raise_for_status()
        reviewed = await operator.post(f"{API}/risk/reviews", json={"address": TRADER.address, "note": "fine"})
        assert reviewed.status_code == 201
        yield Floor(house, trader, operator, nobody)


def person(side: str, quantity: str, instrument: str = "AAPL") -> dict[str, Any]:
    return {"decision": {"kind": "person", "instrument": instrument, "side": side, "quantity": quantity}}


async def post(client: httpx.AsyncClient, body: Any, key: str = "k1", path: str = "/orders") -> httpx.Response:
    return await client.post(API + path, json=body, headers={"Idempotency-Key": key})


async def test_a_filled_order_comes_back_with_its_fill_and_its_record(floor: Floor) -> None:
    answer = await post(floor.trader, person("buy", "2.5"))
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert order["state"] == "filled"
    assert Decimal(order["fill"]["quantity"]) == Decimal("2.5")
    assert order["record"]["seq"] == 1 + sum(
        record.account == order["record"]["account"] for record in floor.house.journal.records[:-1]
    )
    listed = (await floor.trader.get(f"{API}/orders", params={"state": "filled"})).json()["orders"]
    assert [found["order_id"] for found in listed] == [order["order_id"]]
    detail = (await floor.trader.get(f"{API}/orders/{order['order_id']}")).json()
    assert detail["decision"]["kind"] == "person"
    assert detail["compliance"]["verdict"] == "allowed"
    assert detail["compliance"]["sender"]
    held = (await floor.trader.get(f"{API}/positions")).json()
    assert [position["instrument"] for position in held["positions"]] == ["AAPL"]
    assert Decimal(held["equity"]) < Decimal(100_000)


async def test_the_same_key_places_one_order_and_gives_one_answer(floor: Floor) -> None:
    first, second = [await post(floor.trader, person("buy", "1")) for _ in range(2)]
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(floor.house.broker.seen) == 1
    other = await post(floor.trader, person("buy", "2"))
    assert other.status_code == 422
    assert len(floor.house.broker.seen) == 1


async def test_a_refusal_is_a_problem_document_that_is_kept_and_replayed(floor: Floor) -> None:
    refused = await post(floor.trader, person("sell", "1"))
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["gate"], problem["rule"], problem["state"]) == ("risk", "insufficient_holding", "refused")
    assert floor.house.journal.events()[-1] == "order.refused"
    count = len(floor.house.journal.records)
    assert (await post(floor.trader, person("sell", "1"))).content == refused.content
    assert len(floor.house.journal.records) == count
    listed = (await floor.trader.get(f"{API}/orders", params={"state": "refused"})).json()["orders"]
    assert [found["order_id"] for found in listed] == [problem["order_id"]]


async def test_an_order_needs_a_key_and_a_caller(floor: Floor) -> None:
    assert (await floor.trader.post(f"{API}/orders", json=person("buy", "1"))).status_code == 422
    assert (await post(floor.nobody, person("buy", "1"))).status_code == 401
    assert not floor.house.broker.seen


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "0"}, 422),
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "-1"}, 422),
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "NaN"}, 422),
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "0.0000001"}, 422),
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "1e30"}, 422),
        ({"kind": "person", "instrument": "AAPL", "side": "hold", "quantity": "1"}, 422),
        ({"kind": "person", "instrument": "NOPE", "side": "buy", "quantity": "1"}, 404),
        ({"kind": "person", "instrument": "AAPL", "side": "buy", "quantity": "1", "model": "x"}, 422),
        ({"kind": "agent", "instrument": "AAPL", "model": "0" * 64}, 404),
        ({"kind": "agent", "instrument": "AAPL", "model": "../etc"}, 422),
        ({"kind": "oracle", "instrument": "AAPL"}, 422),
    ],
)
async def test_a_malformed_order_is_named_and_changes_nothing(
    floor: Floor, decision: dict[str, str], status: int
) -> None:
    answer = await post(floor.trader, {"decision": decision})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await floor.trader.get(f"{API}/orders")).json()["orders"] == []


async def test_a_batch_answers_in_order_and_one_fault_undoes_only_itself(floor: Floor) -> None:
    orders = [person("buy", "1"), person("sell", "5"), person("buy", "1", "NOPE"), person("sell", "1")]
    results = (await post(floor.trader, {"orders": orders}, path="/orders/batch")).json()["results"]
    assert [result["state"] for result in results] == ["filled", "refused", "error", "filled"]
    assert results[2]["status"] == 404
    again = (await post(floor.trader, {"orders": orders}, path="/orders/batch")).json()["results"]
    assert again == results
    assert len(floor.house.broker.seen) == 2


async def test_a_batch_holds_one_to_a_hundred_orders(floor: Floor) -> None:
    for count in (0, 101):
        answer = await post(floor.trader, {"orders": [person("buy", "1")] * count}, path="/orders/batch")
        assert answer.status_code == 422


async def test_an_agents_order_is_computed_here_and_shows_its_reasons(floor: Floor, tmp_path: Path) -> None:
    sha256 = add_model(floor.house.models, tmp_path / "made", "buy_25")
    order = {"decision": {"kind": "agent", "model": sha256, "instrument": "AAPL"}}
    early = await post(floor.trader, order, "early")
    assert early.status_code == 403
    assert early.json()["rule"] == "model_not_in_production"
    floor.house.governance.states[sha256] = ModelState.PRODUCTION
    placed = await post(floor.trader, order, "late")
    assert placed.status_code == 201, placed.text
    assert placed.json()["model"] == sha256
    # A sixteenth of the cap of 50,000 USD, and a quarter of that.
    assert Decimal(700) < Decimal(placed.json()["notional"]) <= Decimal(50_000) / 16 / 4
    decision = (await floor.trader.get(f"{API}/orders/{placed.json()['order_id']}")).json()["decision"]
    assert (decision["action"], len(decision["q_values"])) == ("buy_25", 9)
    assert len(decision["features"]) == 27
    assert floor.house.policy.asked[-1].model_sha256 == sha256
    record = floor.house.journal.records[-1].fields
    assert (record["model"], record["features"]) == (sha256, decision["features_sha256"])


async def test_holding_is_an_outcome_with_a_record_and_no_order(floor: Floor, tmp_path: Path) -> None:
    sha256 = add_model(floor.house.models, tmp_path / "made", "hold")
    floor.house.governance.states[sha256] = ModelState.PRODUCTION
    answer = await post(floor.trader, {"decision": {"kind": "agent", "model": sha256, "instrument": "AAPL"}})
    assert answer.status_code == 201
    assert answer.json()["state"] == "held"
    assert floor.house.journal.events()[-1] == "decision.held"
    assert (await floor.trader.get(f"{API}/orders")).json()["orders"] == []


async def test_a_halt_stops_orders_until_it_was_reviewed_and_rearmed(floor: Floor) -> None:
    halt = (await floor.trader.post(f"{API}/halts", json={"scope": "account", "reason": "enough"})).json()
    refused = await post(floor.trader, person("buy", "1"), "halted")
    assert refused.status_code == 423
    assert refused.json()["rule"] == "kill_switch"
    assert (await floor.trader.get(f"{API}/risk/me")).json()["halted"]
    too_early = await floor.trader.post(f"{API}/halts/{halt['id']}/rearm", json={"reason": "fine"})
    assert too_early.status_code == 409
    for step in ("review", "rearm"):
        moved = await floor.trader.post(f"{API}/halts/{halt['id']}/{step}", json={"reason": "looked"})
        assert moved.status_code == 200, moved.text
    assert (await post(floor.trader, person("buy", "1"), "rearmed")).status_code == 201
    assert not (await floor.trader.get(f"{API}/risk/me")).json()["halted"]


async def test_only_operators_stop_the_platform(floor: Floor) -> None:
    body = {"scope": "platform", "reason": "all of it"}
    assert (await floor.trader.post(f"{API}/halts", json=body)).status_code == 403
    halt = (await floor.operator.post(f"{API}/halts", json=body)).json()
    assert (await post(floor.trader, person("buy", "1"))).status_code == 423
    assert (await floor.trader.post(f"{API}/halts/{halt['id']}/review", json={"reason": "x"})).status_code == 404
    for step in ("review", "rearm"):
        assert (await floor.operator.post(f"{API}/halts/{halt['id']}/{step}", json={"reason": "x"})).status_code == 200
    assert (await post(floor.trader, person("buy", "1"), "after")).status_code == 201


async def test_the_operator_sets_a_var_limit_that_holds_at_once(floor: Floor) -> None:
    limit = {"address": TRADER.address, "var_limit": "1"}
    assert (await floor.trader.put(f"{API}/risk/limits", json=limit)).status_code == 403
    assert (await floor.operator.put(f"{API}/risk/limits", json=limit)).status_code == 200
    refused = await post(floor.trader, person("buy", "5"))
    assert refused.json()["rule"] == "var_limit"
    mine = (await floor.trader.get(f"{API}/risk/me")).json()
    assert Decimal(mine["var_limit"]) == 1
    assert Decimal(mine["cap"]) == 50_000
    seen = (await floor.operator.get(f"{API}/risk/{TRADER.address}")).json()
    assert seen == mine
    assert (await floor.trader.get(f"{API}/risk/{OPERATOR.address}")).status_code == 403


async def test_no_account_gets_a_var_limit_that_no_proof_could_keep(floor: Floor) -> None:
    policy = (await floor.trader.get(f"{API}/risk/me")).json()["var_limit"]
    for limit, status in ((policy, 200), (str(Decimal(policy) + 1), 422), ("-1", 422)):
        body = {"address": TRADER.address, "var_limit": limit}
        assert (await floor.operator.put(f"{API}/risk/limits", json=body)).status_code == status
    assert (await floor.trader.get(f"{API}/risk/me")).json()["var_limit"] == policy


async def test_an_order_is_its_owners_alone(floor: Floor) -> None:
    placed = (await post(floor.trader, person("buy", "1"))).json()
    assert (await floor.operator.get(f"{API}/orders/{placed['order_id']}")).status_code == 404
    assert (await floor.operator.get(f"{API}/orders")).json()["orders"] == []


async def test_the_market_shows_instruments_bars_and_its_clock(floor: Floor) -> None:
    source = (await floor.nobody.get(f"{API}/market/instruments")).json()
    assert len(source["instruments"]) == 16
    assert "MIT" in source["licence"]
    bars = (await floor.nobody.get(f"{API}/market/bars", params={"instrument": "AAPL", "length": 2})).json()["bars"]
    assert [bar["day"] for bar in bars] == ["2016-05-31", "2016-06-01"]
    assert (await floor.trader.post(f"{API}/market/clock/advance")).status_code == 403
    moved = (await floor.operator.post(f"{API}/market/clock/advance")).json()
    assert moved["day"] == "2016-06-02"
    assert (await floor.nobody.get(f"{API}/market/clock")).json() == moved


async def test_a_check_says_what_the_rules_would_and_places_nothing(floor: Floor) -> None:
    records = len(floor.house.journal.records)

    async def check(body: dict[str, Any]) -> dict[str, Any]:
        answer = await floor.trader.post(f"{API}/compliance/check", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    fine = await check(person("buy", "2"))
    close = floor.house.close("AAPL")
    assert close is not None
    assert (fine["verdict"], fine["policy"], fine["block_number"]) == ("allowed", "", 7)
    assert Decimal(fine["notional"]) == close * 2
    floor.house.policy.refuses[TRADER.address.lower()] = ("SanctionsPolicy", "account is sanctioned")
    refused = await check(person("buy", "2"))
    assert (refused["verdict"], refused["policy"]) == ("refused", "SanctionsPolicy")
    assert refused["reason"] == "account is sanctioned"
    floor.house.policy.down = True
    silent = await check(person("buy", "2"))
    assert (silent["verdict"], silent["policy"], silent["block_number"]) == ("refused", "policy_unavailable", None)
    assert len(floor.house.journal.records) == records
    assert not floor.house.broker.seen
    assert (await floor.trader.get(f"{API}/orders")).json()["orders"] == []


async def test_a_check_of_a_model_names_its_state_or_that_it_holds(floor: Floor, tmp_path: Path) -> None:
    buys = add_model(floor.house.models, tmp_path / "buys", "buy_25")
    holds = add_model(floor.house.models, tmp_path / "holds", "hold")
    found = []
    for model in (buys, holds):
        body = {"decision": {"kind": "agent", "model": model, "instrument": "AAPL"}}
        found.append((await floor.trader.post(f"{API}/compliance/check", json=body)).json())
    assert [answer["verdict"] for answer in found] == ["refused", "hold"]
    assert found[0]["policy"] == "model_not_in_production"
