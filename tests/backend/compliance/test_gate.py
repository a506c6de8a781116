"""The gate in the order's path: what was traded, verdicts that are kept a moment, rules that change, and silence."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.repository.rules import RulesSeen, lock_rules
from backend.compliance.repository.volumes import cumulative_of
from backend.compliance.service.remembered import MAX_KEPT, Remembered
from backend.compliance.types import ClearedDecision, GateTerms, Ruling
from backend.decisions.service import AgentIntent, PersonIntent
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.pipeline.stages import Submission, run
from backend.pipeline.types import Outcome
from backend.ports.broker import Rejected, Unknown
from backend.ports.governance import ModelState
from backend.ports.policy import OrderCheck, Verdict
from backend.risk.service import RiskGate
from backend.risk.types import ApprovedOrder, Portfolio
from tests.backend.pipeline.rooms import House, add_model
from tests.fakes import FakeClock

LIFETIME, GRACE, WATCHED = timedelta(seconds=5), timedelta(minutes=15), timedelta(seconds=2)
TERMS = GateTerms(LIFETIME, GRACE, WATCHED)
ON_PAPER = GateTerms(LIFETIME, GRACE, WATCHED, paper=True)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models", terms=TERMS)


async def watch(house: House, *, changed: bool = False) -> None:
    """Look at the chain as the watcher does."""
    async with house.session() as session:
        row = await lock_rules(session)
        row.seen_at = house.wall.wall()
        row.version += changed


async def traded(house: House, trader: Caller) -> int:
    async with house.session() as session:
        return await cumulative_of(session, trader.account_id)


def rule(outcome: Outcome) -> str:
    return "" if outcome.refused is None else outcome.refused.rule


def last(house: House) -> dict[str, str]:
    return dict(house.journal.records[-1].fields)


# --- what was traded


async def test_each_order_is_asked_with_what_was_traded_before_it(house: House) -> None:
    trader, other = await house.trader(1), await house.trader(2)
    for _ in range(2):
        await house.person(trader, "buy", "1.5")
    await house.person(trader, "sell", "1")
    await house.person(other, "buy", "1")
    first, second, third, others = house.policy.asked
    assert [first.cumulative, others.cumulative] == [0, 0]
    assert second.cumulative == first.notional
    # A sale is volume as a purchase is.
    assert third.cumulative == first.notional + second.notional
    assert await traded(house, trader) == (first.notional + second.notional + third.notional) * 10**6


@pytest.mark.parametrize(("answer", "counts"), [(Unknown("timeout"), True), (Rejected("closed"), False), (None, True)])
async def test_what_the_venue_may_have_counts_and_what_it_refused_does_not(
    answer: Unknown | Rejected | None, counts: bool, house: House
) -> None:
    trader = await house.trader()
    house.broker.answer = answer
    await house.person(trader, "buy", "1")
    assert bool(await traded(house, trader)) == counts


async def test_an_order_of_unknown_fate_stays_counted_when_it_is_cancelled(house: House) -> None:
    trader = await house.trader()
    house.broker.answer = Unknown("timeout")
    outcome = await house.person(trader, "buy", "1")
    assert outcome.order is not None
    before = await traded(house, trader)
    async with house.session() as session:
        settled = await house.execution.cancel(session, trader, outcome.order.order_id)
    assert settled.state == "cancelled"
    assert await traded(house, trader) == before > 0
    assert last(house)["compliance_verdict"] == "allowed"


async def test_an_order_that_a_gate_refused_is_no_volume(house: House) -> None:
    trader = await house.trader()
    assert rule(await house.person(trader, "sell", "1")) == "insufficient_holding"
    house.policy.refuses[trader.address] = ("SanctionsPolicy", "account is sanctioned")
    assert rule(await house.person(trader, "buy", "1")) == "SanctionsPolicy"
    assert await traded(house, trader) == 0


# --- rules that change


@dataclass
class Meddling:
    """The risk gate, while the rules change."""

    risk: RiskGate

    async def approve(
        self, session: AsyncSession, cleared: ClearedDecision, portfolio: Portfolio
    ) -> ApprovedOrder | Refused:
        """Approve, and let the watcher see a change."""
        (await lock_rules(session)).version += 1
        await session.flush()
        return await self.risk.approve(session, cleared, portfolio)

    async def cap(self, session: AsyncSession, account_id: int) -> Decimal:
        """Return the cap."""
        return await self.risk.cap(session, account_id)


async def test_rules_that_change_between_verdict_and_trade_stop_the_order(house: House) -> None:
    trader = await house.trader()
    changing = replace(house.stages, risk=Meddling(house.risk))
    async with house.session() as session:
        outcome = await run(Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1))), changing)
    assert outcome.refused is not None
    assert (outcome.refused.gate, outcome.refused.rule) == ("compliance", "rules_changed")
    assert not house.broker.seen
    assert await traded(house, trader) == 0
    # The record holds the verdict that no longer counts, and the rules that do.
    record = house.journal.records[-1]
    assert (record.event, record.fields["compliance_verdict"]) == ("order.refused", "allowed")
    assert record.fields["compliance_receipt"]
    assert record.policy.endswith("/1")
    assert (await house.person(trader, "buy", "1")).state == "filled"
    assert house.journal.records[-1].policy.endswith("/1")


# --- verdicts that are kept a moment


def question(**changes: Any) -> OrderCheck:
    return replace(OrderCheck("0x01", "AAPL", Decimal(10), None), **changes)


def said(version: int, at: datetime) -> Ruling:
    verdict = Verdict(
        allowed=True, engine="", target="", sender="", selector="", calldata_sha256="", block_number=1, block_hash="",
        policy="", reason="",
    )  # fmt: skip
    return Ruling("allowed", verdict, version, at)


def test_an_answer_counts_for_its_own_question_while_it_is_young_and_watched() -> None:
    clock = FakeClock()
    kept, seen = Remembered(clock, TERMS), RulesSeen(3, 7, "0x07", clock.wall())
    kept.keep(question(), said(3, clock.wall()))
    assert kept.ruling(question(), seen)
    for other in (
        question(subject="0x02"),
        question(instrument="MSFT"),
        question(notional=Decimal("10.000001")),
        question(model_sha256="ab" * 32),
        question(cumulative=Decimal(1)),
        question(paper=True),
    ):
        assert kept.ruling(other, seen) is None
    assert kept.ruling(question(), replace(seen, version=4)) is None
    assert kept.ruling(question(), replace(seen, seen_at=None)) is None
    assert kept.ruling(question(), replace(seen, seen_at=clock.wall() - WATCHED)) is None
    clock.advance(LIFETIME - timedelta(microseconds=1))
    assert kept.ruling(question(), replace(seen, seen_at=clock.wall()))
    clock.advance(timedelta(microseconds=1))
    assert kept.ruling(question(), replace(seen, seen_at=clock.wall())) is None
    clock.advance(-2 * LIFETIME)
    assert kept.ruling(question(), replace(seen, seen_at=clock.wall())) is None


def test_a_clock_that_is_set_back_makes_nothing_younger() -> None:
    clock = FakeClock()
    kept = Remembered(clock, TERMS)
    kept.keep(question(), said(3, clock.wall()))
    kept.went(1, said(3, clock.wall()))
    clock.advance(2 * LIFETIME)
    seen = RulesSeen(3, 7, "0x07", clock.wall())
    assert kept.ruling(question(), seen) is None
    assert kept.grace(1, seen)
    clock.advance(-LIFETIME - timedelta(seconds=1))
    seen = replace(seen, seen_at=clock.wall())
    assert kept.ruling(question(), seen) is None
    assert kept.grace(1, seen) is None


def test_without_a_lifetime_nothing_is_kept() -> None:
    clock = FakeClock()
    kept = Remembered(clock, replace(TERMS, cache_lifetime=timedelta(0)))
    kept.keep(question(), said(0, clock.wall()))
    assert kept.ruling(question(), RulesSeen(0, 0, "", clock.wall())) is None


def test_the_oldest_answers_make_room() -> None:
    clock = FakeClock()
    kept, seen = Remembered(clock, TERMS), RulesSeen(0, 0, "", clock.wall())
    for number in range(MAX_KEPT + 1):
        kept.keep(question(notional=Decimal(number)), said(0, clock.wall()))
    assert kept.ruling(question(notional=Decimal(0)), seen) is None
    assert kept.ruling(question(notional=Decimal(1)), seen)


async def test_a_kept_verdict_is_used_for_the_same_question_until_the_rules_change(house: House) -> None:
    trader = await house.trader()
    await watch(house)
    # Refused by the risk gate: the next one asks the same.
    await house.person(trader, "sell", "1")
    await house.person(trader, "sell", "1")
    assert len(house.policy.asked) == 1
    await watch(house, changed=True)
    house.policy.refuses[trader.address] = ("CredentialValidatorPolicy", "revoked")
    assert rule(await house.person(trader, "sell", "1")) == "CredentialValidatorPolicy"
    assert len(house.policy.asked) == 2


async def test_without_a_watcher_every_order_is_asked_about(house: House) -> None:
    trader = await house.trader()
    for _ in range(3):
        await house.person(trader, "sell", "1")
    assert len(house.policy.asked) == 3


# --- silence


async def test_a_silent_engine_refuses_purchases_and_lets_reductions_through_for_a_while(house: House) -> None:
    await watch(house)
    trader = await house.trader()
    bought = await house.person(trader, "buy", "2")
    assert bought.order is not None
    house.policy.down = True
    house.wall.advance(GRACE - timedelta(seconds=1))
    assert rule(await house.person(trader, "buy", "1")) == "policy_unavailable"
    # More than is held is no reduction, and neither is what somebody else never bought.
    assert rule(await house.person(trader, "sell", "2.000001")) == "policy_unavailable"
    assert rule(await house.person(await house.trader(2), "sell", "1")) == "policy_unavailable"
    sold = await house.person(trader, "sell", "1")
    assert sold.state == "filled"
    assert last(house)["compliance_verdict"] == "grace"
    assert sold.order is not None
    async with house.session() as session:
        receipt = await house.compliance.receipt(session, sold.order.compliance_receipt)
    assert (receipt["verdict"], receipt["block_number"]) == ("grace", 7)
    assert bought.order.compliance_receipt in receipt["reason"]
    assert receipt["calldata_sha256"] == "B" * 43
    # It is volume, and does not make the grace longer.
    assert await traded(house, trader) > 0
    house.wall.advance(timedelta(seconds=1))
    assert rule(await house.person(trader, "sell", "1")) == "policy_unavailable"


async def test_grace_ends_with_a_change_of_the_rules(house: House) -> None:
    await watch(house)
    trader = await house.trader()
    await house.person(trader, "buy", "2")
    house.policy.down = True
    assert (await house.person(trader, "sell", "1")).state == "filled"
    await watch(house, changed=True)
    assert rule(await house.person(trader, "sell", "1")) == "policy_unavailable"


async def test_who_traded_while_nobody_watched_gets_no_grace(house: House) -> None:
    trader = await house.trader()
    await watch(house)
    house.wall.advance(WATCHED)
    await house.person(trader, "buy", "2")
    house.policy.down = True
    assert rule(await house.person(trader, "sell", "1")) == "policy_unavailable"
    # A watcher that is back does not know what it missed before.
    await watch(house)
    house.policy.down = False
    await house.person(trader, "buy", "1")
    house.policy.down = True
    assert (await house.person(trader, "sell", "1")).state == "filled"


async def test_a_hold_that_a_fault_undid_is_a_watch_for_a_moment_only(house: House) -> None:
    trader = await house.trader()
    await watch(house)
    async with house.session() as session:
        submission = Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1)))
        assert (await run(submission, house.stages)).state == "filled"
        for number in range(2):
            sale = Submission(session, trader, f"s{number}", PersonIntent("AAPL", "sell", Decimal(5)))
            assert rule(await run(sale, house.stages)) == "insufficient_holding"
        assert len(house.policy.asked) == 2
        house.wall.advance(WATCHED)
        sale = Submission(session, trader, "s", PersonIntent("AAPL", "sell", Decimal(5)))
        assert rule(await run(sale, house.stages)) == "insufficient_holding"
        assert len(house.policy.asked) == 3


async def test_an_order_that_nobody_watches_makes_no_later_one_watched(house: House) -> None:
    trader = await house.trader()
    async with house.session() as session:
        submission = Submission(session, trader, "k", PersonIntent("AAPL", "buy", Decimal(1)))
        assert (await run(submission, house.stages)).state == "filled"
        for number in range(2):
            sale = Submission(session, trader, f"s{number}", PersonIntent("AAPL", "sell", Decimal(5)))
            assert rule(await run(sale, house.stages)) == "insufficient_holding"
    assert len(house.policy.asked) == 3


async def test_grace_ends_with_a_refusal(house: House) -> None:
    await watch(house)
    trader = await house.trader()
    await house.person(trader, "buy", "2")
    house.policy.refuses[trader.address] = ("CredentialValidatorPolicy", "expired")
    await house.person(trader, "sell", "1")
    house.policy.down = True
    assert rule(await house.person(trader, "sell", "0.5")) == "policy_unavailable"


async def test_an_answer_that_makes_no_sense_gets_no_grace(house: House) -> None:
    await watch(house)
    trader = await house.trader()
    await house.person(trader, "buy", "2")
    house.policy.nonsense = True
    assert rule(await house.person(trader, "sell", "1")) == "policy_unavailable"


async def test_without_a_grace_a_silent_engine_refuses_everything(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", terms=replace(TERMS, grace=timedelta(0)))
    trader = await house.trader()
    await house.person(trader, "buy", "2")
    house.policy.down = True
    assert rule(await house.person(trader, "sell", "1")) == "policy_unavailable"


async def test_a_model_gets_no_grace(house: House, tmp_path: Path) -> None:
    trader = await house.trader()
    seller = add_model(house.models, tmp_path / "seller", "sell_100")
    house.governance.states[seller] = ModelState.PRODUCTION
    await house.person(trader, "buy", "2")
    house.policy.down = True
    assert rule(await house.order(trader, AgentIntent(seller, "AAPL"))) == "policy_unavailable"


async def test_a_cancellation_never_asks_the_rules(house: House) -> None:
    trader = await house.trader()
    house.broker.answer = Unknown("timeout")
    outcome = await house.person(trader, "buy", "1")
    assert outcome.order is not None
    house.policy.down = True
    await watch(house, changed=True)
    async with house.session() as session:
        assert (await house.execution.cancel(session, trader, outcome.order.order_id)).state == "cancelled"


# --- models that no vote stands behind


@pytest.mark.parametrize("state", [state for state in ModelState if state is not ModelState.PRODUCTION])
async def test_a_model_out_of_production_trades_on_paper_alone_and_marked_unless_it_was_revoked(
    state: ModelState, database: Database, tmp_path: Path
) -> None:
    on_paper = state is not ModelState.REVOKED
    for number, (terms, trades) in enumerate(((TERMS, False), (ON_PAPER, on_paper)), start=1):
        house = House(database, tmp_path / "models", terms=terms)
        trader = await house.trader(number)
        model = add_model(house.models, tmp_path / "made", "buy_25")
        house.governance.states[model] = state
        outcome = await house.order(trader, AgentIntent(model, "AAPL"))
        assert outcome.state == ("filled" if trades else "refused")
        assert last(house)["model_state"] == "unapproved"
        assert [order.paper for order in house.policy.asked] == [True] * trades
        assert rule(outcome) == ("" if trades else "model_not_in_production")


async def test_a_model_in_production_is_not_marked_as_one_on_paper(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", terms=ON_PAPER)
    model = add_model(house.models, tmp_path / "made", "buy_25")
    house.governance.states[model] = ModelState.PRODUCTION
    trader = await house.trader()
    assert (await house.order(trader, AgentIntent(model, "AAPL"))).state == "filled"
    assert last(house)["model_state"] == "production"
    await house.person(trader, "buy", "1")
    assert last(house)["model_state"] == ""
    assert not any(order.paper for order in house.policy.asked)


async def test_an_unapproved_models_order_of_unknown_fate_stays_marked(database: Database, tmp_path: Path) -> None:
    house = House(database, tmp_path / "models", terms=ON_PAPER)
    model, trader = add_model(house.models, tmp_path / "made", "buy_25"), await house.trader()
    house.broker.answer = Unknown("timeout")
    outcome = await house.order(trader, AgentIntent(model, "AAPL"))
    assert outcome.order is not None
    async with house.session() as session:
        await house.execution.cancel(session, trader, outcome.order.order_id)
    assert (house.journal.records[-1].event, last(house)["model_state"]) == ("order.cancelled", "unapproved")
