"""`refi verify`: the self-contained verifier, with a network's addresses looked up by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from backend.cli.display import checks_table
from backend.kernel.errors import Invalid
from backend.transparency.engine.verifier import MAX_PACK_BYTES, Failed, read_file, report_json, verify


@dataclass(frozen=True, slots=True)
class Trusted:
    """The addresses that the user takes for the platform's."""

    contract: str | None
    chain_id: int | None
    attestor: str | None = None
    engine: str | None = None
    target: str | None = None


def named_network(deployments: Path, network: str) -> Trusted:
    """Return what deployments/<network> names; say which networks there are otherwise."""
    folder = deployments / network
    if not (folder / "AuditAnchor.json").exists():
        known = sorted(path.parent.name for path in deployments.glob("*/AuditAnchor.json"))
        raise Invalid(f"unknown network {network!r}: deployments/ holds {', '.join(known) or 'none'}")

    def address(contract: str) -> str | None:
        path = folder / f"{contract}.json"
        return str(json.loads(path.read_text())["address"]) if path.exists() else None

    chain_id = int(json.loads((folder / "AuditAnchor.json").read_text())["chain_id"])
    return Trusted(
        address("AuditAnchor"), chain_id, address("VarAttestor"), address("PolicyEngine"), address("OrderGate")
    )


def trusted(deployments: Path, network: str, contract: str, chain_id: int, attestor: str) -> Trusted:
    """Return the addresses named on the command line, by network or one by one."""
    if network:
        if contract or chain_id:
            raise Invalid("name either --network, or --contract and --chain-id")
        return named_network(deployments, network)
    if bool(contract) != bool(chain_id):
        raise Invalid("--contract and --chain-id belong together")
    return Trusted(contract or None, chain_id or None, attestor or None)


def verify_pack(
    pack: Path,
    named: Trusted,
    *,
    rpc: Sequence[str],
    model: Path | None,
    returns: Path | None,
    as_json: bool,
) -> int:
    """Print one line a check and return the exit status."""
    try:
        content = read_file(pack, MAX_PACK_BYTES)
    except Failed as unreadable:
        raise Invalid(str(unreadable)) from unreadable
    report = verify(
        content,
        contract=named.contract,
        chain_id=named.chain_id,
        rpc_urls=rpc,
        model_path=model,
        returns_path=returns,
        attestor=named.attestor,
        engine=named.engine,
        target=named.target,
    )
    shown: Mapping[str, object] = report_json(report)
    if as_json:
        typer.echo(json.dumps(shown, indent=1))
    else:
        console = Console(highlight=False)
        console.print(checks_table([{k: str(v) for k, v in check.items()} for check in _checks(shown)]))
        console.print(str(shown["verdict"]), soft_wrap=True, markup=False)
    return report.exit_code


def _checks(shown: Mapping[str, object]) -> list[Mapping[str, object]]:
    checks = shown["checks"]
    return list(checks) if isinstance(checks, list) else []
