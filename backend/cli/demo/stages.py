"""The demo's first half: chain, contracts, server, people, credential, data, model, vote."""

import base64
import bisect
import json
import subprocess
import sys
from collections.abc import Callable

from backend.cli.demo.audit import audit
from backend.cli.demo.proof import anchor, attest, evidence
from backend.cli.demo.run import (
    CHAIN_ID,
    ES_LIMIT_USD,
    GOVERNANCE_LEAD,
    VAR_LIMIT_USD,
    Run,
    Tell,
    expect_rule,
    give_credential,
)
from backend.cli.demo.trading import trade
from backend.cli.demo.voting import vote_into_production
from backend.cli.local import ROOT, deploy, rpc, start_api, start_chain, start_worker
from backend.cli.services import free_port
from backend.cli.session import remember
from backend.cli.wallets import Wallet
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict, Unavailable
from backend.settings import Settings, child_environment

PEOPLE = ("admin", "operator", "trader", "stranger", "regulator", "voter")
ETHER = 10**18
# What a user may choose for a run by REFI_* settings; the rest is the run's own.
CHOSEN = ("database_url", "jobs", "content_store", "kubo_url", "log_level")


def chain(run: Run, _tell: Tell) -> str:
    """Start the L2 before the first replayed day."""
    from agents.train import TrainConfig
    from backend.adapters.market_data.replay import ReplayMarketData

    market = ReplayMarketData()
    first = TrainConfig().first_test
    start = bisect.bisect_left(market.days(), first)
    run.eve, *run.replayed = market.days()[start - 1 : start + run.plan.days]
    begin = close_of(run.eve) - GOVERNANCE_LEAD
    run.rpc_url = start_chain(run.services, CHAIN_ID, int(begin.timestamp()))
    run.summary["network"] = {"chain_id": CHAIN_ID, "rpc": run.rpc_url, "contracts": {}}
    return f"anvil --network optimism, chain {CHAIN_ID}, {run.rpc_url}, clock at {begin:%Y-%m-%d}"


def contracts(run: Run, tell: Tell) -> str:
    """Make the keys and wallets, then deploy and wire every contract with Ape."""
    from backend.bootstrap import deployment_plan, var_policy_id

    run.api_url = f"http://127.0.0.1:{free_port()}"
    run.wallets = {name: Wallet(name, run.api_url, CHAIN_ID) for name in PEOPLE}
    for wallet in run.wallets.values():
        rpc(run.rpc_url, "anvil_setBalance", wallet.address, hex(10 * ETHER))
    settings = _settings(run)
    run.facts["policy_id"] = var_policy_id(settings)
    plan = deployment_plan(settings, [run.wallets["voter"].address])
    deploy(run.rpc_url, plan, run.state_dir / "deploy-plan.json", tell)
    deployed = {
        path.stem: json.loads(path.read_text())["address"]
        for path in sorted(run.settings.deployment_dir.glob("[A-Z]*.json"))
    }
    run.summary["network"]["contracts"] = deployed
    return f"{len(deployed)} contracts, addresses in deployments/{run.settings.network}"


def backend(run: Run, _tell: Tell) -> str:
    """Start the platform's HTTP server on an empty database."""
    remember(run.state_dir, _environment(run))
    api = start_api(run.services, int(run.api_url.rsplit(":", 1)[1]), _environment(run))
    worker = "embedded"
    if run.settings.jobs == "celery":
        start_worker(run.services, _environment(run))
        worker = "Celery"
    return f"{api.url}/api/v1, {run.settings.database_backend}, worker {worker}"


def login(run: Run, _tell: Tell) -> str:
    """Sign every wallet in over HTTP; the admin grants the roles."""
    for wallet in run.wallets.values():
        wallet.sign_in()
    admin = run.wallets["admin"]
    for role in ("operator", "regulator"):
        wallet = run.wallets[role]
        admin.post(f"/accounts/{wallet.address}/roles", {"role": role})
        wallet.sign_in()
    shown = ("trader", "stranger", "regulator")
    run.summary["login"] = {name: run.wallets[name].address for name in shown}
    return "trader, stranger and regulator signed in with SIWE; roles granted by the admin"


def credential(run: Run, _tell: Tell) -> str:
    """Give the trader, not the stranger, a KYC credential on chain."""
    issued = give_credential(run)
    return f"common.kyc for the trader in {issued['tx_hash'][:18]}..., none for the stranger"


def market_data(run: Run, _tell: Tell) -> str:
    """Read the panel as the platform serves it."""
    source = run.wallets["trader"].get("/market/instruments")
    run.summary["data"] = {
        "source": source["source"],
        "licence": source["licence"],
        "instruments": source["instruments"],
        "first": source["first"],
        "last": source["last"],
    }
    return f"{len(source['instruments'])} instruments, {source['first']} to {source['last']}, {source['licence']}"


def train(run: Run, tell: Tell) -> str:
    """Train the agent in a process of its own and read its out-of-sample result."""
    run.model_dir = run.state_dir / "model"
    command = [
        sys.executable,
        "-m",
        "scripts.train",
        "--out",
        str(run.model_dir),
        "--seed",
        str(run.plan.seed),
        "--json",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = process.stderr
            last = ""
            for line in lines if lines is not None else ():
                last = line.strip() or last
                tell(last)
            printed = process.stdout.read() if process.stdout is not None else ""
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise Unavailable(f"the training failed: {last}")
    report = json.loads(printed)
    run.summary["evaluation"] = report["evaluation"]
    run.summary["model"] = {"sha256": report["sha256"]}
    agent, held = report["evaluation"]["agent"], report["evaluation"]["buy_and_hold"]
    return f"out of sample {agent['return']:+.2%} after costs, buy and hold {held['return']:+.2%}"


def promote(run: Run, tell: Tell) -> str:
    """Show that the model may not trade, then pin, propose, vote, queue and execute."""
    operator, trader = run.wallets["operator"], run.wallets["trader"]
    files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(run.model_dir.iterdir())}
    submitted = operator.post("/governance/models", {"files": files})
    orders = [run.agent_order(instrument) for instrument in run.summary["data"]["instruments"]]
    early = [one for one in trader.post("/orders/batch", {"orders": orders}, key="early")["results"] if "rule" in one]
    for problem in early:
        expect_rule(problem, "model_not_in_production")
    if not early:
        raise Conflict("a model that nobody voted for was not refused")
    proposal = vote_into_production(run, submitted["proposal"], tell)
    state = operator.get(f"/governance/models/{submitted['sha256']}")["state"]
    run.summary["model"] |= {
        "torchscript_cid": submitted["torchscript_cid"],
        "proposal_id": str(proposal),
        "state": state,
    }
    return f"{len(early)} orders refused before the vote; {state} after it, TorchScript {submitted['torchscript_cid']}"


def _environment(run: Run) -> dict[str, object]:
    chosen = {name: getattr(run.settings, name) for name in CHOSEN if name in run.settings.model_fields_set}
    if secret := run.settings.redis_url:
        chosen["redis_url"] = secret.get_secret_value()
    return chosen | {
        "state_dir": run.state_dir,
        "rpc_url": run.rpc_url,
        "chain_id": CHAIN_ID,
        "deployments_dir": run.settings.deployments_dir.absolute(),
        "network": run.settings.network,
        "first_admin": run.wallets["admin"].address,
        "first_business_day": run.eve.isoformat(),
        "var_limit_usd": VAR_LIMIT_USD,
        "es_limit_usd": ES_LIMIT_USD,
        "proving_keys_dir": run.settings.proving_keys_dir.absolute(),
        "login_attempts_per_minute": 60,
        "attest": run.plan.attest,
    }


def _settings(run: Run) -> Settings:
    return Settings(**_environment(run))  # type: ignore[arg-type]


STAGES: tuple[tuple[str, Callable[[Run, Tell], str]], ...] = (
    ("L2 up", chain),
    ("Deploy with Ape", contracts),
    ("Backend up", backend),
    ("Login", login),
    ("KYC", credential),
    ("Market data", market_data),
    ("Train", train),
    ("Pin and promote", promote),
    ("Trade", trade),
    ("Log and anchor", anchor),
    ("zk-VaR", attest),
    ("Evidence", evidence),
    ("Audit", audit),
)
