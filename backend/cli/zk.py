"""The prover's process from the command line."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from backend.adapters.prover.groth16 import Groth16Process
from backend.bootstrap import CIRCUIT, ROOT
from backend.cli.session import current_settings
from backend.kernel.errors import Unavailable
from backend.ports.prover import CircuitKey
from backend.settings import child_environment


def setup() -> dict[str, Any]:
    """Make the development key if there is none."""
    return _shown(asyncio.run(_prover().setup(CIRCUIT)))


def key() -> dict[str, Any]:
    """Return the key's record."""
    return _shown(asyncio.run(_prover().key(CIRCUIT)))


def report() -> dict[str, Any]:
    """Count the constraints with the compiler."""
    folder = current_settings().proving_keys_dir.absolute()
    command = [sys.executable, "-m", "circuits.prover", "compile", CIRCUIT, "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the circuit does not compile: {done.stdout[-500:]}{done.stderr[-500:]}")
    return {"circuit": CIRCUIT, **json.loads(done.stdout.splitlines()[-1])}


def _prover() -> Groth16Process:
    return Groth16Process(ROOT, current_settings().proving_keys_dir.absolute())


def _shown(found: CircuitKey) -> dict[str, Any]:
    return {
        "circuit": found.circuit,
        "circuit_hash": "0x" + found.circuit_hash.hex(),
        "verification_key_hash": "0x" + found.verification_key_hash.hex(),
        "insecure": found.insecure,
        "instruments": found.instruments,
        "window": found.window,
        "k": found.k,
        "confidence": str(found.confidence),
    }
