# SPDX-License-Identifier: GPL-3.0-or-later
"""Say how a key is made that no single party can forge with, check such a key and take it over."""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import groth16py

from circuits.prover import compiler, keys, record, snarkjs, zkey
from circuits.prover.refusals import KeyRefused

Meta = dict[str, Any]


def steps(circuit: str, folder: Path) -> Meta:
    """Return the ceremony's exact steps for a circuit, with its constraints counted by the compiler."""
    counts = compiler.count(circuit, folder)
    power = _power(counts)
    powers = record.public_powers()[str(power)]
    r1cs, tau = f"{Path(keys.parameters(circuit)['file']).stem}.r1cs", powers["file"]
    published = "--beacon BEACON --contributor NAME=HASH --contributor NAME=HASH"
    name = f"{circuit}_{{:04d}}.zkey"
    commands = [
        ("coordinator", "compile the circuit", f"python -m circuits.prover compile {circuit} --folder ."),
        ("everybody", f"fetch {powers['url']} and compare its BLAKE2b-512", f"b2sum {tau}   # {powers['blake2b']}"),
        ("coordinator", "announce a beacon that nobody knows yet: a future drand round or block hash", ""),
        ("coordinator", "begin the second phase", f"npx snarkjs groth16 setup {r1cs} {tau} {name.format(0)}"),
        (
            f"each of at least {record.CONTRIBUTORS} independent contributors in turn, on a machine of their own",
            "contribute, publish the contribution hash under their name, destroy what the machine knew",
            f'npx snarkjs zkey contribute {name.format(0)} {name.format(1)} --name="NAME"',
        ),
        (
            "coordinator",
            "close with the announced beacon, once it is public",
            f"npx snarkjs zkey beacon {name.format(2)} {circuit}_final.zkey BEACON {record.BEACON_ITERATIONS_EXP}",
        ),
        ("everybody", "check the result", f"npx snarkjs zkey verify {r1cs} {tau} {circuit}_final.zkey"),
        (
            "operator",
            "import it; what was not named or not published leaves the key insecure, with the reasons",
            f"python -m circuits.prover import {circuit} --zkey {circuit}_final.zkey --ptau {tau} {published}",
        ),
    ]
    return {
        "circuit": circuit,
        "circuit_hash": keys.circuit_hash(circuit),
        "constraints": counts["non_linear_constraints"],
        "power": power,
        "powers_of_tau": powers,
        "steps": [{"who": who, "what": what, "command": command} for who, what, command in commands],
        "secure_when": [
            "the powers of tau are the published ones, by hash",
            "snarkjs derives the key from them and from this circuit's constraints",
            f"at least {record.CONTRIBUTORS} contributors published their hashes, and the importer named them",
            "a beacon that was announced beforehand comes last",
        ],
        "not_checked": [
            "No program can tell whether contributors are independent: their names are on record for whoever asks.",
        ],
    }


def import_key(
    circuit: str,
    folder: Path,
    files: tuple[Path, Path],
    named: tuple[dict[str, str], str | None],
    progress: keys.Progress,
) -> Meta:
    """Check a contributed .zkey against powers of tau and the circuit's own text, and make it the circuit's key.

    files: the .zkey and the .ptau; named: the contributors (name to contribution hash) and the beacon, as published.
    """
    source, powers = files
    progress("reading the zkey")
    found = zkey.read(source)
    origin = record.ceremony(found, _digest(powers, "blake2b"), *named)
    keys.refuse_forgeable(found.packed)
    with keys.replaced(circuit, folder) as fresh:
        if _present(circuit, folder, source, origin):
            progress("key present")
            return keys.load_meta(circuit, folder)
        require_no_worse(_kept(circuit, folder), origin)
        # A copy, so that what is checked is what is kept
        shutil.copyfile(source, fresh / "circuit.zkey")
        with tempfile.TemporaryDirectory(dir=fresh) as build:
            progress("compiling")
            r1cs, wasm = compiler.build(circuit, Path(build))
            progress("checking the zkey against the circuit and the powers of tau")
            request = {"task": "check", "r1cs": str(r1cs), "ptau": str(powers), "zkey": str(fresh / "circuit.zkey")}
            if not snarkjs.ask(request, progress)["valid"]:
                raise KeyRefused(f"the zkey does not follow from the powers of tau and the constraints of {circuit}")
            shutil.copyfile(wasm, fresh / "circuit.wasm")
        progress("importing")
        pair = groth16py.import_zkey(str(fresh / "circuit.zkey"), str(keys.CIRCUITS / keys.parameters(circuit)["file"]))
        if zkey.read(fresh / "circuit.zkey") != found or keys.packed_key(pair[1]) != found.packed:
            raise KeyRefused("the zkey is read differently by those who read it")
        keys.save(circuit, fresh, pair, {"made_by": "snarkjs, by contributions", **origin})
    progress("key imported")
    return keys.load_meta(circuit, folder)


def _power(counts: Meta) -> int:
    """Return the least power of two that a circuit fits in: snarkjs adds a constraint for each public signal."""
    public = counts["public_inputs"] + counts["public_outputs"]
    return max(8, int(counts["non_linear_constraints"] + public).bit_length())


def _present(circuit: str, folder: Path, source: Path, origin: Meta) -> bool:
    """Return whether this very import was done before, for the circuit's text as it is now."""
    try:
        meta = keys.load_meta(circuit, folder)
        keys.require_files(meta, folder, *meta["files"])
    except KeyRefused:
        return False
    same = meta["files"].get("circuit.zkey") == "0x" + _digest(source, "sha256")
    return same and all(meta.get(name) == value for name, value in origin.items())


def require_no_worse(kept: Meta | None, origin: Meta) -> None:
    """Raise KeyRefused where an insecure key would take the place of a secure one."""
    if kept is not None and kept["insecure"] is False and origin["insecure"]:
        reasons = "; ".join(origin["insecure_because"])
        raise KeyRefused(
            f"a secure key of {kept['circuit']} is there, and this one is not ({reasons}): move it away first"
        )


def _kept(circuit: str, folder: Path) -> Meta | None:
    """Return the record of the key that is there, if it is one."""
    try:
        return keys.load_meta(circuit, folder)
    except KeyRefused:
        return None


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
