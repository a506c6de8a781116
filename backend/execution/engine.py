"""What the log remembers of a decision and its order, and how our fills compare with the venue's."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from backend.accounts.types import Caller
from backend.compliance.types import ClearedDecision
from backend.decisions.types import Decision
from backend.execution.types import Comparison, Fill, InFlight, Order
from backend.kernel.canonical import JsonValue, decimal_string, time_string
from backend.kernel.errors import Invalid
from backend.kernel.fixed import NOTIONAL_DECIMALS, PRICE_DECIMALS, QUANTITY_DECIMALS, to_units
from backend.kernel.refusal import Refused
from backend.ports.broker import Accepted, Execution
from backend.risk.types import ApprovedOrder

CURRENCY = "USD"
# What a refusal carries beside the figures that its gate looked at.
NOT_FIGURES = frozenset(
    {"notional", "compliance_receipt", "compliance_verdict", "risk_decision", "policy", "model_state"}
)
# What the books hold: a price below 2**32 units of 1e-4 USD, cash as a 64-bit number of 1e-10 USD.
MAX_PRICE_UNITS = 2**32 - 1
MAX_VALUE_UNITS = 2**60
MAX_FEE_UNITS = 2**40
MAX_VENUE_ORDER_ID = 64
MAX_REASON = 500
Fields = Mapping[str, JsonValue]


def order_id_of(decision_id: str) -> str:
    """Return a decision's order id: one decision, one order, one client order id at the venue."""
    return hashlib.sha256(b"refi/order/v1\x00" + decision_id.encode()).hexdigest()[:32]


def decision_fields(decision: Decision, caller: Caller) -> dict[str, JsonValue]:
    """Return who decided what, and on which grounds."""
    return {
        "decision_id": decision.decision_id,
        "instrument": decision.instrument,
        "side": decision.side,
        "quantity": decimal_string(decision.quantity),
        "subject": caller.address,
        "investment_decision": caller.address,
        "execution_decision": decision.model_sha256 or caller.address,
        "model": decision.model_sha256 or "",
        "features": decision.features_sha256,
        "action": decision.action,
    }


def order_fields(decision: Decision, caller: Caller, **found: JsonValue) -> dict[str, JsonValue]:
    """Return what a trade audit needs of an order; what is not known stays empty."""
    return {
        **decision_fields(decision, caller),
        "order_id": order_id_of(decision.decision_id),
        "venue": "",
        "venue_order_id": "",
        "parent": "",
        "price": "",
        "currency": CURRENCY,
        "notional": "",
        "fee": "",
        "executed_at": "",
        "type": "market",
        "time_in_force": "day",
        "capacity": "principal",
        "model_state": "",
        "compliance_verdict": "",
        "compliance_receipt": "",
        "risk_verdict": "",
        "risk_decision": "",
        "risk_figures": {},
        "gate": "",
        "rule": "",
        "reason": "",
        "reconciliation": "",
        **found,
    }


def cleared_fields(cleared: ClearedDecision) -> dict[str, JsonValue]:
    """Return what the compliance gate adds; the notional is the one that the rules were asked with."""
    return {
        "notional": decimal_string(cleared.notional),
        "model_state": cleared.model_state,
        "compliance_verdict": cleared.verdict,
        "compliance_receipt": cleared.receipt_sha256,
    }


def approved_fields(approved: ApprovedOrder) -> dict[str, JsonValue]:
    """Return what both gates add."""
    return {
        **cleared_fields(approved.cleared),
        "risk_verdict": "approved",
        "risk_decision": approved.risk_decision,
        "risk_figures": dict(approved.figures),
    }


def filled_fields(fill: Fill) -> dict[str, JsonValue]:
    """Return what the venue adds."""
    return {**approved_fields(fill.approved), **fill_fields(fill.venue, fill.answer)}


def fill_fields(venue: str, fill: Accepted) -> dict[str, JsonValue]:
    """Return a fill as the venue reports it."""
    return {
        "venue": venue,
        "venue_order_id": fill.venue_order_id,
        "price": decimal_string(fill.price),
        "fee": decimal_string(fill.fee),
        "executed_at": time_string(fill.executed_at),
    }


def in_flight_fields(order: InFlight) -> dict[str, JsonValue]:
    """Return what is known of an order whose fate is not."""
    found = {"venue": order.venue, "rule": "in_flight", "gate": "execution", "reason": order.reason}
    return {**approved_fields(order.approved), **found}


def kept_fields(order: Order, judged: Mapping[str, str], figures: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return what both gates said of an order that is kept; figures are those of its risk decision."""
    return {
        "notional": "" if order.notional is None else decimal_string(order.notional),
        **judged,
        "compliance_receipt": order.compliance_receipt,
        "risk_verdict": "approved",
        "risk_decision": order.risk_decision,
        "risk_figures": dict(figures),
    }


def refused_fields(refused: Refused, known: Fields) -> dict[str, JsonValue]:
    """Return which gate said no, by which rule, and why; `known` is what earlier gates had found."""
    named = ("notional", "model_state", "compliance_receipt", "risk_decision")
    found: dict[str, JsonValue] = {**known, **{name: refused.detail[name] for name in named if name in refused.detail}}
    figures = {name: text for name, text in refused.detail.items() if name not in NOT_FIGURES}
    match refused.gate:
        # What was allowed stays so in the record, with the rule that stopped it later.
        case "compliance" if "compliance_verdict" not in found:
            found["compliance_verdict"] = "refused"
        case "risk" | "halted" if "risk_verdict" not in found:
            found |= {"risk_verdict": "refused", "risk_figures": figures}
        case _:
            pass
    return {**found, "gate": refused.gate, "rule": refused.rule, "reason": refused.reason}


def bookable(fill: Accepted, quantity: Decimal) -> bool:
    """Return whether a fill is one of an order of this quantity, in numbers that the books can hold."""
    if not all(amount.is_finite() for amount in (fill.quantity, fill.price, fill.fee)) or fill.quantity != quantity:
        return False
    try:
        price, fee = to_units(fill.price, PRICE_DECIMALS), to_units(fill.fee, NOTIONAL_DECIMALS)
    except Invalid:
        return False
    return (
        0 < price <= MAX_PRICE_UNITS
        and to_units(quantity, QUANTITY_DECIMALS) * price <= MAX_VALUE_UNITS
        and abs(fee) <= MAX_FEE_UNITS
        and 0 < len(fill.venue_order_id) <= MAX_VENUE_ORDER_ID
        and fill.venue_order_id.isprintable()
        and fill.executed_at.tzinfo is not None
    )


def told_reason(reason: str) -> str:
    """Return a venue's words as far as they are kept."""
    return "".join(letter for letter in reason[:MAX_REASON] if letter.isprintable())


def compare(orders: Iterable[Order], executions: Sequence[Execution]) -> Comparison:
    """Compare an account's filled orders of a day with the venue's executions, by order id."""
    ours = {order.order_id: order for order in orders if order.state == "filled"}
    theirs = {execution.client_order_id: execution for execution in executions}
    times = Counter(execution.client_order_id for execution in executions)
    both = ours.keys() & theirs.keys()
    differing = tuple(sorted(order_id for order_id in both if not agree(ours[order_id], theirs[order_id])))
    return Comparison(
        ours=len(ours),
        theirs=len(executions),
        matched=len(both) - len(differing),
        missing_here=tuple(sorted(theirs.keys() - ours.keys())),
        missing_there=tuple(sorted(ours.keys() - theirs.keys())),
        differing=differing,
        # What the venue fills twice under one id is a fill that we do not have.
        repeated=tuple(sorted(order_id for order_id, count in times.items() if count > 1)),
    )


def agree(order: Order, execution: Execution) -> bool:
    """Return whether an order and an execution tell the same fill."""
    fill = execution.fill
    ours = (order.instrument, order.side, order.quantity, order.price, order.fee, order.venue_order_id)
    return ours == (execution.instrument, execution.side, fill.quantity, fill.price, fill.fee, fill.venue_order_id)
