"""`refi verify`: the self-contained verifier, with a network's addresses looked up by name."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from backend.cli.display import checks_table
from backend.kernel.errors import Invalid
from backend.transparency.engine.verifier import (
    MAX_PACK_BYTES,
    Failed,
    Report,
    printable,
    read_start,
    report_json,
    report_lines,
    verify,
)

WORD = r"0x[0-9a-fA-F]{64}"
ADDRESS = r"0x[0-9a-fA-F]{40}"
CHAIN_ID_BITS = 64


@dataclass(frozen=True, slots=True)
class Trusted:
    """The addresses that the user takes for the platform's."""

    contract: str | None
    chain_id: int | None
    attestor: str | None = None
    engine: str | None = None
    target: str | None = None
    l1_verifier: str | None = None


@dataclass(frozen=True, slots=True)
class L1:
    """What the user names of L1: an output root that they trust, or RPCs and the L1AnchorVerifier to ask."""

    output_root: str = ""
    rpc: tuple[str, ...] = ()
    verifier: str = ""

    def __post_init__(self) -> None:
        if self.output_root and not re.fullmatch(WORD, self.output_root):
            raise Invalid("--l1-output-root is 0x and 64 hex digits")
        _require_address("--l1-verifier", self.verifier)


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
    contracts = ("VarAttestor", "PolicyEngine", "OrderGate", "L1AnchorVerifier")
    return Trusted(address("AuditAnchor"), chain_id, *map(address, contracts))


def trusted(deployments: Path, network: str, contract: str, chain_id: int, attestor: str) -> Trusted:
    """Return the addresses named on the command line, by network or one by one.

    An attestor that is named stands before the network's. A mistyped address is the user's mistake, no fault of a pack.
    """
    if network and (contract or chain_id):
        raise Invalid("name either --network, or --contract and --chain-id")
    if bool(contract) != bool(chain_id):
        raise Invalid("--contract and --chain-id belong together")
    _require_address("--contract", contract)
    _require_address("--attestor", attestor)
    if not 0 <= chain_id < 1 << CHAIN_ID_BITS:
        raise Invalid(f"--chain-id is above 0 and below 2^{CHAIN_ID_BITS}")
    if network:
        named = named_network(deployments, network)
        return replace(named, attestor=attestor) if attestor else named
    return Trusted(contract or None, chain_id or None, attestor or None)


def _require_address(option: str, value: str) -> None:
    if value and not re.fullmatch(ADDRESS, value):
        raise Invalid(f"{option} is 0x and 40 hex digits")


def verify_pack(
    pack: Path,
    named: Trusted,
    *,
    rpc: Sequence[str],
    model: Path | None,
    returns: Path | None,
    as_json: bool,
    l1: L1 | None = None,
    circuit_hash: str = "",
) -> int:
    """Print one line a check, or one in all for what is no pack, and return the exit status."""
    l1 = l1 or L1()
    if circuit_hash and not re.fullmatch(WORD, circuit_hash):
        raise Invalid("--circuit-hash is 0x and 64 hex digits")
    l1_verifier = l1.verifier or named.l1_verifier
    if (l1.rpc and not l1_verifier) or (l1.verifier and not l1.rpc):
        raise Invalid("--l1-rpc and --l1-verifier belong together")
    try:
        content = read_start(pack, MAX_PACK_BYTES)
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
        l1_output_root=l1.output_root or None,
        l1_rpc_urls=l1.rpc,
        l1_verifier=l1_verifier,
        circuit_hash=circuit_hash or None,
    )
    _show(report, as_json=as_json)
    return report.exit_code


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report_json(report), indent=1))
    elif report.checks[0].result == "fail":
        typer.echo("\n".join(report_lines(report)))
    else:
        console = Console(highlight=False)
        # What a pack says must not be read as markup.
        rows = [{"name": c.name, "result": c.result, "detail": escape(printable(c.detail))} for c in report.checks]
        console.print(checks_table(rows))
        console.print(printable(report.verdict), soft_wrap=True, markup=False)
