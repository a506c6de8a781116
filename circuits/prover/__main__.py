# SPDX-License-Identifier: GPL-3.0-or-later
"""Groth16 as a process: `python -m circuits.prover COMMAND [CIRCUIT] [--folder FOLDER]`, from the repository's root.

CIRCUIT is var_16_90 and FOLDER .refi/zk unless given.

setup    make the circuit's development key in FOLDER, or find it there
key      print the key's record: hashes, verifying key, parameters, insecure or not
prove    stdin {"inputs": {signal: number or list}, "public_inputs": [...]}
         answers {"proof": "0x.."} or {"refused": why}
verify   stdin {"proof": "0x..", "public_inputs": [...]}; answers {"valid": true or false}
compile  count the constraints with circom2
count    the same, kept in FOLDER beside the key as long as the sources are the same
measure  stdin as for prove; answers CPU seconds, peak memory and verify milliseconds (see measure.py)
inspect  look for unconstrained signals with circom2; exit status 1 when something is unexpected

Numbers are decimal strings, 0x-hex strings or JSON integers. Each line of stdout is one JSON object; lines before the
last hold only "progress". Exit status: 0 answered (a refusal is an answer), 1 fault, with
{"error": why} on stdout.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import groth16py

from circuits.prover import compiler, keys, measure

Answer = dict[str, Any]
COMMANDS = ("setup", "key", "prove", "verify", "compile", "count", "measure", "inspect")


def number(value: str | int) -> int:
    """Return a number of the protocol as an integer."""
    return value if isinstance(value, int) else int(value, 0)


def numbers(value: str | int | list[Any]) -> int | list[Any]:
    """Return a signal's value as integers, nested as it came."""
    return [numbers(part) for part in value] if isinstance(value, list) else number(value)


def prove(circuit: str, folder: Path, request: Answer, progress: keys.Progress) -> Answer:
    """Prove and verify: a proof that does not verify never leaves this process."""
    keys.load_meta(circuit, folder)
    progress("loading the key")
    proving = keys.load_proving(circuit, folder)
    progress("proving")
    started = time.process_time()
    inputs: dict[str, object] = {name: numbers(value) for name, value in request["inputs"].items()}
    try:
        proof = groth16py.prove(proving, inputs)
    except (groth16py.WitnessError, groth16py.EncodingError) as error:
        return {"refused": f"no witness: {error}"}
    seconds = time.process_time() - started
    progress("verifying")
    # groth16py proves unsatisfied witnesses too; only verification tells
    public = [number(value) for value in request["public_inputs"]]
    if not _valid(circuit, folder, proof, public):
        return {"refused": "the inputs do not satisfy the circuit"}
    return {"proof": "0x" + proof.hex(), "public_inputs": [hex(value) for value in public], "cpu_seconds": seconds}


def measured(circuit: str, folder: Path, request: Answer, progress: keys.Progress) -> Answer:
    """Measure a claim's proofs in this process."""
    inputs: dict[str, object] = {name: numbers(value) for name, value in request["inputs"].items()}
    return measure.measure(circuit, folder, inputs, [number(value) for value in request["public_inputs"]], progress)


def verify(circuit: str, folder: Path, request: Answer) -> Answer:
    """Verify a proof against the circuit's key."""
    keys.load_meta(circuit, folder)
    public = [number(value) for value in request["public_inputs"]]
    proof = bytes.fromhex(str(request["proof"]).removeprefix("0x"))
    return {"valid": _valid(circuit, folder, proof, public)}


def _valid(circuit: str, folder: Path, proof: bytes, public: list[int]) -> bool:
    verifier = groth16py.Verifier(keys.load_verifying(circuit, folder))
    try:
        return bool(verifier.verify(proof, public))
    except (groth16py.VerificationError, groth16py.EncodingError):
        return False


def main(arguments: list[str], answers: TextIO) -> int:
    """Run one command and write its answer as JSON lines."""
    parser = argparse.ArgumentParser(prog="circuits.prover", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("circuit", nargs="?", default="var_16_90")
    parser.add_argument("--folder", type=Path, default=keys.ROOT / ".refi" / "zk")
    chosen = parser.parse_args(arguments)

    def say(answer: Answer) -> None:
        print(json.dumps(answer, sort_keys=True), file=answers, flush=True)

    def progress(stage: str) -> None:
        say({"progress": stage})

    circuit, folder = chosen.circuit, chosen.folder.resolve()
    commands: dict[str, Callable[[], Answer]] = {
        "setup": lambda: keys.setup(circuit, folder, progress),
        "key": lambda: keys.load_meta(circuit, folder),
        "prove": lambda: prove(circuit, folder, json.load(sys.stdin), progress),
        "verify": lambda: verify(circuit, folder, json.load(sys.stdin)),
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
        groth16py.WitnessError,
        OSError,
        KeyError,
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
