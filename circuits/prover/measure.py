# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a circuit: its constraints, and what one proof of it costs in this process."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import groth16py

from circuits.prover import compiler, keys
from circuits.prover.keys import Meta, Progress

PROOFS = 3
VERIFICATIONS = 100
STATUS = Path("/proc/self/status")


def count(circuit: str, folder: Path, progress: Progress) -> Meta:
    """Return the compiler's counts, kept beside the circuit's key as long as the sources are the same."""
    kept, wanted = folder / circuit / "counts.json", keys.circuit_hash(circuit)
    if kept.exists():
        known: Meta = json.loads(kept.read_text())
        if known.get("circuit_hash") == wanted:
            return known
    progress("counting constraints")
    with tempfile.TemporaryDirectory(prefix=f".{circuit}.", dir=_made(folder)) as fresh:
        counts = {**compiler.count(circuit, Path(fresh)), "circuit_hash": wanted}
        whole = Path(fresh) / "counts.json"
        whole.write_text(json.dumps(counts, sort_keys=True) + "\n")
        whole.replace(_made(kept.parent) / kept.name)
    return counts


def measure(
    circuit: str, folder: Path, inputs: dict[str, object], public_inputs: list[int], progress: Progress
) -> Meta:
    """Prove and verify a claim repeatedly and return the medians, with the memory that loading and proving took.

    CPU seconds are user and system over all threads, witness included, key loaded before; bytes the resident peak.
    """
    meta = keys.load_meta(circuit, folder)
    proving, verifier = keys.load_proving(circuit, folder), groth16py.Verifier(keys.load_verifying(circuit, folder))
    proofs, cpu, wall = [], [], []
    for turn in range(PROOFS):
        progress(f"proving, {turn + 1} of {PROOFS}")
        cpu_started, wall_started = time.process_time(), time.perf_counter()
        proofs.append(groth16py.prove(proving, inputs))
        cpu.append(time.process_time() - cpu_started)
        wall.append(time.perf_counter() - wall_started)
    peak = peak_bytes()
    progress(f"verifying, {VERIFICATIONS} times")
    if not all(verifier.verify(proof, public_inputs) for proof in proofs):
        raise ValueError("the inputs do not satisfy the circuit: there is nothing to measure")
    verify_ms = median(_timed(lambda: verifier.verify(proofs[0], public_inputs)) for _ in range(VERIFICATIONS)) * 1000
    return {
        "circuit": circuit,
        "verification_key_hash": meta["verification_key_hash"],
        "prove_cpu_seconds": round(median(cpu), 3),
        "prove_wall_seconds": round(median(wall), 3),
        "peak_memory_bytes": peak,
        "verify_ms": round(verify_ms, 2),
        "proofs": PROOFS,
        "verifications": VERIFICATIONS,
        "proving_key_bytes": (folder / circuit / "proving.key").stat().st_size,
    }


def peak_bytes() -> int:
    """Return the most memory that this process has held, in bytes."""
    # getrusage's figure survives exec: it would tell the peak of whoever started this process
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
