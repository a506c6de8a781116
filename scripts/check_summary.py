"""Check that a demo's summary object holds what it promises: `python -m scripts.check_summary FILE`."""

import json
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

SHAPE: dict[str, Any] = {
    "ok": bool,
    "seconds": float,
    "network": {"chain_id": int, "rpc": str, "contracts": dict},
    "login": {"trader": str, "stranger": str, "regulator": str},
    "model": {"sha256": str, "torchscript_cid": str, "proposal_id": str, "state": str},
    "data": {"source": str, "licence": str, "instruments": list, "first": str, "last": str},
    "evaluation": {"agent": dict, "buy_and_hold": dict, "random": dict},
    "orders": {"decisions": int, "filled": int, "refused": {"compliance": int, "risk": int, "halted": int}},
    "log": {"size": int, "root": str},
    "anchor": {"size": int, "root": str, "tx_hash": str, "block_number": int, "gas_used": int},
    "var": {
        "value": str,
        "limit": str,
        "es": str,
        "es_limit": str,
        "constraints": int,
        "prove_seconds": float,
        "tx_hash": str,
        "gas_used": int,
        "one_unit_less": {"var": str, "es": str},
    },
    "evidence": str,
    "verify": {"ok": bool, "checks": list},
    "audit": {
        "witness": {"size": int, "cosigned": bool},
        "log": {"ok": bool, "size": int, "anchors": int, "checks": list},
        "account": {"ok": bool, "records": int, "anchors": int, "checks": list},
        "l1": {"index": int, "output_root": str},
    },
    "stages": list,
}
MINIMUM_ORDERS = 200
CHECKS = 16


def faults(value: Any, shape: Any, path: str = "summary") -> list[str]:
    """Return what differs from the shape, each with its place."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        missing = [f"{path}.{key} is missing" for key in shape if key not in value]
        return missing + [
            fault for key in shape if key in value for fault in faults(value[key], shape[key], f"{path}.{key}")
        ]
    # Python counts True as an int; JSON does not, and there 90 and 90.0 are one number.
    accepted: Any = {bool: bool, int: int, float: (int, float)}.get(shape, shape)
    good = isinstance(value, accepted) and isinstance(value, bool) == (shape is bool)
    return [] if good else [f"{path} is {type(value).__name__}, not {shape.__name__}"]


def check_faults(checks: Sequence[Any]) -> list[str]:
    """Return what differs from the shape of the verifier's checks."""
    return [
        fault
        for place, check in enumerate(checks)
        for fault in faults(check, {"name": str, "result": str, "detail": str}, f"summary.verify.checks[{place}]")
    ]


def at_most(amount: str, limit: str) -> bool:
    """Return whether one amount is no more than another; what is no number is not."""
    try:
        return Decimal(amount) <= Decimal(limit)
    except InvalidOperation:
        return False


def broken_promises(summary: dict[str, Any]) -> list[str]:
    """Return the promises that a well-formed summary does not keep."""
    orders, checks, var = summary["orders"], summary["verify"]["checks"], summary["var"]
    promises = {
        "ok": summary["ok"] is True,
        "the verifier says ok": summary["verify"]["ok"] is True,
        f"at least {MINIMUM_ORDERS} orders filled": orders["filled"] >= MINIMUM_ORDERS,
        "every gate refused something": all(count > 0 for count in orders["refused"].values()),
        "the model is in production": summary["model"]["state"] == "production",
        f"{CHECKS} checks": len(checks) == CHECKS,
        "every check passes": all(check["result"] == "pass" for check in checks),
        "the VaR keeps its limit": at_most(var["value"], var["limit"]),
        "the expected shortfall keeps its limit": at_most(var["es"], var["es_limit"]),
        "the expected shortfall is no less than the VaR": at_most(var["value"], var["es"]),
        "one unit less cannot be proved": set(var["one_unit_less"].values()) == {"breach"},
        "a witness cosigned the log": summary["audit"]["witness"]["cosigned"],
        "the whole log passes the audit": summary["audit"]["log"]["ok"],
        "nothing of the account is left out": summary["audit"]["account"]["ok"],
        "the anchor lies within the log": 0 < summary["anchor"]["size"] <= summary["log"]["size"],
    }
    return [promise for promise, kept in promises.items() if not kept]


def main() -> int:
    """Print what is wrong; exit 0 when nothing is."""
    try:
        [file] = sys.argv[1:]
        summary = json.loads(Path(file).read_text())
    except (OSError, ValueError) as unreadable:
        print(f"summary: name one file that holds the object: {unreadable}", file=sys.stderr)
        return 2
    wrong = faults(summary, SHAPE) or check_faults(summary["verify"]["checks"]) or broken_promises(summary)
    for line in wrong:
        print(f"summary: {line}", file=sys.stderr)
    if not wrong:
        print(f"summary: as promised, {len(summary['verify']['checks'])} checks pass, {summary['seconds']} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
