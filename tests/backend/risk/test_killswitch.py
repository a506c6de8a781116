"""The kill switch goes one way round, with a reason at every step, and anybody's word is not enough."""

from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.accounts.types import Role
from backend.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from backend.kit.db import Database
from backend.risk.engine.killswitch import moved, stops
from backend.risk.repository import lock_limits
from backend.risk.schemas import HaltIn
from backend.risk.types import HaltScope, SwitchState
from tests.backend.pipeline.rooms import House

ARMED, TRIPPED, REVIEW = SwitchState.ARMED, SwitchState.TRIPPED, SwitchState.REVIEW
STEPS = {(ARMED, TRIPPED), (TRIPPED, REVIEW), (REVIEW, ARMED)}
OPERATOR = frozenset({Role.OPERATOR})


@pytest.mark.parametrize(("state", "to"), list(product(SwitchState, repeat=2)))
def test_there_are_three_steps_and_no_others(state: SwitchState, to: SwitchState) -> None:
    if (state, to) in STEPS:
        assert moved(state, to, "because") is to
        return
    with pytest.raises(Conflict):
        moved(state, to, "because")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_step_needs_a_reason(reason: str) -> None:
    with pytest.raises(Invalid):
        moved(ARMED, TRIPPED, reason)


def test_only_armed_lets_orders_pass() -> None:
    assert [stops(state) for state in (ARMED, TRIPPED, REVIEW)] == [False, True, True]


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


async def test_an_account_halt_stops_that_account_only(house: House) -> None:
    halted, other = await house.trader(1), await house.trader(2)
    async with house.session() as session:
        await house.switch.trip(session, HaltScope.ACCOUNT, "a test", halted)
    assert (await house.person(halted, "buy", "1")).state == "refused"
    assert (await house.person(other, "buy", "1")).state == "filled"


async def test_another_trader_does_not_even_see_the_halt(house: House) -> None:
    halted, other = await house.trader(1), await house.trader(2)
    async with house.session() as session:
        halt = await house.switch.trip(session, HaltScope.ACCOUNT, "a test", halted)
        with pytest.raises(NotFound):
            await house.switch.review(session, halt.id, "let me in", other)
        with pytest.raises(NotFound):
            await house.switch.review(session, 999, "let me in", halted)


async def test_what_the_platform_tripped_its_owner_cannot_rearm(house: House) -> None:
    trader, operator = await house.trader(1), await house.trader(2, roles=OPERATOR)
    async with house.session() as session:
        halt = await house.switch.trip_account(session, trader.account_id, trader.address, "drawdown")
        with pytest.raises(Forbidden):
            await house.switch.review(session, halt.id, "fine", trader)
        await house.switch.review(session, halt.id, "looked at it", operator)
        rearmed = await house.switch.rearm(session, halt.id, "fine", operator)
    assert rearmed.state is ARMED
    assert (await house.person(trader, "buy", "1")).state == "filled"


async def test_the_platform_trips_a_stopped_account_no_second_time(house: House) -> None:
    trader = await house.trader()
    async with house.session() as session:
        first = await house.switch.trip_account(session, trader.account_id, trader.address, "one")
        second = await house.switch.trip_account(session, trader.account_id, trader.address, "two")
    assert first == second
    assert house.journal.events().count("halt.tripped") == 1


async def test_a_halt_of_its_owner_does_not_keep_the_platforms_away(house: House) -> None:
    trader, operator = await house.trader(1), await house.trader(2, roles=OPERATOR)
    async with house.session() as session:
        own = await house.switch.trip(session, HaltScope.ACCOUNT, "a rest", trader)
        await house.switch.review(session, own.id, "rested", trader)
        await house.switch.trip_account(session, trader.account_id, trader.address, "VaR above the limit")
    assert house.journal.records[-1].event == "halt.taken_over"
    async with house.session() as session:
        with pytest.raises(Forbidden):
            await house.switch.rearm(session, own.id, "let me in", trader)
        assert (await house.switch.rearm(session, own.id, "looked at it", operator)).state is ARMED


async def test_its_owner_cannot_have_the_drawdown_measured_afresh(house: House) -> None:
    trader = await house.trader()
    assert (await house.person(trader, "buy", "1")).state == "filled"
    async with house.session() as session:
        before = (await lock_limits(session, trader.account_id)).peak_equity_units
        halt = await house.switch.trip(session, HaltScope.ACCOUNT, "a rest", trader)
        await house.switch.review(session, halt.id, "rested", trader)
        await house.switch.rearm(session, halt.id, "go on", trader)
        assert before is not None
        assert (await lock_limits(session, trader.account_id)).peak_equity_units == before


async def test_nobody_judges_their_own_account(house: House) -> None:
    operator = await house.trader(1, roles=OPERATOR, reviewed=False)
    async with house.session() as session:
        halt = await house.switch.trip_account(session, operator.account_id, operator.address, "drawdown")
        with pytest.raises(Forbidden):
            await house.switch.review(session, halt.id, "fine", operator)
        with pytest.raises(Forbidden):
            await house.risk.record_review(session, operator, "splendid", actor=operator.pseudonym)
        with pytest.raises(Forbidden):
            await house.risk.set_var_limit(session, operator, Decimal(1), actor=operator.pseudonym)


async def test_every_move_is_recorded_with_its_reason(house: House) -> None:
    trader = await house.trader()
    async with house.session() as session:
        halt = await house.switch.trip(session, HaltScope.ACCOUNT, "first", trader)
        await house.switch.review(session, halt.id, "second", trader)
        await house.switch.rearm(session, halt.id, "third", trader)
    moves = [(record.event, record.fields["reason"]) for record in house.journal.records[-3:]]
    assert moves == [("halt.tripped", "first"), ("halt.reviewed", "second"), ("halt.rearmed", "third")]


async def test_after_a_drawdown_was_rearmed_equity_is_measured_afresh(house: House) -> None:
    trader, operator = await house.trader(1), await house.trader(2, roles=OPERATOR)
    await house.person(trader, "buy", "1")
    async with house.session() as session:
        own = await lock_limits(session, trader.account_id)
        assert own.peak_equity_units is not None
        own.peak_equity_units *= 2
    refused = await house.person(trader, "buy", "1")
    assert refused.refused is not None
    assert refused.refused.rule == "drawdown"
    async with house.session() as session:
        (halt,) = await house.switch.halts(session, trader.account_id)
        await house.switch.review(session, halt.id, "looked", operator)
        await house.switch.rearm(session, halt.id, "fine", operator)
    assert (await house.person(trader, "buy", "1")).state == "filled"


async def test_an_empty_book_never_trips(house: House) -> None:
    trader = await house.trader()
    async with house.session() as session:
        own = await lock_limits(session, trader.account_id)
        own.peak_equity_units = 10**16
    assert (await house.person(trader, "buy", "1")).state == "filled"


@pytest.mark.parametrize(("reason", "good"), [("too\nfast", True), ("a\x00b", False), ("\x00", False), (" \n", False)])
def test_a_reason_is_something_that_every_database_keeps(reason: str, good: bool) -> None:
    if good:
        assert HaltIn(reason=reason).reason == reason
        return
    with pytest.raises(ValidationError):
        HaltIn(reason=reason)
