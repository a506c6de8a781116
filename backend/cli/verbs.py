"""The groups of verbs that work on a deployment; each does one thing and can answer in JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from backend.cli.app import Json, app, choose, run, show
from backend.cli.arguments import Address, wallet
from backend.cli.compliance.verbs import compliance
from backend.cli.gov import staking
from backend.cli.gov.verbs import agent_promote, gov
from backend.cli.onboarding.verbs import onboarding
from backend.cli.screening import verbs as screening
from backend.cli.zk.verbs import zk
from backend.kernel.errors import Invalid

Account = Annotated[str, typer.Argument(help="me, or for a regulator a pseudonym or a wallet.")]
Api = Annotated[str, typer.Option(help="The platform's address; else the one that runs here.")]
Network = Annotated[str, typer.Option(help="A network of deployments/, e.g. local.")]
Contract = Annotated[str, typer.Option(help="The AuditAnchor that you trust.")]
ChainId = Annotated[int, typer.Option(help="Its chain id.")]
Rpcs = Annotated[list[str] | None, typer.Option(help="A JSON-RPC URL; several are compared.")]
WalletKey = Annotated[Path, typer.Option("--wallet", help="A file with the wallet's key that signs in.")]


def group(name: str, text: str) -> typer.Typer:
    """Return a new group of verbs."""
    made = typer.Typer(name=name, help=text, no_args_is_help=True)
    app.add_typer(made)
    return made


log = group("log", "Read the audit log.")
audit = group("audit", "Check what the platform discloses; nothing that it says is trusted.")
agent = group("agent", "Train agents and look at models.")
risk = group("risk", "Look at an account's risk.")
app.add_typer(zk)
app.add_typer(onboarding)
app.add_typer(compliance)
screening.add_to(compliance)
app.add_typer(gov)
staking.add_to(gov)
agent.command("promote")(agent_promote)
keys = group("keys", "The platform's keys: addresses only, never secrets.")
db = group("db", "The database's schema.")
config = group("config", "The settings in force.")
halt = group("halt", "The kill switch of the whole platform.")


@app.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the HTTP server.")] = 8000,
    rpc_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the local chain.")] = 8545,
    admin: Annotated[str, typer.Option(help="The wallet that is the first admin.")] = "",
) -> None:
    """Start a fresh local network and the platform, and leave them running."""
    from backend.cli.up import start

    for line in start(port, rpc_port, admin):
        typer.echo(line)


@app.command()
def anchor(as_json: Json = False) -> None:
    """Anchor the newest checkpoint now and show the anchor."""
    from backend.anchoring.schemas import AnchorOut
    from backend.anchoring.service import AnchorService
    from backend.cli.session import with_platform

    async def work(platform: Any) -> dict[str, Any]:
        await platform.sequencer.integrate()
        return AnchorOut.of(await platform.service(AnchorService).anchor_now()).model_dump()

    placed = with_platform(work)
    if as_json:
        show(placed)
    else:
        typer.echo(f"anchor {placed['index']}: size {placed['size']}, {placed['state']}, {placed['tx_hash']}")


@log.command("checkpoint")
def log_checkpoint() -> None:
    """Print the newest signed checkpoint (a C2SP signed note)."""
    from backend.audit.service import LogReader
    from backend.cli.session import with_platform

    async def work(platform: Any) -> str:
        async with platform.database.reading() as session:
            return str((await platform.service(LogReader).checkpoint(session)).note)

    typer.echo(with_platform(work), nl=False)


@audit.command("prove")
def audit_prove(
    index: Annotated[int, typer.Argument(min=0, help="The entry's place in the log.")],
    out: Annotated[Path | None, typer.Option(help="Write the pack to this file.")] = None,
    api: Api = "",
    network: Network = "",
    contract: Contract = "",
    chain_id: ChainId = 0,
    rpc: Rpcs = None,
    l2_proof: Annotated[str, typer.Option(help="Add a proof for L1 as of this L2 block: finalized or a number.")] = "",
    as_json: Json = False,
) -> None:
    """Fetch the public pack of an entry and check it."""
    from backend.cli.audit.access import Names
    from backend.cli.audit.prove import prove

    names = Names(network, contract, chain_id, tuple(rpc or ()))
    raise typer.Exit(prove(index, out, api, names, as_json=as_json, l2_block=l2_proof))


@audit.command("completeness")
def audit_completeness(
    account: Account,
    wallet_key: WalletKey,
    api: Api = "",
    network: Network = "",
    contract: Contract = "",
    chain_id: ChainId = 0,
    rpc: Rpcs = None,
    returns: Annotated[
        list[Path] | None, typer.Option(help="A returns file, for a universe that the platform does not list.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nothing of an account was left out, and that its positions follow from its fills."""
    from backend.cli.audit.access import Names
    from backend.cli.audit.completeness import audit_completeness as examine

    names = Names(network, contract, chain_id, tuple(rpc or ()))
    raise typer.Exit(examine(account, api, wallet_key, names, returns or (), as_json=as_json))


@audit.command("export")
def audit_export(
    out: Annotated[Path, typer.Option(help="A folder; the same command goes on after a stop.")],
    wallet_key: WalletKey,
    account: Annotated[str, typer.Option(help="Whose records: me, or for a regulator a pseudonym or wallet.")] = "me",
    api: Api = "",
    network: Network = "",
    contract: Contract = "",
    chain_id: ChainId = 0,
    as_json: Json = False,
) -> None:
    """Write an account's records as evidence packs, each verified."""
    from backend.cli.audit.access import Names
    from backend.cli.audit.export import export

    raise typer.Exit(export(account, out, api, wallet_key, Names(network, contract, chain_id), as_json=as_json))


@audit.command("log")
def audit_log(
    folder: Annotated[Path | None, typer.Argument(help="A folder of daily log bundles; else the served log.")] = None,
    api: Api = "",
    log_key: Annotated[str, typer.Option(help="The log's verifier key; else the one shown is taken.")] = "",
    network: Network = "",
    contract: Contract = "",
    chain_id: ChainId = 0,
    rpc: Rpcs = None,
    as_json: Json = False,
) -> None:
    """Recompute every leaf and every root of the log; check signatures and anchors."""
    from backend.cli.audit.access import Names
    from backend.cli.audit.log import audit_log as examine

    names = Names(network, contract, chain_id, tuple(rpc or ()))
    raise typer.Exit(examine(folder, api, log_key, names, as_json=as_json))


@audit.command("var")
def audit_var(
    subject: Address,
    rpc: Rpcs = None,
    network: Network = "",
    contract: Contract = "",
    chain_id: ChainId = 0,
    attestor: Annotated[str, typer.Option(help="The VarAttestor that you trust.")] = "",
    policy: Annotated[str, typer.Option(help="One policy's id; else every policy that attestations are under.")] = "",
    circuit_hash: Annotated[str, typer.Option(help="The hash of the circuit that you trust; else it is told.")] = "",
    log_key: Annotated[str, typer.Option(help="The verifier key of the log that you trust; else its id is told.")] = "",
    api: Annotated[str, typer.Option(help="A platform that is asked why epochs were skipped.")] = "",
    packs: Annotated[Path | None, typer.Option(help="A folder of evidence packs, each checked too.")] = None,
    as_json: Json = False,
) -> None:
    """Verify a wallet's chain of VaR attestations from the chain alone: links, returns, folds, proofs, gaps."""
    from backend.cli.audit.access import Names
    from backend.cli.audit.var import Asked
    from backend.cli.audit.var import audit_var as examine

    names = Names(network, contract, chain_id, tuple(rpc or ()), attestor)
    asked = Asked(subject.lower(), names, policy.lower(), circuit_hash.lower(), log_key, api, packs)
    raise typer.Exit(examine(asked, as_json=as_json))


@agent.command("train")
def agent_train(
    out: Annotated[Path, typer.Option(help="Folder for the model's files.")],
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 7,
) -> None:
    """Train the shipped agent and print its out-of-sample result beside buy-and-hold and a random agent."""
    import subprocess
    import sys

    from backend.cli.local import ROOT
    from backend.settings import child_environment

    command = [sys.executable, "-m", "scripts.train", "--out", str(out.absolute()), "--seed", str(seed)]
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=child_environment(), check=False).returncode)


@agent.command("show")
def agent_show(weights: Annotated[Path, typer.Argument(help="A model's .safetensors, its .json beside it.")]) -> None:
    """Print a model's hash, features and actions."""
    from backend.decisions.engine import load

    for part in (weights, weights.with_suffix(".json")):
        if not part.is_file():
            raise Invalid(f"{part} is missing: name a model's .safetensors with its .json beside it")
    loaded = load(weights)
    show({"sha256": loaded.sha256, "features": list(loaded.model.features), "actions": list(loaded.model.actions)})


@risk.command("var")
def risk_var(
    account: Annotated[str, typer.Option(help="A wallet, 0x and 40 hex digits.", callback=wallet)],
    method: Annotated[str, typer.Option(help="historical, cornish-fisher or gaussian.")] = "historical",
    confidence: Annotated[str, typer.Option(help="0.95 (90 days) or 0.99 (250 days).")] = "0.95",
    as_json: Json = False,
) -> None:
    """Print an account's one-day VaR at the last close; exit 1 where the method gives no number."""
    from backend.cli.risk import METHODS, account_var, told
    from backend.cli.session import with_platform

    choose(method, METHODS, "method")
    answer = with_platform(lambda platform: account_var(platform, account, method, confidence))
    if as_json:
        show(answer)
    else:
        typer.echo(told(answer), err=answer["value"] is None)
    raise typer.Exit(1 if answer["value"] is None else 0)


@keys.command("list")
def keys_list() -> None:
    """Print the addresses of the chain keys and the log's public key; on a local chain missing keys are made."""
    from backend.bootstrap import make_signer
    from backend.cli.session import current_settings
    from backend.ports.signer import KeyRole

    signer = make_signer(current_settings())
    show({role.value: signer.address(role) for role in KeyRole} | {"log": signer.log_public_key().hex()})


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest schema."""
    from backend.cli.session import answering_database, current_settings
    from backend.migrations import upgrade

    with answering_database():
        upgrade(current_settings().database)
    typer.echo("up to date")


@config.command("show")
def config_show() -> None:
    """Print every setting; secrets stay hidden."""
    from backend.cli.session import current_settings, without_secrets

    show({name: without_secrets(value) for name, value in current_settings().model_dump(mode="json").items()})


@halt.command("trip")
def halt_trip(reason: Annotated[str, typer.Option(help="Why; it is logged.")]) -> None:
    """Stop every order of the platform now."""
    from backend.cli.halts import trip

    show(trip(reason))


@halt.command("rearm")
def halt_rearm(
    halt_id: Annotated[int, typer.Argument(min=1)], reason: Annotated[str, typer.Option(help="Why; it is logged.")]
) -> None:
    """Review a halt and let orders pass again."""
    from backend.cli.halts import rearm

    show(rearm(halt_id, reason))


def run_with_every_verb(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; importing this module has added the groups."""
    run(arguments)
