"""What the log remembers of a decision and its order: canonical JSON values, all strings."""

from collections.abc import Mapping

from backend.accounts.types import Caller
from backend.compliance.types import ClearedDecision
from backend.decisions.types import Decision
from backend.execution.service import order_id_of
from backend.execution.types import Fill, InFlight
from backend.kernel.canonical import decimal_string
from backend.kernel.refusal import Refused
from backend.risk.types import ApprovedOrder


def decision_fields(decision: Decision, caller: Caller) -> dict[str, str]:
    """Return who decided what, and on which grounds."""
    return {
        "decision_id": decision.decision_id,
        "instrument": decision.instrument,
        "side": decision.side,
        "quantity": decimal_string(decision.quantity),
        "subject": caller.address,
        "investment_decision": caller.address,
        "model": decision.model_sha256 or "",
        "features": decision.features_sha256,
        "action": decision.action,
    }


def order_fields(decision: Decision, caller: Caller, **found: str) -> dict[str, str]:
    """Return what a trade audit needs of an order; what is not known stays empty."""
    return {
        **decision_fields(decision, caller),
        "order_id": order_id_of(decision.decision_id),
        "venue_order_id": "",
        "parent": "",
        "price": "",
        "notional": "",
        "fee": "",
        "type": "market",
        "time_in_force": "day",
        "capacity": "principal",
        "compliance_receipt": "",
        "risk_decision": "",
        "gate": "",
        "rule": "",
        "reason": "",
        **found,
    }


def cleared_fields(cleared: ClearedDecision) -> dict[str, str]:
    """Return what the compliance gate adds; the notional is the one that the rules were asked with."""
    return {"notional": decimal_string(cleared.notional), "compliance_receipt": cleared.receipt_sha256}


def approved_fields(approved: ApprovedOrder) -> dict[str, str]:
    """Return what both gates add."""
    return {**cleared_fields(approved.cleared), "risk_decision": approved.risk_decision}


def filled_fields(fill: Fill) -> dict[str, str]:
    """Return what the venue adds."""
    return {
        **approved_fields(fill.approved),
        "venue_order_id": fill.venue_order_id,
        "price": decimal_string(fill.price),
        "fee": decimal_string(fill.fee),
    }


def in_flight_fields(order: InFlight) -> dict[str, str]:
    """Return what is known of an order whose fate is not."""
    return {**approved_fields(order.approved), "rule": "in_flight", "gate": "execution", "reason": order.reason}


def refused_fields(refused: Refused, known: Mapping[str, str]) -> dict[str, str]:
    """Return which gate said no, by which rule, and why; `known` is what earlier gates had found."""
    detail = {
        name: refused.detail[name]
        for name in ("notional", "compliance_receipt", "risk_decision")
        if name in refused.detail
    }
    return {**known, **detail, "gate": refused.gate, "rule": refused.rule, "reason": refused.reason}
