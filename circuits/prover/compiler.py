# SPDX-License-Identifier: GPL-3.0-or-later
"""Count and inspect a circuit's constraints with circom2."""

import os
import re
import subprocess
from pathlib import Path

from circuits.prover.keys import CIRCUITS, ROOT, Meta, parameters

COMPILER = ROOT / "node_modules" / ".bin" / "circom2"
COUNTS = ("non-linear constraints", "linear constraints", "public inputs", "private inputs", "public outputs", "wires")
WARNING = re.compile(r"(?:warning|error)\[(\w+)\][^:]*: (.*)")
# A range check uses its bits only inside Num2Bits: the one notice that is expected
UNUSED_BITS = re.compile(r"Array of subcomponent input/output signals \S+\.out contains")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count(circuit: str, folder: Path) -> Meta:
    """Compile to an .r1cs in `folder` and return the compiler's counts."""
    folder.mkdir(parents=True, exist_ok=True)
    printed = _compile(circuit, "--r1cs", "--O2", "-o", os.path.relpath(folder, ROOT))
    counts = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    return {name.replace("-", "_").replace(" ", "_"): int(counts[name].split()[0]) for name in COUNTS if name in counts}


def build(circuit: str, folder: Path) -> tuple[Path, Path]:
    """Compile to the constraints (.r1cs) and the witness calculator (.wasm) in `folder`, and return their paths."""
    _compile(circuit, "--r1cs", "--wasm", "--O2", "-o", os.path.relpath(folder, ROOT))
    name = Path(parameters(circuit)["file"]).stem
    return folder / f"{name}.r1cs", folder / f"{name}_js" / f"{name}.wasm"


def inspect(circuit: str) -> Meta:
    """Return the compiler's notices of possibly unconstrained signals, and which of them nobody expects."""
    notices = WARNING.findall(_compile(circuit, "--inspect"))
    unexpected = [f"{code}: {text}" for code, text in notices if code != "CA02" or not UNUSED_BITS.search(text)]
    return {"circuit": circuit, "range_checks": len(notices) - len(unexpected), "unexpected": unexpected}


def _compile(circuit: str, *options: str) -> str:
    # circom2 resolves includes only below its working folder
    source = (CIRCUITS / parameters(circuit)["file"]).relative_to(ROOT)
    command = [str(COMPILER), str(source), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return COLOUR.sub("", done.stdout + done.stderr)
