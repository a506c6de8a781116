"""The risk gate's arithmetic against plain re-computation."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.broker.paper import PaperBroker, PaperRates
from backend.adapters.clock.replay import ReplayClock
from backend.compliance.types import ClearedDecision
from backend.decisions.types import Decision
from backend.kernel.clock import epoch_of
from backend.kernel.refusal import Refused
from backend.market.types import ReturnsWindow
from backend.ports.broker import Accepted, VenueOrder
from backend.risk.engine.check import Figures, Situation, exposure_of, judge
from backend.risk.types import Portfolio, RiskLimits

TODAY = date(2016, 6, 1)
LIMITS = RiskLimits(Decimal(50_000), Decimal(2_000), Decimal("0.15"), Decimal("0.0007"))
# Ninety days: AAA falls 1 % to 9 % on nine of them, BBB does the opposite.
FALLS = [-10_000 * (day + 1) if day < 9 else 0 for day in range(90)]
WINDOW = ReturnsWindow(
    ("AAA", "BBB"), epoch_of(TODAY), (Decimal(100), Decimal(50)), tuple((fall, -fall) for fall in FALLS)
)


def cleared(side: str, quantity: str, instrument: str = "AAA") -> ClearedDecision:
    amount, price = (
        Decimal(quantity),
        dict(zip(WINDOW.universe, WINDOW.prices, strict=True)).get(instrument, Decimal(1)),
    )
    decision = Decision(
        decision_id="d",
        account="a",
        kind="person",
        instrument=instrument,
        side="buy" if side == "buy" else "sell",
        quantity=amount,
        model_sha256=None,
        features=(),
        features_sha256="",
        q_values=(),
        action=side,
        decided_at=datetime(2016, 6, 1, 21, tzinfo=UTC),
    )
    return ClearedDecision(decision, 1, "0x", price, amount * price, 1, "")


def situation(cash: str = "100000", **holdings: str) -> Situation:
    portfolio = Portfolio(Decimal(cash), {name: Decimal(quantity) for name, quantity in holdings.items()})
    return Situation(portfolio, LIMITS, Decimal(50_000), LIMITS.var_limit, TODAY, TODAY, WINDOW)


def rule(outcome: Figures | Refused) -> str:
    return outcome.rule if isinstance(outcome, Refused) else ""


def test_the_var_is_the_fifth_largest_loss() -> None:
    figures = judge(cleared("buy", "100"), situation())
    assert isinstance(figures, Figures)
    # The five worst days are -9, -8, -7, -6 and -5 %: 5 % of 10,000 USD.
    assert figures.var == Decimal(500)
    assert (figures.exposure, figures.var_before) == (Decimal(10_000), Decimal(0))


@pytest.mark.parametrize(("limit", "refused"), [("500", ""), ("499.9999999999", "var_limit")])
def test_a_var_on_the_limit_passes_and_one_above_it_does_not(limit: str, refused: str) -> None:
    tight = replace(situation(), var_limit=Decimal(limit))
    assert rule(judge(cleared("buy", "100"), tight)) == refused


def test_the_expected_shortfall_is_the_mean_of_the_worst_days_and_a_half() -> None:
    figures = judge(cleared("buy", "100"), situation())
    assert isinstance(figures, Figures)
    # 90 days at 95 %: the mean of the worst 4.5, -9, -8, -7, -6 and half of -5 %, of 10,000 USD, rounded up to 1e-16.
    assert figures.es == Decimal("722.2222222222222223")
    assert figures.es_before == Decimal(0)


@pytest.mark.parametrize(("limit", "refused"), [("722.2222222222222223", ""), ("722.2222222222222222", "es_limit")])
def test_an_expected_shortfall_on_the_limit_passes_and_one_a_unit_above_it_does_not(limit: str, refused: str) -> None:
    tight = replace(situation(), limits=replace(LIMITS, es_limit=Decimal(limit)))
    outcome = judge(cleared("buy", "100"), tight)
    assert rule(outcome) == refused
    if isinstance(outcome, Refused):
        assert outcome.detail == {"value": "722.2222222222222223", "limit": limit}
    else:
        assert (tight.recorded()["es_limit"], outcome.recorded()["es"]) == (limit, limit)


def test_without_an_expected_shortfall_limit_none_is_judged() -> None:
    assert rule(judge(cleared("buy", "400"), situation())) == ""
    assert "es_limit" not in situation().recorded()


@pytest.mark.parametrize(("cap", "refused"), [("10000", ""), ("9999.99", "progressive_cap")])
def test_the_cap_holds_for_the_exposure_after_the_order(cap: str, refused: str) -> None:
    capped = replace(situation(AAA="40"), cap=Decimal(cap))
    assert rule(judge(cleared("buy", "60"), capped)) == refused


@pytest.mark.parametrize(("cash", "refused"), [("10007.010001", ""), ("10007.01", "insufficient_cash")])
def test_cash_must_cover_the_order_and_its_costs(cash: str, refused: str) -> None:
    assert rule(judge(cleared("buy", "100"), situation(cash))) == refused


@given(st.decimals("0.0001", "3000", places=4), st.decimals("0.000001", "10", places=6))
def test_what_passes_never_overdraws_the_account(price: Decimal, quantity: Decimal) -> None:
    slippage, fee = Decimal("0.0002"), Decimal("0.0005")
    limits = replace(LIMITS, cost_rate=(1 + slippage) * (1 + fee) - 1)
    broker = PaperBroker(lambda _name: price, PaperRates(slippage, fee), ReplayClock(datetime(2016, 6, 1, tzinfo=UTC)))
    fill = asyncio.run(broker.submit(VenueOrder("1", "account", "AAA", "buy", quantity)))
    assert isinstance(fill, Accepted)
    cost = fill.price * quantity + fill.fee
    order = replace(cleared("buy", str(quantity)), price=price, notional=price * quantity)
    short = cost - Decimal("0.0000000001")
    assert rule(judge(order, replace(situation(str(short)), limits=limits))) == "insufficient_cash"
    enough = cost + quantity * Decimal("0.0003") + Decimal("0.000003")
    assert rule(judge(order, replace(situation(str(enough)), limits=limits))) == ""


@pytest.mark.parametrize(("held", "refused"), [("10", ""), ("9.999999", "insufficient_holding")])
def test_nobody_sells_more_than_they_hold(held: str, refused: str) -> None:
    assert rule(judge(cleared("sell", "10"), situation(AAA=held))) == refused


def test_a_sale_that_lowers_the_var_passes_whatever_the_limits_say() -> None:
    shut = replace(situation(AAA="100"), cap=Decimal(0), var_limit=Decimal(0))
    assert rule(judge(cleared("sell", "50"), shut)) == ""


def test_a_sale_that_lowers_the_expected_shortfall_passes_and_one_that_raises_it_does_not() -> None:
    none = replace(LIMITS, es_limit=Decimal(0))
    assert rule(judge(cleared("sell", "50"), replace(situation(AAA="100"), limits=none))) == ""
    hedged = replace(situation(AAA="100", BBB="200"), limits=none)
    assert rule(judge(cleared("sell", "200", "BBB"), hedged)) == "es_limit"


def test_a_sale_that_takes_the_hedge_away_must_keep_the_var_limit() -> None:
    hedged = replace(situation(AAA="100", BBB="200"), var_limit=Decimal(400))
    assert rule(judge(cleared("sell", "200", "BBB"), hedged)) == "var_limit"
    assert rule(judge(cleared("sell", "200", "BBB"), replace(hedged, var_limit=Decimal(500)))) == ""


def test_an_order_beyond_the_maximum_is_refused_before_anything_is_computed() -> None:
    assert rule(judge(cleared("buy", "500.01"), situation("1000000"))) == "max_order_notional"


def test_a_stale_price_a_missing_history_and_a_stranger_are_refused() -> None:
    assert rule(judge(cleared("buy", "1"), replace(situation(), price_day=date(2016, 5, 31)))) == "stale_price"
    assert rule(judge(cleared("buy", "1"), replace(situation(), price_day=None))) == "stale_price"
    assert rule(judge(cleared("buy", "1"), replace(situation(), window=None))) == "no_history"
    assert rule(judge(cleared("buy", "1", "CCC"), situation())) == "outside_universe"


@given(st.decimals("0", "300", places=6), st.decimals("0.000001", "90", places=6))
def test_exposure_and_var_are_exact(held: Decimal, bought: Decimal) -> None:
    figures = judge(cleared("buy", str(bought)), situation(AAA=str(held)))
    assert isinstance(figures, Figures)
    assert figures.exposure == (held + bought) * 100
    assert figures.var == (held + bought) * 5
    assert figures.var_before == held * 5


def test_gross_exposure_ignores_empty_positions() -> None:
    assert exposure_of({"AAA": Decimal(1), "BBB": Decimal(2), "GONE": Decimal(0)}, WINDOW) == Decimal(200)
