"""The risk gate's arithmetic: one order against the limits, exact in Decimal and integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from backend.compliance.types import ClearedDecision
from backend.kernel.canonical import decimal_string
from backend.kernel.fixed import NOTIONAL_DECIMALS, PRECISION, PRICE_DECIMALS, QUANTITY_DECIMALS, to_units
from backend.kernel.refusal import Refused
from backend.market.types import ReturnsWindow
from backend.risk.engine.var import Book, book
from backend.risk.types import Portfolio, RiskLimits

PRICE_TICK, NOTIONAL_TICK = (Decimal(1).scaleb(-decimals) for decimals in (PRICE_DECIMALS, NOTIONAL_DECIMALS))


@dataclass(frozen=True, slots=True)
class Situation:
    """All that an order is judged by; money in USD.

    price_day: the day that the order's price belongs to. window: None when there is no history for a VaR.
    """

    portfolio: Portfolio
    limits: RiskLimits
    cap: Decimal
    var_limit: Decimal
    today: date
    price_day: date | None
    window: ReturnsWindow | None

    def recorded(self) -> dict[str, str]:
        """Return the limits in force as plain decimals."""
        shown = {
            "cap": decimal_string(self.cap),
            "var_limit": decimal_string(self.var_limit),
            "max_order_notional": decimal_string(self.limits.max_order_notional),
        }
        es_limit = self.limits.es_limit
        return shown if es_limit is None else shown | {"es_limit": decimal_string(es_limit)}


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the account stands before and after an order: gross exposure, VaR and expected shortfall, USD."""

    exposure: Decimal
    var_before: Decimal
    var: Decimal
    es_before: Decimal
    es: Decimal

    def recorded(self) -> dict[str, str]:
        """Return the figures as plain decimals."""
        return {
            "exposure": decimal_string(self.exposure),
            "var_before": decimal_string(self.var_before),
            "var": decimal_string(self.var),
            "es_before": decimal_string(self.es_before),
            "es": decimal_string(self.es),
        }


def judge(cleared: ClearedDecision, situation: Situation) -> Figures | Refused:
    """Return the figures after an order that is within every limit, else the first limit that is not kept."""
    instrument, window = cleared.decision.instrument, situation.window
    if situation.price_day != situation.today:
        return Refused("risk", "stale_price", f"the price of {instrument} is not of {situation.today}")
    if window is None:
        return Refused("risk", "no_history", f"a VaR needs {situation.limits.window} days of returns")
    if instrument not in window.universe:
        return Refused("risk", "outside_universe", f"{instrument} cannot be attested")
    refused = _not_affordable(cleared, situation)
    if refused is not None:
        return refused
    figures = figures_after(cleared, situation.portfolio, window, situation.limits.confidence)
    return _beyond(cleared, situation, figures) or figures


def _not_affordable(cleared: ClearedDecision, situation: Situation) -> Refused | None:
    order, limits, portfolio = cleared.decision, situation.limits, situation.portfolio
    holding = portfolio.sellable(order.instrument)
    with localcontext(prec=PRECISION):
        notional = order.quantity * cleared.price
        # A venue rounds price and fee: by less than a tick each.
        needed = order.quantity * (cleared.price * (1 + limits.cost_rate) + PRICE_TICK) + NOTIONAL_TICK
    if notional > limits.max_order_notional:
        return _over("max_order_notional", "the order", notional, limits.max_order_notional)
    if order.side == "sell" and order.quantity > holding:
        return _over("insufficient_holding", "the sale", order.quantity, holding)
    if order.side == "buy" and needed > portfolio.cash:
        return _over("insufficient_cash", "the order with its costs", needed, portfolio.cash)
    return None


def _beyond(cleared: ClearedDecision, situation: Situation, figures: Figures) -> Refused | None:
    selling, es_limit = cleared.decision.side == "sell", situation.limits.es_limit
    if not selling and figures.exposure > situation.cap:
        return _over("progressive_cap", "the exposure after the order", figures.exposure, situation.cap)
    # A sale that makes things no worse is let through, so that whoever is above a limit can come down.
    if figures.var > situation.var_limit and not (selling and figures.var <= figures.var_before):
        return _over("var_limit", "the VaR after the order", figures.var, situation.var_limit)
    if es_limit is not None and figures.es > es_limit and not (selling and figures.es <= figures.es_before):
        return _over("es_limit", "the expected shortfall after the order", figures.es, es_limit)
    return None


def figures_after(
    cleared: ClearedDecision, portfolio: Portfolio, window: ReturnsWindow, confidence: Decimal
) -> Figures:
    """Return gross exposure (USD at the window's closes) after an order, and the tail's figures before and after it."""
    order = cleared.decision
    signed = order.quantity if order.side == "buy" else -order.quantity
    before = book_of(portfolio.holdings, window)
    after = before.after(window.universe.index(order.instrument), to_units(signed, QUANTITY_DECIMALS))
    held = {**portfolio.holdings, order.instrument: portfolio.holdings.get(order.instrument, Decimal(0)) + signed}
    return Figures(
        exposure=exposure_of(held, window),
        var_before=before.var(confidence),
        var=after.var(confidence),
        es_before=before.es(confidence),
        es=after.es(confidence),
    )


def book_of(holdings: Mapping[str, Decimal], window: ReturnsWindow) -> Book:
    """Return the daily P&L of holdings over the window, exact."""
    quantities = [to_units(holdings.get(name, Decimal(0)), QUANTITY_DECIMALS) for name in window.universe]
    prices = [to_units(price, PRICE_DECIMALS) for price in window.prices]
    return book(quantities, prices, window.returns)


def exposure_of(holdings: Mapping[str, Decimal], window: ReturnsWindow) -> Decimal:
    """Return gross exposure in USD at the window's closes."""
    prices = dict(zip(window.universe, window.prices, strict=True))
    with localcontext(prec=PRECISION):
        return sum((abs(quantity) * prices[name] for name, quantity in holdings.items() if quantity), Decimal(0))


def _over(rule: str, what: str, value: Decimal, limit: Decimal) -> Refused:
    shown, allowed = decimal_string(value), decimal_string(limit)
    return Refused("risk", rule, f"{what} is {shown}, allowed is {allowed}", {"value": shown, "limit": allowed})
