# SPDX-License-Identifier: GPL-3.0-or-later
"""snarkjs in a node process of its own."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("snarkjs.cjs")

Progress = Callable[[str], None]


def ask(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Let snarkjs do one task (see snarkjs.cjs) and return its answer; raise OSError where it cannot."""
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError("snarkjs needs node")
    answer: dict[str, Any] = {"error": "no answer"}
    # The child ends when its stdin closes: leaving this block for whatever reason ends it
    with subprocess.Popen(  # noqa: S603
        [node, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise OSError("snarkjs has no pipes")
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        for line in child.stdout:
            message = json.loads(line)
            if "progress" in message:
                progress(str(message["progress"]))
            else:
                answer = message
    if "error" in answer:
        raise OSError(f"snarkjs: {answer['error']}")
    return answer


def to_words(proof: dict[str, Any]) -> bytes:
    """Return snarkjs's proof as 256 bytes: A B C, G2 imaginary parts first (EIP-197)."""
    a, b, c = proof["pi_a"], proof["pi_b"], proof["pi_c"]
    words = [a[0], a[1], b[0][1], b[0][0], b[1][1], b[1][0], c[0], c[1]]
    return b"".join(int(word).to_bytes(32, "big") for word in words)


def from_words(proof: bytes) -> dict[str, Any]:
    """Return 256 bytes as snarkjs writes a proof."""
    a0, a1, b1, b0, d1, d0, c0, c1 = (str(int.from_bytes(proof[at : at + 32], "big")) for at in range(0, 256, 32))
    return {
        "pi_a": [a0, a1, "1"],
        "pi_b": [[b0, b1], [d0, d1], ["1", "0"]],
        "pi_c": [c0, c1, "1"],
        "protocol": "groth16",
        "curve": "bn128",
    }
