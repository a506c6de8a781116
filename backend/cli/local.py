"""The local network: anvil as an OP-stack chain, the contracts on it, and the platform's HTTP server."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from backend.cli.services import Running, Services, free_port, refuse_taken
from backend.kernel.errors import Unavailable
from backend.settings import child_environment

ROOT = Path(__file__).resolve().parents[2]
FOUNDRY = ROOT / "node_modules" / "@foundry-rs"
# The platform's own program, not npm's wrapper around it: a wrapper that is killed leaves its child behind.
ANVIL = next(iter(sorted(FOUNDRY.glob("anvil-*/bin/anvil*"))), FOUNDRY / "anvil" / "bin" / "anvil")
APE = ROOT / "contracts" / ".venv" / "bin" / "ape"
DEPLOY_SECONDS = 180


def rpc(url: str, method: str, *parameters: object) -> Any:
    """Ask a JSON-RPC method of a local node."""
    try:
        answer = httpx.post(
            url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}, timeout=30
        ).json()
    except (httpx.HTTPError, json.JSONDecodeError) as silence:
        raise Unavailable(f"the chain at {url} does not answer: {silence}") from silence
    if "error" in answer:
        raise Unavailable(f"{method} failed: {answer['error'].get('message', answer['error'])}")
    return answer["result"]


def _answers(url: str) -> bool:
    try:
        return bool(rpc(url, "eth_chainId"))
    except Unavailable:
        return False


def start_chain(services: Services, chain_id: int, timestamp: int, port: int = 0) -> str:
    """Start anvil as an OP-stack chain whose clock begins at `timestamp`; return its RPC URL."""
    if not ANVIL.is_file():
        raise Unavailable("anvil is not installed: run `make setup`")
    if port:
        refuse_taken(port, "--rpc-port")
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        str(ANVIL), "--network", "optimism", "--chain-id", str(chain_id), "--port", str(port), "--host", "127.0.0.1",
        "--timestamp", str(timestamp), "--state", str(services.state_dir / "anvil"), "--preserve-historical-states",
        "--quiet",
    ]  # fmt: skip
    chain = services.start("anvil", command, url=url, environment=child_environment())
    services.await_ready(chain, lambda: _answers(url), 30)
    return url


def deploy(rpc_url: str, plan: Mapping[str, object], plan_file: Path, report: Callable[[str], None]) -> None:
    """Deploy and wire every contract with Ape from a written plan."""
    import subprocess

    if not APE.exists():
        raise Unavailable("Ape is not installed: run `make setup`")
    plan_file.write_text(json.dumps(plan, indent=1))
    environment = child_environment(deploy_plan=plan_file.absolute()) | {
        "APE_FOUNDRY_HOST": rpc_url,
        "APE_DATA_FOLDER": str(ROOT / ".refi" / "ape"),
        # Ape runs scripts/deploy/platform/deploy.py as the module deploy.platform.deploy
        "PYTHONPATH": str(ROOT / "scripts"),
    }
    command = [str(APE), "run", "deploy", "platform", "deploy", "--network", "ethereum:local:foundry"]
    report("ape run " + " ".join(command[2:5]))
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEPLOY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"the deployment did not end within {DEPLOY_SECONDS} s") from late
    if done.returncode:
        raise Unavailable(f"the deployment failed:\n{(done.stdout + done.stderr)[-3000:]}")


def start_api(services: Services, port: int, settings: Mapping[str, object]) -> Running:
    """Start the platform's HTTP server and wait until it is ready."""
    refuse_taken(port, "--port")
    url = f"http://127.0.0.1:{port}"
    environment = child_environment(**settings, port=port, public_url=url)
    api = services.start("api", [sys.executable, "-m", "backend.api"], url=url, environment=environment)

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    services.await_ready(api, ready, 60)
    return api


def start_worker(services: Services, settings: Mapping[str, object]) -> Running:
    """Start a Celery worker; jobs that wait are picked up as soon as it is there."""
    environment = child_environment(**settings)
    return services.start("worker", [sys.executable, "-m", "backend.worker"], url="", environment=environment)


def start_relay(services: Services, settings: Mapping[str, object]) -> Running:
    """Start the process that anchors the log; what is due is anchored as soon as it is there."""
    environment = child_environment(**settings)
    return services.start("relay", [sys.executable, "-m", "oracle.anchor_relay"], url="", environment=environment)


def start_watcher(services: Services, settings: Mapping[str, object]) -> Running:
    """Start the process that watches the rules on chain; without it every order asks them anew."""
    environment = child_environment(**settings)
    return services.start(
        "watcher", [sys.executable, "-m", "oracle.compliance_watcher"], url="", environment=environment
    )


def start_oracle(services: Services, settings: Mapping[str, object]) -> None:
    """Start the two publishers of returns: the second signs what it makes of its own data too."""
    environment = child_environment(**settings)
    for name in ("publisher", "countersigner"):
        services.start(name, [sys.executable, "-m", f"oracle.returns_{name}"], url="", environment=environment)
