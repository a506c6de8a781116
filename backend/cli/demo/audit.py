"""The demo's last stage: a regulator witnesses the log, audits the whole of it, and asks for all of an account."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from backend.cli.demo.run import Run, Tell
from backend.cli.local import ROOT
from backend.cli.wallets import Wallet
from backend.kernel.errors import Conflict, Unavailable
from backend.settings import child_environment


def audit(run: Run, tell: Tell) -> str:
    """Run the regulator's three commands, each in a process of its own that trusts no answer."""
    folder = run.state_dir / "regulator"
    folder.mkdir(mode=0o700)
    key, named = _key_file(run.wallets["regulator"], folder), ["--network", run.settings.network, "--rpc", run.rpc_url]
    log_key = json.loads(Path(run.summary["evidence"]).read_text())["log_public_key"]
    tell("a witness looks at the log")
    witnessed = _refi(
        run, "witness", "--api", run.api_url, "--state", str(folder / "witness"), "--log-key", log_key, "--once"
    )
    tell("every leaf and every root of the log")
    whole = _refi(run, "audit", "log", "--api", run.api_url, "--log-key", log_key, *named)
    tell("every record of the trader's account, and what its closings follow from")
    trader = run.wallets["trader"].address
    account = _refi(run, "audit", "completeness", trader, "--wallet", str(key), "--api", run.api_url, *named)
    positions = account["positions"]
    if not positions["recorded"] or positions["follow"] < positions["recorded"]:
        raise Conflict(f"not every commitment of the trader was checked against the fills: {positions}")
    tell("one entry, proved as L1 would")
    on_l1 = _proved_for_l1(run, whole["size"] - 1, folder, named)
    run.summary["audit"] = {"witness": witnessed, "log": whole, "account": account, "l1": on_l1}
    return (
        f"witness cosigned {witnessed['size']} entries; {whole['size']} leaves and {whole['anchors']} anchors "
        f"recomputed; {account['records']} records of the trader, none left out, {positions['follow']} of "
        f"{positions['recorded']} position commitments follow from the fills; one entry proved for L1"
    )


def _proved_for_l1(run: Run, newest: int, folder: Path, named: list[str]) -> dict[str, Any]:
    """Prove an anchored entry against an output root of the L2, then check that file without any chain."""
    index = min(newest, run.summary["anchor"]["size"] - 1)
    pack = folder / "entry.refi.json"
    _refi(run, "audit", "prove", str(index), "--out", str(pack), "--api", run.api_url, *named, "--l2-proof", "latest")
    root = json.loads(pack.read_text())["anchor"]["l2_proof"]["output_root"]
    report = _refi(run, "verify", str(pack), "--network", run.settings.network, "--l1-output-root", root)
    said = next(check["detail"] for check in report["checks"] if check["name"] == "anchor on chain")
    if root not in said:
        raise Conflict(f"the anchor was not proved against the output root: {said}")
    return {"index": index, "output_root": root}


def _key_file(wallet: Wallet, folder: Path) -> Path:
    path = folder / "wallet.key"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(wallet.key.key.hex())
    return path


def _refi(run: Run, *arguments: str) -> dict[str, Any]:
    environment = child_environment(deployments_dir=run.settings.deployments_dir.absolute())
    command = [sys.executable, "-m", "backend.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise Unavailable(f"refi {' '.join(arguments[:2])} printed nothing: {done.stderr[-500:]}")
    if done.returncode:
        raise Conflict(f"refi {' '.join(arguments[:2])} refuses: {done.stdout[:1000]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
