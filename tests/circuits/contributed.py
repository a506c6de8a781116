"""The small circuit's key that contributors made with snarkjs, kept in tests/vectors/zk, and the prover's process."""

import json
import lzma
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.circuits.example import ROOT

SMALL = "var_4_8_es"
VECTORS = ROOT / "tests" / "vectors" / "zk"
POWERS = VECTORS / "powers_of_tau_12.ptau"
UNCONTRIBUTED = VECTORS / f"{SMALL}_uncontributed.zkey"
KEYS = ROOT / ".refi" / "zk-contributed"


def ask(
    command: str, circuit: str, folder: Path, *options: object, request: object = None, root: Path = ROOT
) -> dict[str, Any]:
    """Run the prover's process of the project at `root` and return its last line."""
    arguments = [sys.executable, "-m", "circuits.prover", command, circuit, "--folder", str(folder)]
    said = json.dumps(request if request is not None else {"inputs": {}, "public_inputs": [], "proof": "0x"})
    done = subprocess.run(
        [*arguments, *map(str, options)], cwd=root, capture_output=True, text=True, check=False, input=said
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert ("error" in answer) == (done.returncode == 1), done.stderr
    return answer


def zkey(folder: Path) -> Path:
    """Write the contributed key into a folder, as snarkjs left it."""
    path = folder / f"{SMALL}.zkey"
    path.write_bytes(lzma.decompress((VECTORS / f"{SMALL}.zkey.xz").read_bytes()))
    return path


@lru_cache(maxsize=1)
def contributed() -> dict[str, Any]:
    """Return the record of the contributed key in KEYS, imported if it is not there: half a minute, once."""
    with tempfile.TemporaryDirectory() as folder:
        answer = ask("import", SMALL, KEYS, "--zkey", zkey(Path(folder)), "--ptau", POWERS)
    assert "error" not in answer, f"{answer['error']}: see tests/vectors/zk/README.md"
    return answer
