"""The demo's last stages: anchor the log, prove the VaR, write and verify an evidence pack."""

import json
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from backend.anchoring.types import ON_CHAIN
from backend.cli.demo.run import Run, Tell
from backend.cli.demo.voting import define_probe_policy
from backend.cli.local import ROOT
from backend.cli.wallets import Wallet
from backend.kernel.clock import epoch_of
from backend.kernel.errors import Conflict, Unavailable
from backend.kernel.fixed import PNL_DECIMALS, to_units
from backend.settings import child_environment

JOB_SECONDS = 300
ANCHOR_SECONDS = 60
SETTLED_SECONDS = 2.5


def anchor(run: Run, tell: Tell) -> str:
    """Close the last epoch, wait until every record is in the tree, and anchor it."""
    placed = anchored(run, run.replayed[-1], tell)
    run.summary["anchor"] = {key: placed[key] for key in ("size", "root", "tx_hash", "block_number", "gas_used")}
    if placed["index"] == 0:
        raise Conflict("there is no earlier anchor that the contract could have checked this one against")
    before = placed["index"] - 1
    return f"size {placed['size']}, {placed['gas_used']} gas; the contract checked that it extends anchor {before}"


def anchored(run: Run, day: date, tell: Tell) -> dict[str, Any]:
    """Close a day's epoch and return the anchor that holds every record made so far."""
    operator = run.wallets["operator"]
    operator.post("/epochs/close", {"epoch": epoch_of(day)})
    tell("epoch closed")
    checkpoint = _settled(operator)
    operator.post("/anchors")
    tell(f"anchoring {checkpoint['size']} entries")
    return _anchor_of(operator, checkpoint["size"])


def attested(run: Run, day: date, tell: Tell) -> tuple[dict[str, Any], str]:
    """Publish a day's returns and attest the trader's epoch; return the outcome and the CID of the returns' file."""
    published = run.wallets["operator"].post("/returns/publish", {"day": day.isoformat()})
    trader = run.wallets["trader"]
    done = _job(trader, trader.post("/proofs/var", {"subject": trader.address, "epoch": epoch_of(day)}), tell)
    return done, published["cid"]


def attest(run: Run, tell: Tell) -> str:
    """Publish the returns, attest VaR and expected shortfall on chain; show that lower limits cannot be proved."""
    done, run.facts["returns_cid"] = attested(run, run.replayed[-1], tell)
    if done["outcome"] != "attested":
        raise Conflict(f"the VaR was not attested: {done}")
    shown = "value", "limit", "es", "es_limit", "constraints", "prove_seconds", "tx_hash", "gas_used"
    run.summary["var"] = {key: done[key] for key in shown}
    var, es = (to_units(Decimal(done[name]), PNL_DECIMALS) for name in ("value", "es"))
    run.summary["var"]["one_unit_less"] = {
        "var": _not_proved(run, tell, "var", {"limit": var - 1}),
        "es": _not_proved(run, tell, "es", {"esLimit": es - 1}),
    }
    return (
        f"VaR {_cents(done['value'])} <= {done['limit']} and ES {_cents(done['es'])} <= {done['es_limit']} USD, "
        f"{done['constraints']} constraints, {done['prove_seconds']} s, {done['gas_used']} gas; "
        "one unit (1e-16 USD) less of either cannot be proved"
    )


def _not_proved(run: Run, tell: Tell, broken: str, limits: dict[str, int]) -> str:
    """Ask for a proof under a policy made for it, one limit a unit below what is so: no proof can exist."""
    probe = define_probe_policy(run, broken, limits)
    request = {"subject": run.wallets["trader"].address, "epoch": epoch_of(run.replayed[-1]), "policy_id": probe}
    done = _job(run.wallets["trader"], run.wallets["trader"].post("/proofs/var", request), tell)
    if (done["outcome"], done.get("broken")) != ("breach", [broken]):
        raise Conflict(f"a limit one unit too low was not refused: {done}")
    outcome: str = done["outcome"]
    return outcome


def _cents(amount: str) -> str:
    return f"{Decimal(amount):.2f}"


def evidence(run: Run, _tell: Tell) -> str:
    """Write the pack of one filled order, verify it as a stranger would, and break a copy."""
    trader = run.wallets["trader"]
    order = _last_agent_fill(trader, run.summary["anchor"]["size"])
    folder = run.state_dir / "evidence"
    folder.mkdir()
    pack = folder / f"{order['order_id']}.refi.json"
    pack.write_text(json.dumps(trader.get(f"/evidence/{order['entry_index']}/full"), indent=1))
    returns = folder / "returns.json"
    returns.write_bytes(trader.download(f"/artifacts/{run.facts['returns_cid']}"))
    named = ["--network", run.settings.network, "--rpc", run.rpc_url]
    files = ["--model", str(run.model_dir / "model.safetensors"), "--returns", str(returns)]
    report = _verify(run, pack, *named, *files)
    run.summary["log"] = _checkpoint(trader)
    run.summary["evidence"] = str(pack)
    run.summary["verify"] = {"ok": report["ok"], "checks": report["checks"]}
    run.facts["verify_command"] = " ".join(["refi", "verify", *map(_shown, (pack, *named, *files))])
    run.facts["verify_offline"] = " ".join(["refi", "verify", _shown(pack)])
    unnamed = _verify(run, pack)
    if "log not identified" not in unnamed["verdict"]:
        raise Conflict(f"without a named contract the verdict was {unnamed['verdict']!r}")
    failed = _verify_broken_copy(run, pack, named)
    passed = sum(check["result"] == "pass" for check in report["checks"])
    return f"{passed} of {len(report['checks'])} checks pass; one byte changed fails: {', '.join(failed)}"


def _shown(argument: object) -> str:
    """Return an argument as a person would type it: paths below the current folder are relative."""
    path = Path(str(argument))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(argument)


def _last_agent_fill(trader: Wallet, anchored: int) -> dict[str, Any]:
    for order in trader.get("/orders", state="filled", limit=200)["orders"]:
        if order["model"] and order["entry_index"] is not None and order["entry_index"] < anchored:
            found: dict[str, Any] = order
            return found
    raise Conflict("no filled order of the agent lies under the anchor")


def _verify(run: Run, pack: Path, *options: str) -> dict[str, Any]:
    """Run `refi verify` as a stranger: a process of its own that knows nothing of this run."""
    environment = child_environment(deployments_dir=run.settings.deployments_dir.absolute())
    command = [sys.executable, "-m", "backend.cli", "verify", str(pack), *options, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Unavailable(f"refi verify printed nothing: {done.stderr[-500:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _verify_broken_copy(run: Run, pack: Path, named: list[str]) -> list[str]:
    document = json.loads(pack.read_text())
    entry = document["entries"][0]["entry"]
    swapped = "A" if entry[6] != "A" else "B"
    document["entries"][0]["entry"] = entry[:6] + swapped + entry[7:]
    broken = pack.with_name("broken.refi.json")
    broken.write_text(json.dumps(document, indent=1))
    report = _verify(run, broken, *named)
    failed = [check["name"] for check in report["checks"] if check["result"] == "fail"]
    if report["ok"] or not failed:
        raise Conflict("a pack with one byte changed was accepted")
    return failed


def _checkpoint(wallet: Wallet) -> dict[str, Any]:
    """Return the size and root of the log's newest checkpoint, a C2SP signed note."""
    _origin, size, root, *_rest = wallet.download("/log/checkpoint").decode().splitlines()
    return {"size": int(size), "root": root}


def _settled(wallet: Wallet) -> dict[str, Any]:
    """Return the checkpoint that holds every record made so far: the sequencer takes at most an interval."""
    seen, since = _checkpoint(wallet), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        time.sleep(0.2)
        now = _checkpoint(wallet)
        if now["size"] > seen["size"]:
            seen, since = now, time.monotonic()
    return seen


def _anchor_of(wallet: Wallet, size: int) -> dict[str, Any]:
    """Return the anchor that holds the first `size` entries, once it is mined."""
    deadline = time.monotonic() + ANCHOR_SECONDS
    while time.monotonic() < deadline:
        for placed in wallet.get("/log/anchors")["anchors"]:
            if placed["size"] >= size and placed["state"] in ON_CHAIN:
                found: dict[str, Any] = placed
                return found
        time.sleep(0.2)
    raise Unavailable(f"no anchor of {size} entries was mined within {ANCHOR_SECONDS} s")


def _job(wallet: Wallet, started: dict[str, Any], tell: Tell) -> dict[str, Any]:
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        job = wallet.get(f"/jobs/{started['job_id']}")
        if job["state"] == "done":
            result: dict[str, Any] = job["result"]
            return result
        if job["state"] in {"failed", "cancelled"}:
            raise Conflict(f"the proof {job['state']}: {job['error']}")
        tell(f"{job['state']} {job['progress']}")
        time.sleep(0.2)
    raise Unavailable(f"the proof did not end within {JOB_SECONDS} s")
