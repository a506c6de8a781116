"""Attest one account day after day and let a stranger check all of it: `python -m scripts.attestation_chain`.

Trades real replayed days on a fresh local network, closes, anchors, publishes and attests each epoch, then verifies
every epoch's public pack with `refi verify` and the whole chain of attestations with `refi audit var`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from backend.cli.demo import stages
from backend.cli.demo.proof import anchored, attested
from backend.cli.demo.run import Plan, Run
from backend.cli.local import ROOT
from backend.cli.services import Services, exclusive
from backend.kernel.clock import epoch_of
from backend.kernel.errors import Conflict, Unavailable
from backend.settings import Settings, child_environment

PREPARATION = (
    stages.chain,
    stages.contracts,
    stages.backend,
    stages.login,
    stages.credential,
    stages.market_data,
    stages.train,
    stages.promote,
)
PAGE = 1000
UNASKED_SECONDS = 120


def say(line: str) -> None:
    """Print a line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def quiet(_line: str) -> None:
    """Say nothing of what goes on within a step."""


def attest_days(run: Run) -> list[dict[str, Any]]:
    """Trade, close, anchor, publish and attest each replayed day."""
    operator, trader = run.wallets["operator"], run.wallets["trader"]
    made = []
    for day in run.replayed:
        started = time.monotonic()
        operator.post("/market/clock/advance")
        orders = [run.agent_order(instrument) for instrument in run.summary["data"]["instruments"]]
        results = trader.post("/orders/batch", {"orders": orders}, key=day.isoformat())["results"]
        filled = sum(result.get("state") == "filled" for result in results)
        anchored(run, day, quiet)
        done, cid = attested(run, day, quiet) if run.plan.attest == "asked" else unasked(run, day)
        shown = (
            f"VaR {float(done['value']):9.4f}  ES {float(done['es']):9.4f}" if "value" in done else "figures not shown"
        )
        proving = f"{done['prove_seconds']:.2f} CPU s to prove  " if "prove_seconds" in done else ""
        spent = f"{done['gas_used']} gas  {proving}{time.monotonic() - started:.1f} s"
        say(f"{day}  {filled:2d} filled  {done['outcome']}  {shown}  {spent}")
        made.append({"epoch": epoch_of(day), "returns_cid": cid, "filled": filled, **done})
    return made


def unasked(run: Run, day: date) -> tuple[dict[str, Any], str]:
    """Publish a day's returns and wait until the platform has attested the trader's epoch by itself."""
    published = run.wallets["operator"].post("/returns/publish", {"day": day.isoformat()})
    asked = {"subject": run.wallets["trader"].address, "epoch": epoch_of(day)}
    deadline = time.monotonic() + UNASKED_SECONDS
    while time.monotonic() < deadline:
        for seen in run.wallets["stranger"].get("/proofs/var", **asked)["attestations"]:
            if seen["state"] in {"attested", "breached"}:
                return {"outcome": seen["state"], "gas_used": seen["gas_used"]}, published["cid"]
        time.sleep(0.5)
    raise Unavailable(f"{day} was not attested within {UNASKED_SECONDS} s")


def packs(run: Run, made: list[dict[str, Any]]) -> list[list[str]]:
    """Fetch every epoch's public pack; return what `refi verify` is asked for each."""
    folder = run.state_dir / "epochs"
    folder.mkdir()
    index_of = _closing_entries(run)
    commands = []
    for one in made:
        returns = folder / f"{one['epoch']}.returns.json"
        returns.write_bytes(run.wallets["trader"].download(f"/artifacts/{one['returns_cid']}"))
        pack = folder / f"{one['epoch']}.refi.json"
        pack.write_text(json.dumps(run.wallets["stranger"].get(f"/evidence/{index_of[one['epoch']]}")))
        commands.append([str(pack), "--network", run.settings.network, "--rpc", run.rpc_url, "--returns", str(returns)])
    return commands


def _closing_entries(run: Run) -> dict[int, int]:
    """Return epoch -> the index of the trader's `epoch.closed` entry."""
    found: dict[int, int] = {}
    after = 0
    while True:
        page = run.wallets["trader"].get("/evidence/accounts/me", after=after, limit=PAGE)
        for entry in page["entries"]:
            shown = {name: part["value"] for name, part in entry["disclosed"].items()}
            after = shown["seq"]
            if shown["event"] == "epoch.closed":
                found[shown["epoch"]] = entry["index"]
        if "heads" in page:
            return found


def refi(run: Run, *arguments: str) -> dict[str, Any]:
    """Run a verb as a stranger would and return what it answered in JSON."""
    environment = child_environment(deployments_dir=run.settings.deployments_dir.absolute())
    command = [sys.executable, "-m", "backend.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Conflict(f"refi {arguments[0]} printed nothing: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def verify(run: Run, made: list[dict[str, Any]]) -> bool:
    """Verify every pack, then the chain of attestations; return whether all of it holds."""
    good = 0
    for command in packs(run, made):
        report = refi(run, "verify", *command)
        checks = {check["name"]: check["result"] for check in report["checks"]}
        whole = report["ok"] and checks["VaR proof"] == checks["VaR binding"] == "pass"
        good += whole
        if not whole:
            say(f"{Path(command[0]).name}: {json.dumps(report)}")
    say(f"{good} of {len(made)} packs pass, VaR proof and VaR binding among their checks")
    subject = run.wallets["trader"].address
    chain = refi(run, "audit", "var", subject, "--network", run.settings.network, "--rpc", run.rpc_url)
    say(json.dumps({name: part for name, part in chain.items() if not isinstance(part, list)}))
    return good == len(made) and bool(chain["ok"])


def main() -> int:
    """Run everything on a network of its own, which ends with the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="trading days to attest (default 30)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the agent's training")
    parser.add_argument("--unasked", action="store_true", help="ask for no attestation: the platform attests by itself")
    asked = parser.parse_args()
    base = Settings()
    with exclusive(base.state_dir / "epochs.run"):
        services = Services((base.state_dir / "epochs").absolute())
        services.stop_all()
        shutil.rmtree(services.state_dir, ignore_errors=True)
        services.state_dir.mkdir(parents=True, mode=0o700)
        plan = Plan(days=asked.epochs, seed=asked.seed, attest="closed" if asked.unasked else "asked")
        run = Run(plan, base, services, {"ok": False})
        try:
            for stage in PREPARATION:
                say(stage(run, quiet))
            ok = verify(run, attest_days(run))
        finally:
            services.stop_all()
    say("ok" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
