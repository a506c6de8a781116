"""The verbs of `refi zk`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from backend.cli.app import FAILED, OK, Json, show
from backend.kernel.errors import Invalid

zk = typer.Typer(name="zk", help="Circuits, keys and proofs of the VaR attestation.", no_args_is_help=True)
errors = Console(stderr=True, highlight=False)

Circuit = Annotated[str, typer.Argument(help="A circuit of circuits/circuits.json, e.g. var_16_90_es.")]
Returns = Annotated[Path | None, typer.Option(help="The epoch's returns file.")]


PROVE_HELP = """Prove a claim, given as JSON, and write the proof. Exit 1 when there is none: a limit is exceeded.

The claim says what is held and what is promised, next to the file of the epoch's market data (--returns, or its path
under "returns"; the platform pins one a day):

\b
  {"positions": {"AAPL": "120.5", "XOM": "-40"},             shares; what is not named is not held
   "salt": "0x..",                                           of the position commitment, below the field order
   "limits": {"var_usd": "5000", "es_usd": "8000"},          es_usd only where the circuit ends in _es
   "returns": "returns.json",
   "binding": {"chain_id": 42069, "attestor": "0x<20 bytes>", "subject": "0x<20 bytes>", "policy_id": "0x<32 bytes>",
               "previous": "0x<32 bytes>", "log_id": "0x<32 bytes>", "anchor_index": 0}}

or holds the circuit's signals as they are: {"inputs": {..}, "public_inputs": [..]}, as in circuits/inputs.
"""


def _folder() -> Path:
    from backend.cli.session import current_settings

    return current_settings().proving_keys_dir.absolute()


def _progress(line: str) -> None:
    errors.print(line, style="dim", soft_wrap=True, markup=False)


def _platform_circuit() -> str:
    from backend.cli.zk.circuits import PLATFORM_CIRCUIT

    return PLATFORM_CIRCUIT


@zk.command("setup")
def zk_setup(
    circuit: Annotated[str, typer.Argument(help="A circuit; the platform's unless named.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every circuit.")] = False,
    dev: Annotated[bool, typer.Option("--dev", help="INSECURE: one party makes the key. Local chains only.")] = False,
    as_json: Json = False,
) -> None:
    """Make development keys where there are none; a key that is there and fits the sources stays."""
    from backend.cli.zk.circuits import all_named, circuits
    from backend.cli.zk.keys import setup

    if every and circuit:
        raise Invalid("name one circuit or --all, not both")
    wanted = all_named(list(circuits()) if every else [circuit or _platform_circuit()])
    made = setup(wanted, _folder(), dev=dev, progress=_progress)
    if as_json:
        show(made)
        return
    for key in made:
        typer.echo(f"{key['circuit']:<14} {_security(key)}  key {key['verification_key_hash']}")


@zk.command("key")
def zk_key(circuit: Annotated[str, typer.Argument(help="A circuit; the platform's unless named.")] = "") -> None:
    """Print a key's record: hashes, parameters, and whether it is INSECURE."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.keys import key

    show(key(named(circuit or _platform_circuit()), _folder()))


@zk.command("prove", help=PROVE_HELP)
def zk_prove(
    circuit: Circuit,
    claim: Annotated[Path, typer.Option(help="The claim's file.")],
    returns: Returns = None,
    out: Annotated[Path | None, typer.Option(help="Where the proof goes; else to standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Prove a claim."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.prove import prove, told

    answer = prove(named(circuit), _folder(), claim, returns, _progress)
    proved = answer["outcome"] == "proved"
    if proved and out is not None:
        out.write_text(json.dumps(answer, indent=1) + "\n", "utf-8")
    if as_json or (proved and out is None):
        show(answer)
    else:
        typer.echo(told(answer) + (f": {out}" if proved else ""))
    raise typer.Exit(OK if proved else FAILED)


@zk.command("verify")
def zk_verify(
    circuit: Circuit,
    proof: Annotated[Path, typer.Option(help="A proof that `refi zk prove` wrote, or an evidence pack.")],
    returns: Returns = None,
    as_json: Json = False,
) -> None:
    """Check a proof against the circuit's key here, and its fold against a returns file; exit 1 when one fails.

    That the statement is about the right subject, epoch, policy and anchor is checked by `refi verify` on a pack.
    """
    from backend.cli.zk.circuits import named
    from backend.cli.zk.prove import accepted, verify

    answer = verify(named(circuit), _folder(), proof, returns)
    if as_json:
        show(answer)
    else:
        typer.echo(f"proof  {'valid' if answer['valid'] else 'INVALID'}\nfold   {answer['fold']}")
        typer.echo(f"key    {answer['verification_key_hash']} {_security(answer)}")
    raise typer.Exit(OK if accepted(answer) else FAILED)


@zk.command("ceremony")
def zk_ceremony(
    circuit: Annotated[str, typer.Argument(help="A circuit; the platform's unless named.")] = "",
    zkey: Annotated[Path | None, typer.Option("--import", help="The contributed key, a snarkjs .zkey.")] = None,
    ptau: Annotated[Path | None, typer.Option(help="The powers of tau that it grew from.")] = None,
    beacon: Annotated[str, typer.Option(help="The beacon that closed it, hex.")] = "",
    as_json: Json = False,
) -> None:
    """Say how many parties make a circuit's production key together, or take the key that they made."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.keys import ceremony, take_key

    chosen = named(circuit or _platform_circuit())
    if zkey is None:
        if ptau is not None or beacon:
            raise Invalid("--ptau and --beacon belong to --import ZKEY")
        answer = ceremony(chosen, _folder(), _progress)
    else:
        options = [*(("--ptau", ptau.absolute()) if ptau else ()), *(("--beacon", beacon) if beacon else ())]
        answer = take_key(chosen, _folder(), zkey, options, _progress)
    if as_json:
        show(answer)
        return
    for name, value in answer.items():
        typer.echo(f"{name}:" + _indented(value))


@zk.command("report")
def zk_report(
    circuit: Annotated[list[str] | None, typer.Argument(help="Circuits; all parameter sets unless named.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Compare with circuits that hash the returns inside.")
    ] = False,
    gas: Annotated[bool, typer.Option(help="Attest on a local chain of its own.")] = True,
    write: Annotated[bool, typer.Option("--write", help="Write the table into circuits/README.md.")] = False,
    as_json: Json = False,
) -> None:
    """Measure each circuit: constraints, prove time and memory, verify time, and the gas of a whole attestation.

    Missing development keys are made. The whole table takes some minutes; Ctrl-C ends it and everything it started.
    """
    from backend.cli.zk.circuits import all_named, parameter_sets
    from backend.cli.zk.report import measured, plain_table, write_table

    wanted = all_named(circuit or parameter_sets())
    report = measured(wanted, _folder(), baseline=baseline, gas=gas, progress=_progress)
    if write:
        write_table(report)
    if as_json:
        show(report)
    else:
        typer.echo(plain_table(report))


def _security(key: dict[str, Any]) -> str:
    return "INSECURE (development)" if key["insecure"] else "from a ceremony"


def _indented(value: object) -> str:
    if isinstance(value, list):
        return "".join(f"\n  {part}" for part in value)
    return f" {value}"
