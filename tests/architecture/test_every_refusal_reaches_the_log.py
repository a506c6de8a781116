"""Every rule that can say no is driven through the whole pipeline, and its no is found in log and order book."""

import ast
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.adapters.market_data.replay import ReplayMarketData
from backend.decisions.service import AgentIntent, PersonIntent
from backend.kernel.canonical import canonical_json
from backend.kernel.clock import epoch_of
from backend.kernel.fixed import to_units
from backend.kit.db import Database
from backend.kit.pagination import PageRequest
from backend.pipeline.stages import Submission, run
from backend.pipeline.types import Outcome
from backend.ports.broker import Rejected, Unknown
from backend.ports.governance import ModelState
from backend.ports.market_data import Panel
from backend.proofs.engine.kept import ClosedEpoch
from backend.proofs.repository import add_epoch
from backend.risk import repository as risk_repository
from backend.risk.service import EQUITY_DECIMALS
from backend.risk.types import HaltScope
from tests.backend.compliance.test_gate import Meddling
from tests.backend.pipeline.rooms import LIMITS, MARKET_DATA, House, add_model

Drive = Callable[[House, Path], Awaitable[Outcome]]


@dataclass(frozen=True)
class Case:
    """A rule, the gate that it belongs to, how the house stands, and what is tried."""

    gate: str
    rule: str
    drive: Drive
    setting: dict[str, Any]


async def buy(house: House, _folder: Path) -> Outcome:
    return await house.person(await house.trader(), "buy", "1")


async def with_a_silent_engine(house: House, _folder: Path) -> Outcome:
    house.policy.down = True
    return await house.person(await house.trader(), "buy", "1")


async def with_an_unapproved_model(house: House, folder: Path) -> Outcome:
    sha256 = add_model(house.models, folder, "buy_100")
    house.governance.states[sha256] = ModelState.APPROVED
    return await house.order(await house.trader(), AgentIntent(sha256, "AAPL"))


async def while_the_rules_change(house: House, _folder: Path) -> Outcome:
    trader, changing = await house.trader(), replace(house.stages, risk=Meddling(house.risk))
    async with house.session() as session:
        return await run(Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1))), changing)


async def without_a_credential(house: House, _folder: Path) -> Outcome:
    stranger = await house.trader()
    house.policy.refuses[stranger.address] = ("CredentialValidatorPolicy", "account identity validation failed")
    return await house.person(stranger, "buy", "1")


async def refused_by_nobody_in_particular(house: House, _folder: Path) -> Outcome:
    house.policy.nameless = True
    return await house.person(await house.trader(), "buy", "1")


async def while_halted(house: House, _folder: Path) -> Outcome:
    trader = await house.trader()
    async with house.session() as session:
        await house.switch.trip(session, HaltScope.ACCOUNT, "a test", trader)
    return await house.person(trader, "buy", "1")


async def after_a_drawdown(house: House, _folder: Path) -> Outcome:
    trader = await house.trader()
    assert (await house.person(trader, "buy", "1")).state == "filled"
    async with house.session() as session:
        own = await risk_repository.lock_limits(session, trader.account_id)
        own.peak_equity_units = to_units(Decimal(150_000), EQUITY_DECIMALS)
    return await house.person(trader, "buy", "1")


async def on_a_closed_day(house: House, _folder: Path) -> Outcome:
    trader, epoch = await house.trader(), epoch_of(house.clock.business())
    closed = ClosedEpoch(trader.pseudonym, trader.address, epoch, bytes(32), (), 0, 0, record_id=1, record_seq=1)
    async with house.session() as session:
        await add_epoch(session, closed)
    return await house.person(trader, "buy", "1")


class Twice:
    """A stage whose token is handed in a second time."""

    def __init__(self, stage: Any, method: str) -> None:
        self._stage = stage
        self._method = method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stage, name)
        if name != self._method:
            return found

        async def twice(*arguments: Any) -> Any:
            await found(*arguments)
            return await found(*arguments)

        return twice


async def with_a_judged_decision(house: House, folder: Path) -> Outcome:
    house.stages = replace(house.stages, risk=Twice(house.risk, "approve"))
    return await buy(house, folder)


async def with_a_used_approval(house: House, folder: Path) -> Outcome:
    house.stages = replace(house.stages, execution=Twice(house.execution, "execute"))
    return await buy(house, folder)


async def sell_nothing(house: House, _folder: Path) -> Outcome:
    return await house.person(await house.trader(), "sell", "1")


async def buy_too_much(house: House, _folder: Path) -> Outcome:
    return await house.person(await house.trader(), "buy", "600")


async def buy_while_new(house: House, _folder: Path) -> Outcome:
    return await house.person(await house.trader(opened=date(2016, 6, 1), reviewed=False), "buy", "2")


async def with_a_refusing_venue(house: House, folder: Path) -> Outcome:
    house.broker.answer = Rejected("the venue is closed")
    return await buy(house, folder)


class Narrow(ReplayMarketData):
    """A history that lacks an instrument which the market knows."""

    def history(self, day: date, length: int) -> Panel:
        """Return the history without the first instrument, AAPL."""
        whole = super().history(day, length)
        columns = (whole.open, whole.high, whole.low, whole.close, whole.volume, whole.adjusted)
        return Panel(whole.instruments[1:], whole.days, *(column[1:] for column in columns))


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SATURDAY = datetime(2016, 6, 4, 12, tzinfo=UTC)
EARLY = datetime.combine(MARKET_DATA.days()[50], datetime.min.time(), UTC).replace(hour=22)

CASES = [
    Case("compliance", "no_price", buy, {"start": LONG_AGO}),
    Case("compliance", "policy_unavailable", with_a_silent_engine, {}),
    Case("compliance", "model_not_in_production", with_an_unapproved_model, {}),
    Case("compliance", "CredentialValidatorPolicy", without_a_credential, {}),
    Case("compliance", "rules_changed", while_the_rules_change, {}),
    Case("compliance", "policy_engine", refused_by_nobody_in_particular, {}),
    Case("halted", "kill_switch", while_halted, {}),
    Case("halted", "drawdown", after_a_drawdown, {}),
    Case("risk", "epoch_closed", on_a_closed_day, {}),
    Case("risk", "token_used", with_a_judged_decision, {}),
    Case("risk", "stale_price", buy, {"start": SATURDAY}),
    Case("risk", "no_history", buy, {"start": EARLY}),
    Case("risk", "outside_universe", buy, {"risk_data": Narrow()}),
    Case("risk", "max_order_notional", buy_too_much, {}),
    Case("risk", "insufficient_holding", sell_nothing, {}),
    Case("risk", "insufficient_cash", buy, {"initial_cash": Decimal(50)}),
    Case("risk", "progressive_cap", buy_while_new, {}),
    Case("risk", "var_limit", buy, {"limits": replace(LIMITS, var_limit=Decimal(1))}),
    Case("risk", "es_limit", buy, {"limits": replace(LIMITS, es_limit=Decimal(1))}),
    Case("execution", "token_used", with_a_used_approval, {}),
    Case("execution", "venue_rejected", with_a_refusing_venue, {}),
]


# What becomes of an order of unknown fate later on: tests/backend/execution looks at it.
SETTLED = {"cancelled", "not_executed"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.gate}-{case.rule}")
async def test_a_refusal_is_recorded_and_kept(case: Case, database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", **case.setting)
    outcome = await case.drive(house, tmp_path / "made")
    assert outcome.state == "refused"
    assert outcome.refused is not None
    assert outcome.refused.reason
    record = house.journal.records[-1]
    assert record.event == "order.refused"
    assert (record.fields["gate"], record.fields["rule"]) == (case.gate, case.rule)
    assert record.fields["reason"] == outcome.refused.reason
    assert canonical_json(record.fields)
    async with database.reading() as session:
        page = await house.execution.orders(session, 1, PageRequest(), "refused")
    kept = page.items[0]
    assert (kept.gate, kept.rule, kept.state) == (case.gate, case.rule, "refused")
    assert kept.order_id == record.fields["order_id"]
    assert kept.record_account == record.account


async def test_a_halt_between_the_gates_stops_the_order_and_is_recorded(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models")
    trader = await house.trader()

    class HaltedMeanwhile(Twice):
        def __getattr__(self, name: str) -> Any:
            found = getattr(self._stage, name)
            if name != "approve":
                return found

            async def approve_then_halt(session: Any, *arguments: Any) -> Any:
                approved = await found(session, *arguments)
                await house.switch.trip(session, HaltScope.ACCOUNT, "meanwhile", trader)
                return approved

            return approve_then_halt

    house.stages = replace(house.stages, risk=HaltedMeanwhile(house.risk, "approve"))
    outcome = await house.person(trader, "buy", "1")
    assert outcome.refused is not None
    assert (outcome.refused.gate, outcome.refused.rule) == ("halted", "kill_switch")
    assert house.journal.events()[-1] == "order.refused"
    assert not house.broker.seen


async def test_an_order_of_unknown_fate_is_recorded_too(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models")
    house.broker.answer = Unknown("timeout")
    outcome = await house.person(await house.trader(), "buy", "1")
    assert (outcome.state, house.journal.events()[-1]) == ("unknown", "order.unknown")
    assert outcome.order is not None
    assert outcome.order.state == "unknown"


def rules_in_the_source() -> set[str]:
    """Return every rule that a refusal in backend names by a constant."""
    found = set()
    for path in Path("backend").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = {"Refused": 1, "_over": 0}.get(node.func.id)
            if place is not None and len(node.args) > place:
                found |= {
                    part.value
                    for part in ast.walk(node.args[place])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found


def test_every_rule_in_the_source_is_in_the_table() -> None:
    rules = rules_in_the_source()
    assert len(rules) > 10
    assert rules <= {case.rule for case in CASES} | SETTLED


def test_the_table_holds_no_rule_that_is_gone() -> None:
    assert rules_in_the_source() >= SETTLED
    assert {case.rule for case in CASES} - rules_in_the_source() == {"CredentialValidatorPolicy"}
