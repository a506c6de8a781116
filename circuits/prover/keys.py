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

Meta = dict[str, Any]
Progress = Callable[[str], None]


class KeyRefused(Exception):
    """A key that anyone could forge proofs for, or that is not of this circuit."""


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
    folder.mkdir(parents=True, exist_ok=True)
    wanted = circuit_hash(circuit)
    with _locked(folder / f".{circuit}.lock"):
        if (folder / circuit / "meta.json").exists():
            meta = load_meta(circuit, folder)
            if meta["circuit_hash"] == wanted:
                progress("key present")
                return meta
        progress("compiling and making a key")
        fresh = Path(tempfile.mkdtemp(prefix=f".{circuit}.", dir=folder))
        try:
            meta = _make(circuit, wanted, fresh)
            # Readers see the old folder or the new one, never half of one
            shutil.rmtree(folder / circuit, ignore_errors=True)
            fresh.rename(folder / circuit)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    progress("key made")
    return meta


def _make(circuit: str, source_hash: str, fresh: Path) -> Meta:
    entry = parameters(circuit)
    proving, verifying = groth16py.setup_circom(str(CIRCUITS / entry["file"]), [])
    packed = packed_key(verifying)
    refuse_forgeable(packed)
    meta: Meta = {
        "circuit": circuit,
        "circuit_hash": source_hash,
        "verification_key_hash": "0x" + keccak256(packed).hex(),
        "verification_key": "0x" + packed.hex(),
        "insecure": True,  # one party made it, and could keep what forges proofs
        "made_by": f"groth16py {groth16py.__version__}",
        **{name: value for name, value in entry.items() if name != "file"},
    }
    proving.save(str(fresh / "proving.key"))
    verifying.save(str(fresh / "verifying.key"))
    (fresh / "vk.json").write_text(verifying.to_json())
    (fresh / "meta.json").write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")
    fresh.chmod(0o755)
    return meta


def load_meta(circuit: str, folder: Path) -> Meta:
    """Return what is recorded of a key, after checking it against the key itself."""
    path = folder / circuit / "meta.json"
    if not path.exists():
        raise KeyRefused(f"no key of {circuit} in {folder}: run setup first")
    meta: Meta = json.loads(path.read_text())
    packed = packed_key(load_verifying(circuit, folder))
    refuse_forgeable(packed)
    if meta["verification_key_hash"] != "0x" + keccak256(packed).hex():
        raise KeyRefused(f"the key of {circuit} is not the one recorded beside it")
    return meta


def load_verifying(circuit: str, folder: Path) -> groth16py.VerifyingKey:
    """Return the verifying key."""
    return groth16py.VerifyingKey.load(str(folder / circuit / "verifying.key"))


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
