# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, keep and judge proving keys: one folder a circuit, complete or absent."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import groth16py

from backend.kernel.keccak import keccak256
from circuits.prover import record, zkey
from circuits.prover.refusals import KeyRefused

__all__ = ["CIRCUITS", "ROOT", "KeyRefused", "Meta", "Progress", "circuit_hash", "load_meta", "parameters", "setup"]

CIRCUITS = Path(__file__).resolve().parent.parent
ROOT = CIRCUITS.parent
INCLUDE = re.compile(r'^\s*include\s+"([^"]+)"', re.MULTILINE)
# EIP-197: the generator of G2, imaginary parts first
G2_GENERATOR = (
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
)

# What every record of a key holds
IDENTITY = {"verification_key", "verification_key_hash"}
MADE_BY = f"groth16py {groth16py.__version__}"

Meta = dict[str, Any]
Progress = Callable[[str], None]


def parameters(circuit: str) -> Meta:
    """Return a circuit's entry in circuits.json, or that of a baseline, which is measured and never deployed."""
    sets: dict[str, Meta] = json.loads((CIRCUITS / "circuits.json").read_text())
    baselines: dict[str, Meta] = json.loads((CIRCUITS / "baseline" / "baselines.json").read_text())
    if circuit in baselines:
        return baselines[circuit]
    if circuit not in sets:
        raise KeyRefused(f"no circuit {circuit}; known: {', '.join(sorted(sets))}")
    return sets[circuit]


def circuit_hash(circuit: str) -> str:
    """Return the SHA-256 over the circuit's source and everything that it includes, each named and hashed, by path."""
    pending, seen = [(CIRCUITS / str(parameters(circuit)["file"])).resolve()], set[Path]()
    while pending:
        source = pending.pop()
        if source not in seen:
            seen.add(source)
            pending += [(source.parent / name).resolve() for name in INCLUDE.findall(source.read_text())]
    digest = hashlib.sha256()
    for name, source in sorted((_stable_name(source), source) for source in seen):
        digest.update(name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return "0x" + digest.hexdigest()


def _stable_name(source: Path) -> str:
    """Name a source the same wherever node_modules lies."""
    parts = source.parts
    if "node_modules" in parts:
        return "/".join(parts[parts.index("node_modules") :])
    return source.relative_to(ROOT).as_posix()


def packed_key(key: groth16py.VerifyingKey) -> bytes:
    """Return alpha1 beta2 gamma2 delta2 IC_0 .. IC_m as 32-byte words, G2 imaginary part first (EIP-197)."""
    fields = json.loads(key.to_json())
    words = [int(word) for word in fields["vk_alpha_1"][:2]]
    for name in ("vk_beta_2", "vk_gamma_2", "vk_delta_2"):
        words += [int(word) for point in fields[name][:2] for word in (point[1], point[0])]
    words += [int(word) for point in fields["IC"] for word in point[:2]]
    return b"".join(word.to_bytes(32, "big") for word in words)


def refuse_forgeable(packed: bytes) -> None:
    """Raise KeyRefused for a key with gamma = delta or delta = the generator: its second phase never happened.

    Only x is compared: gamma = -delta is as bad, and so is a point at infinity (zeros).
    """
    gamma, delta = packed[192:256], packed[320:384]
    if not all(any(part) for part in (packed[:64], packed[64:192], gamma, delta)):
        raise KeyRefused("a point of the key lies at infinity: every statement could be proved with this key")
    if gamma == delta:
        raise KeyRefused("gamma equals delta: every statement could be proved with this key")
    if delta == b"".join(word.to_bytes(32, "big") for word in G2_GENERATOR[:2]):
        raise KeyRefused("delta is the generator: every statement could be proved with this key")


def setup(circuit: str, folder: Path, progress: Progress) -> Meta:
    """Return the circuit's key in `folder`, making a single-party development key if none fits the sources."""
    with replaced(circuit, folder) as fresh:
        found = _record(circuit, folder)
        if found is not None and found.get("origin") is not None and _is_of_sources(circuit, found):
            progress("key present")
            return load_meta(circuit, folder)
        # Nobody can make a contributed key again, not even one whose record is lost
        if (found or {}).get("origin") == record.CEREMONY or (folder / circuit / "circuit.zkey").exists():
            raise KeyRefused(
                f"{folder / circuit} holds a ceremony's key that is of another text of the circuit or without its "
                "record: move it away first"
            )
        progress("compiling and making a key")
        proving, verifying = groth16py.setup_circom(str(CIRCUITS / parameters(circuit)["file"]), [])
        save(circuit, fresh, (proving, verifying), {"made_by": MADE_BY, **record.development()})
    progress("key made")
    return load_meta(circuit, folder)


@contextmanager
def replaced(circuit: str, folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the circuit's if it holds a whole key at the end; one writer at a time."""
    parameters(circuit)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{circuit}.lock"):
        unfinished, aside = f".{circuit}.unfinished.", folder / f".{circuit}.replaced"
        _put_back(aside, folder / circuit)
        for left in folder.glob(f"{unfinished}*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=unfinished, dir=folder))
        try:
            yield fresh
            if (fresh / "meta.json").exists():
                fresh.chmod(0o755)
                # Moved aside whole: readers see the old folder, none or the new one, never half of one
                if (folder / circuit).exists():
                    (folder / circuit).rename(aside)
                fresh.rename(folder / circuit)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            _put_back(aside, folder / circuit)


def _put_back(aside: Path, place: Path) -> None:
    """Put a key that was moved aside back where none took its place, else clear it away."""
    if aside.exists() and not place.exists():
        aside.rename(place)
    shutil.rmtree(aside, ignore_errors=True)


def save(circuit: str, fresh: Path, pair: tuple[groth16py.ProvingKey, groth16py.VerifyingKey], origin: Meta) -> None:
    """Write a key pair into `fresh`, beside what lies there already, and last the record of it all."""
    proving, verifying = pair
    packed = packed_key(verifying)
    refuse_forgeable(packed)
    proving.save(str(fresh / "proving.key"))
    verifying.save(str(fresh / "verifying.key"))
    (fresh / "vk.json").write_text(verifying.to_json())
    meta: Meta = {
        "circuit": circuit,
        "circuit_hash": circuit_hash(circuit),
        "verification_key_hash": "0x" + keccak256(packed).hex(),
        "verification_key": "0x" + packed.hex(),
        "files": {file.name: _digest(file) for file in sorted(fresh.iterdir())},
        **_parameters(circuit),
        **origin,
    }
    (fresh / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")


def load_meta(circuit: str, folder: Path) -> Meta:
    """Return what is recorded of a key, after checking it against the key, the circuit's sources and its origin."""
    parameters(circuit)
    meta = _record(circuit, folder)
    if meta is None:
        raise KeyRefused(f"no key of {circuit} in {folder}: run setup first")
    packed = packed_key(load_verifying(circuit, folder))
    refuse_forgeable(packed)
    if (meta["verification_key"], meta["verification_key_hash"]) != (
        "0x" + packed.hex(),
        "0x" + keccak256(packed).hex(),
    ):
        raise KeyRefused(f"the key of {circuit} is not the one recorded beside it")
    if meta.get("origin") is None or not _is_of_sources(circuit, meta):
        raise KeyRefused(f"the key of {circuit} is of another text of the circuit: run setup again")
    record.require_consistent(meta)
    if meta["origin"] == record.CEREMONY:
        record.require_of(meta, packed, zkey.read(folder / circuit / "circuit.zkey"))
    return meta


def require_files(meta: Meta, folder: Path, *names: str) -> None:
    """Raise KeyRefused unless the named files of a key are those that its record was made with."""
    for name in names:
        path = folder / meta["circuit"] / name
        if name not in meta["files"]:
            raise KeyRefused(f"the key of {meta['circuit']} has no {name}: snarkjs needs a key imported from a zkey")
        if not path.exists() or _digest(path) != meta["files"][name]:
            raise KeyRefused(f"{name} of {meta['circuit']} is not the one recorded beside it")


def _record(circuit: str, folder: Path) -> Meta | None:
    path = folder / circuit / "meta.json"
    if not path.exists():
        return None
    try:
        meta: Meta = json.loads(path.read_text())
    except (ValueError, RecursionError):
        meta = {}
    if not isinstance(meta, dict) or not set(meta) >= IDENTITY:
        raise KeyRefused(f"{path} is damaged: move {path.parent} away first")
    return meta


def _is_of_sources(circuit: str, meta: Meta) -> bool:
    """Return whether a key's record is of the circuit's text and parameters as they are now."""
    now = {"circuit": circuit, "circuit_hash": circuit_hash(circuit), **_parameters(circuit)}
    return all(meta.get(name) == value for name, value in now.items())


def _parameters(circuit: str) -> Meta:
    return {name: value for name, value in parameters(circuit).items() if name != "file"}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "0x" + hashlib.file_digest(file, "sha256").hexdigest()


def load_verifying(circuit: str, folder: Path) -> groth16py.VerifyingKey:
    """Return the verifying key; raise KeyRefused where it is none."""
    path = folder / circuit / "verifying.key"
    try:
        return groth16py.VerifyingKey.load(str(path))
    except groth16py.EncodingError as error:
        raise KeyRefused(f"{path} is damaged ({error}): move {path.parent} away first") from error


def load_proving(circuit: str, folder: Path) -> groth16py.ProvingKey:
    """Return the proving key, with the circuit's witness calculator inside."""
    return groth16py.ProvingKey.load(str(folder / circuit / "proving.key"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the system drops with the process."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
