"""Check that a demo's summary object holds what it promises: `python -m scripts.check_summary FILE`."""

import json
import sys
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
        "constraints": int,
        "prove_seconds": float,
        "tx_hash": str,
        "gas_used": int,
    },
    "evidence": str,
    "verify": {"ok": bool, "checks": list},
    "stages": list,
}
MINIMUM_ORDERS = 200
CHECKS = 16


def faults(value: Any, shape: Any, path: str = "summary") -> list[str]:
    """Return what differs from the shape, each with its place."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        missing = [f"{path}.{key} is missing" for key in shape.keys() - value.keys()]
        return missing + [
            fault for key in shape.keys() & value.keys() for fault in faults(value[key], shape[key], f"{path}.{key}")
        ]
    number = isinstance(value, int) and not isinstance(value, bool) and shape is float
    return [] if isinstance(value, shape) or number else [f"{path} is {type(value).__name__}, not {shape.__name__}"]


def broken_promises(summary: dict[str, Any]) -> list[str]:
    """Return the promises that a well-formed summary does not keep."""
    orders, checks = summary["orders"], summary["verify"]["checks"]
    promises = {
        "ok": summary["ok"] is True,
        f"at least {MINIMUM_ORDERS} orders filled": orders["filled"] >= MINIMUM_ORDERS,
        "every gate refused something": all(count > 0 for count in orders["refused"].values()),
        "the model is in production": summary["model"]["state"] == "production",
        f"{CHECKS} checks": len(checks) == CHECKS,
        "every check passes": all(check["result"] == "pass" for check in checks),
        "the anchor lies within the log": 0 < summary["anchor"]["size"] <= summary["log"]["size"],
    }
    return [promise for promise, kept in promises.items() if not kept]


def main() -> int:
    """Print what is wrong; exit 0 when nothing is."""
    summary = json.loads(Path(sys.argv[1]).read_text())
    wrong = faults(summary, SHAPE) or broken_promises(summary)
    for line in wrong:
        print(f"summary: {line}", file=sys.stderr)
    if not wrong:
        print(f"summary: as promised, {len(summary['verify']['checks'])} checks pass, {summary['seconds']} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
