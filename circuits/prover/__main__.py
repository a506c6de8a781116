# SPDX-License-Identifier: GPL-3.0-or-later
"""Groth16 as a process: `python -m circuits.prover COMMAND [CIRCUIT] [--folder FOLDER]`, from the repository's root.

CIRCUIT is var_16_90_es and FOLDER .refi/zk unless given.

setup    make the circuit's development key in FOLDER, or find the key there
key      print the key's record: hashes, verifying key, parameters, origin, insecure or not and why
prove    stdin {"inputs": {signal: number or list}, "public_inputs": [...]}
         answers {"proof": "0x..", "cpu_seconds", "peak_bytes", "engine"} or {"refused": why}
verify   stdin {"proof": "0x..", "public_inputs": [...]}; answers {"valid": true or false}
ceremony say how a key is made that no single party can forge with: the steps, the powers of tau, what makes it secure
import   check a contributed --zkey against --ptau and the circuit, and make it the circuit's key
         (--beacon HEX and --contributor NAME=HASH, twice or more, as published: else it stays insecure)
compile  count the constraints with circom2
count    the same, kept in FOLDER beside the key as long as the sources are the same
measure  stdin as for prove; answers CPU seconds, peak memory and verify milliseconds (see measure.py)
inspect  look for unconstrained signals with circom2; exit status 1 when something is unexpected

--engine groth16py (arkworks in this process) or snarkjs (a node process; proves with keys made by `import`).

Numbers are decimal strings, 0x-hex strings or JSON integers. Each line of stdout is one JSON object; lines before the
last hold only "progress". Exit status: 0 answered (a refusal is an answer), 1 fault, with
{"error": why} on stdout.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import groth16py

from circuits.prover import ceremony, compiler, keys, measure
from circuits.prover.engines import ENGINES

Answer = dict[str, Any]
COMMANDS = ("setup", "key", "prove", "verify", "ceremony", "import", "compile", "count", "measure", "inspect")


def number(value: str | int) -> int:
    """Return a number of the protocol as an integer."""
    return value if isinstance(value, int) else int(value, 0)


def numbers(value: str | int | list[Any]) -> int | list[Any]:
    """Return a signal's value as integers, nested as it came."""
    return [numbers(part) for part in value] if isinstance(value, list) else number(value)


def prove(circuit: str, folder: Path, engine: str, request: Answer, progress: keys.Progress) -> Answer:
    """Prove and verify: a proof that does not verify never leaves this process."""
    meta = keys.load_meta(circuit, folder)
    inputs = {str(name): numbers(value) for name, value in request["inputs"].items()}
    public = [number(value) for value in request["public_inputs"]]
    answer = ENGINES[engine].prove(meta, folder, inputs, public, progress)
    if "refused" in answer:
        return answer
    shown = {"proof": "0x" + answer["proof"].hex(), "public_inputs": [hex(value) for value in public]}
    return {**answer, **shown, "engine": engine}


def measured(circuit: str, folder: Path, request: Answer, progress: keys.Progress) -> Answer:
    """Measure a claim's proofs in this process."""
    inputs: dict[str, object] = {name: numbers(value) for name, value in request["inputs"].items()}
    return measure.measure(circuit, folder, inputs, [number(value) for value in request["public_inputs"]], progress)


def verify(circuit: str, folder: Path, engine: str, request: Answer) -> Answer:
    """Verify a proof against the circuit's key."""
    meta = keys.load_meta(circuit, folder)
    public = [number(value) for value in request["public_inputs"]]
    proof = bytes.fromhex(str(request["proof"]).removeprefix("0x"))
    return {"valid": ENGINES[engine].verify(meta, folder, proof, public)}


def import_key(circuit: str, folder: Path, chosen: argparse.Namespace, progress: keys.Progress) -> Answer:
    """Take a contributed key over."""
    if chosen.zkey is None or chosen.ptau is None:
        raise keys.KeyRefused("an import needs --zkey and --ptau")
    if not all("=" in named for named in chosen.contributor):
        raise keys.KeyRefused("a contributor is NAME=HASH, the hash as they published it")
    contributors = dict(named.split("=", 1) for named in chosen.contributor)
    if len(contributors) != len(chosen.contributor):
        raise keys.KeyRefused("a contributor is named twice")
    files = (chosen.zkey.resolve(), chosen.ptau.resolve())
    return ceremony.import_key(circuit, folder, files, (contributors, chosen.beacon), progress)


def main(arguments: list[str], answers: TextIO) -> int:
    """Run one command and write its answer as JSON lines."""
    parser = argparse.ArgumentParser(prog="circuits.prover", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("circuit", nargs="?", default="var_16_90_es")
    parser.add_argument("--folder", type=Path, default=keys.ROOT / ".refi" / "zk")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="groth16py")
    parser.add_argument("--zkey", type=Path)
    parser.add_argument("--ptau", type=Path)
    parser.add_argument("--beacon")
    parser.add_argument("--contributor", action="append", default=[], metavar="NAME=HASH")
    chosen = parser.parse_args(arguments)

    def say(answer: Answer) -> None:
        print(json.dumps(answer, sort_keys=True), file=answers, flush=True)

    def progress(stage: str) -> None:
        say({"progress": stage})

    circuit, folder, engine = chosen.circuit, chosen.folder.resolve(), chosen.engine
    commands: dict[str, Callable[[], Answer]] = {
        "setup": lambda: keys.setup(circuit, folder, progress),
        "key": lambda: keys.load_meta(circuit, folder),
        "prove": lambda: prove(circuit, folder, engine, json.load(sys.stdin), progress),
        "verify": lambda: verify(circuit, folder, engine, json.load(sys.stdin)),
        "ceremony": lambda: ceremony.steps(circuit, folder),
        "import": lambda: import_key(circuit, folder, chosen, progress),
        "compile": lambda: compiler.count(circuit, folder),
        "count": lambda: measure.count(circuit, folder, progress),
        "measure": lambda: measured(circuit, folder, json.load(sys.stdin), progress),
        "inspect": lambda: compiler.inspect(circuit),
    }
    try:
        answer = commands[chosen.command]()
    except (
        keys.KeyRefused,
        groth16py.SetupError,
        groth16py.EncodingError,
        groth16py.WitnessError,
        AttributeError,
        OSError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        subprocess.CalledProcessError,
    ) as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return 1
    say(answer)
    return 1 if answer.get("unexpected") else 0


if __name__ == "__main__":
    # The compiler inside groth16py prints to file descriptor 1: keep that apart from the answers
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        sys.exit(main(sys.argv[1:], channel))
