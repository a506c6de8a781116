"""The verbs of `refi`. Exit 0 ok, 1 a check failed, 2 usage, 3 unreachable."""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from backend.kernel.errors import Invalid, RefiError, Unavailable

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3

app = typer.Typer(name="refi", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
errors = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def show(value: Any) -> None:
    """Print a JSON object on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; an error is one line on standard error."""
    # What ends a run politely ends it as Ctrl-C does: the services that it started end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(app(arguments, prog_name="refi", standalone_mode=False) or OK)
    except RefiError as error:
        _end(
            error.detail,
            UNREACHABLE if isinstance(error, Unavailable) else USAGE if isinstance(error, Invalid) else FAILED,
        )
    except TyperException as misuse:
        _end(misuse.format_message(), misuse.exit_code)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        _end(f"{where}{fault.strerror or fault}", USAGE if fault.filename else UNREACHABLE)


def _end(text: str, code: int) -> NoReturn:
    if text:
        # It may hold what a stranger's file or endpoint says: nothing for the terminal to obey.
        harmless = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
        errors.print(f"refi: {harmless}", style="red", soft_wrap=True, markup=False)
    sys.exit(code)


@app.command()
def demo(
    as_json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the services up and print where they answer.")] = False,
    days: Annotated[int, typer.Option(min=20, max=60, help="Trading days to replay.")] = 42,
    seed: Annotated[int, typer.Option(help="Seed of the training run.")] = 7,
) -> None:
    """Run the main job: log in, train, vote, trade, anchor, prove, verify."""
    from backend.cli.demo import Demo
    from backend.cli.demo.run import Plan

    summary = Demo(Plan(days=days, seed=seed, keep=keep)).run()
    if as_json:
        show(summary)
    raise typer.Exit(OK if summary["ok"] else FAILED)


@app.command()
def down() -> None:
    """End every service that `refi demo --keep` or `refi up` left running."""
    from backend.cli.services import Services
    from backend.settings import Settings

    state = Settings().state_dir
    ended = [name for folder in (state / "demo", state / "up") for name in Services(folder).stop_all()]
    typer.echo("ended " + ", ".join(ended) if ended else "nothing was running")


@app.command()
def status(as_json: Json = False) -> None:
    """Show the services that run and where they answer."""
    from backend.cli.services import Services
    from backend.settings import Settings

    state = Settings().state_dir
    running = [entry for folder in (state / "demo", state / "up") for entry in Services(folder).running()]
    if as_json:
        show([{"name": entry.name, "pid": entry.pid, "url": entry.url} for entry in running])
        return
    for entry in running:
        typer.echo(f"{entry.name:<8} {entry.url:<28} pid {entry.pid}")
    if not running:
        typer.echo("nothing is running: `refi up` starts it")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine lacks and how to get it."""
    from backend.cli.doctor import examine

    findings = examine()
    missing = [finding for finding in findings if not finding.ok and finding.need == "required"]
    if as_json:
        show({"ok": not missing, "findings": [
            {"name": f.name, "need": f.need, "found": f.found, "remedy": f.remedy} for f in findings
        ]})  # fmt: skip
    else:
        for finding in findings:
            mark = "ok" if finding.ok else "--" if finding.need == "optional" else "!!"
            typer.echo(f"{mark}  {finding.name:<30} {finding.found:<28} {finding.remedy}".rstrip())
    raise typer.Exit(FAILED if missing else OK)


@app.command()
def verify(
    pack: Annotated[Path, typer.Argument(help="An evidence pack (*.refi.json).")],
    network: Annotated[str, typer.Option(help="A network of deployments/, e.g. local.")] = "",
    contract: Annotated[str, typer.Option(help="The AuditAnchor that you trust.")] = "",
    chain_id: Annotated[int, typer.Option(help="Its chain id.")] = 0,
    attestor: Annotated[str, typer.Option(help="The VarAttestor that you trust.")] = "",
    rpc: Annotated[list[str] | None, typer.Option(help="A JSON-RPC URL; several are compared.")] = None,
    model: Annotated[Path | None, typer.Option(help="The model's .safetensors, its .json beside it.")] = None,
    returns: Annotated[Path | None, typer.Option(help="The epoch's returns file.")] = None,
    circuit_hash: Annotated[str, typer.Option(help="The hash of the circuit that you trust; else it is told.")] = "",
    l1_output_root: Annotated[str, typer.Option(help="An L2 output root that you trust, for packs with a proof.")] = "",
    l1_rpc: Annotated[list[str] | None, typer.Option(help="A JSON-RPC URL of L1; several are compared.")] = None,
    l1_verifier: Annotated[str, typer.Option(help="The L1AnchorVerifier that you trust.")] = "",
    as_json: Json = False,
) -> None:
    """Check an evidence pack; nothing inside it is trusted."""
    from backend.cli.verify import L1, trusted, verify_pack
    from backend.settings import Settings

    named = trusted(Settings().deployments_dir, network, contract, chain_id, attestor)
    l1 = L1(l1_output_root, tuple(l1_rpc or ()), l1_verifier)
    files = {"model": model, "returns": returns}
    code = verify_pack(pack, named, rpc=rpc or [], **files, as_json=as_json, l1=l1, circuit_hash=circuit_hash)
    raise typer.Exit(code)


@app.command()
def witness(
    api: Annotated[str, typer.Option(help="The platform whose log is watched.")],
    state: Annotated[Path, typer.Option(help="A folder of the witness's own: its key and what it saw.")],
    log_key: Annotated[str, typer.Option(help="The log's verifier key; else the first one shown is trusted.")] = "",
    name: Annotated[str, typer.Option(help="The name in the witness's key, chosen at the first start.")] = "",
    peer: Annotated[list[str] | None, typer.Option(help="Another witness's address, to compare with.")] = None,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
    listen: Annotated[str, typer.Option(help="HOST:PORT that serves the cosigned checkpoint.")] = "",
    as_json: Json = False,
) -> None:
    """Cosign a log's consistent growth; report a split view with evidence."""
    from dataclasses import asdict

    from backend.cli.witness import Plan, Round, watch

    def report(looked: Round) -> None:
        typer.echo(
            json.dumps(asdict(looked)) if as_json else looked.line(), err=bool(looked.split_view) and not as_json
        )

    plan = Plan(api, state, log_key, name, tuple(peer or ()), interval, once, listen)
    raise typer.Exit(watch(plan, lambda line: typer.echo(line, err=True), report))


def choose(value: str, allowed: Sequence[str], what: str) -> str:
    """Return a value that is one of those allowed; say which they are otherwise."""
    if value not in allowed:
        raise Invalid(f"unknown {what} {value!r}: choose one of {', '.join(allowed)}")
    return value
