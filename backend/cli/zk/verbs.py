"""The verbs of `refi zk`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from backend.cli.app import FAILED, OK, Json, choose, show
from backend.kernel.errors import Invalid

zk = typer.Typer(name="zk", help="Circuits, keys and proofs of the VaR attestation.", no_args_is_help=True)
errors = Console(stderr=True, highlight=False)

Circuit = Annotated[str, typer.Argument(help="A circuit of circuits/circuits.json, e.g. var_16_90_es.")]
Engine = Annotated[str, typer.Option(help="groth16py, or snarkjs for keys that a ceremony made.")]
Returns = Annotated[Path | None, typer.Option(help="The epoch's returns file.", exists=True, dir_okay=False)]


PROVE_HELP = (
    "Prove a claim, given as a JSON file. Exit 1 when nothing can be proved: a limit is exceeded.\n\n"
    "The claim says what is held and what is promised:\n\n"
    """\b
{"positions": {"AAPL": "120.5", "WMT": "-40"},
 "salt": "0x..",
 "limits": {"var_usd": "500", "es_usd": "700"},
 "returns": "returns.json",
 "binding": {"chain_id": 42069, "attestor": "0x..",
             "subject": "0x..", "policy_id": "0x..",
             "previous": "0x..", "log_id": "0x..",
             "anchor_index": 0}}

"""
    "Positions are shares, what is not named is not held; es_usd only where the circuit ends in _es; returns is the "
    "file of the epoch's market data, or --returns names it. circuits/examples/claim.json is one.\n\n"
    "Or it holds the circuit's signals as they are, as the files of circuits/inputs do: "
    '{"inputs": {..}, "public_inputs": [..]}.'
)


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
        typer.echo(_key_line(key))


@zk.command("key")
def zk_key(circuit: Annotated[str, typer.Argument(help="A circuit; the platform's unless named.")] = "") -> None:
    """Print a key's record: hashes, parameters, and whether it is INSECURE."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.keys import key

    show(key(named(circuit or _platform_circuit()), _folder()))


@zk.command("prove", help=PROVE_HELP)
def zk_prove(
    circuit: Circuit,
    claim: Annotated[Path, typer.Option(help="The claim's file.", exists=True, dir_okay=False)],
    returns: Returns = None,
    out: Annotated[Path | None, typer.Option(help="Where the proof goes; else to standard output.")] = None,
    engine: Engine = "groth16py",
    as_json: Json = False,
) -> None:
    """Prove a claim."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.prove import ENGINES, prove, told

    choose(engine, ENGINES, "engine")
    if out is not None and not out.parent.is_dir():
        raise Invalid(f"--out {out}: there is no folder {out.parent}")
    answer = prove(named(circuit), _folder(), claim, returns, _progress, engine=engine)
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
    proof: Annotated[
        Path, typer.Option(help="What `refi zk prove` wrote, or an evidence pack.", exists=True, dir_okay=False)
    ],
    returns: Returns = None,
    engine: Engine = "groth16py",
    as_json: Json = False,
) -> None:
    """Check a proof against the circuit's key here, and its fold against a returns file; exit 1 when one fails.

    That the statement is about the right subject, epoch, policy and anchor is checked by `refi verify` on a pack.
    """
    from backend.cli.zk.circuits import named
    from backend.cli.zk.prove import ENGINES, accepted, verify

    choose(engine, ENGINES, "engine")
    answer = verify(named(circuit), _folder(), proof, returns, engine=engine)
    if as_json:
        show(answer)
    else:
        typer.echo(f"proof  {'valid' if answer['valid'] else 'INVALID'}\nfold   {answer['fold']}")
        typer.echo(f"key    {answer['verification_key_hash']} {_security(answer)}")
    raise typer.Exit(OK if accepted(answer) else FAILED)


@zk.command("ceremony")
def zk_ceremony(
    circuit: Annotated[str, typer.Argument(help="A circuit; the platform's unless named.")] = "",
    zkey: Annotated[
        Path | None, typer.Option("--import", help="The contributed key, a snarkjs .zkey.", exists=True, dir_okay=False)
    ] = None,
    ptau: Annotated[
        Path | None, typer.Option(help="The powers of tau that it grew from.", exists=True, dir_okay=False)
    ] = None,
    beacon: Annotated[str, typer.Option(help="The announced beacon that closed it, hex.")] = "",
    contributor: Annotated[list[str] | None, typer.Option(help="NAME=HASH of a contribution, as published.")] = None,
    as_json: Json = False,
) -> None:
    """Say how several parties make a circuit's production key together, or check and take the key that they made."""
    from backend.cli.zk.circuits import named
    from backend.cli.zk.keys import ceremony, steps_told, take_key

    chosen = named(circuit or _platform_circuit())
    if zkey is None:
        if ptau is not None or beacon or contributor:
            raise Invalid("--ptau, --beacon and --contributor belong to --import ZKEY")
        answer = ceremony(chosen, _folder(), _progress)
        lines = steps_told(answer)
    else:
        if ptau is None:
            raise Invalid("--import ZKEY needs --ptau FILE: the key is derived again from its powers of tau")
        said = [*(("--beacon", beacon) if beacon else ()), *(f"--contributor={one}" for one in contributor or ())]
        answer = take_key(chosen, _folder(), zkey, ("--ptau", ptau.absolute(), *said), _progress)
        lines = [_key_line(answer), *(f"  insecure: {reason}" for reason in answer.get("insecure_because", ()))]
    if as_json:
        show(answer)
    else:
        typer.echo("\n".join(lines))


@zk.command("report")
def zk_report(
    circuit: Annotated[list[str] | None, typer.Argument(help="Circuits; all parameter sets unless named.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Compare with circuits that hash the returns inside.")
    ] = False,
    gas: Annotated[bool, typer.Option(help="Attest on a local chain of its own.")] = True,
    write: Annotated[bool, typer.Option("--write", help="Write the whole table into circuits/README.md.")] = False,
    as_json: Json = False,
) -> None:
    """Measure each circuit: constraints, prove time and memory, verify time, and the gas of a whole attestation.

    Missing development keys are made. The whole table takes some minutes; Ctrl-C ends it and everything it started.
    """
    from backend.cli.zk.circuits import all_named, parameter_sets
    from backend.cli.zk.report import measured, plain_table, write_table

    if write and circuit:
        raise Invalid("--write takes the whole table: name no circuits")
    wanted = all_named(circuit or parameter_sets())
    report = measured(wanted, _folder(), baseline=baseline, gas=gas, progress=_progress)
    if write:
        write_table(report)
    if as_json:
        show(report)
    else:
        typer.echo(plain_table(report))


def _key_line(key: dict[str, Any]) -> str:
    return f"{key['circuit']:<14} {_security(key)}  key {key['verification_key_hash']}"


def _security(key: dict[str, Any]) -> str:
    return "INSECURE" if key["insecure"] else "from a ceremony"
