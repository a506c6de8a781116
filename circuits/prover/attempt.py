# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove without looking: what a dishonest prover does. `python -m circuits.prover.attempt CIRCUIT [--folder FOLDER]`.

One line of JSON a claim on stdin, {"inputs": {signal: number or list}}; one line answers it with {"proof": "0x.."},
verified by nobody, or {"refused": why} where not even a witness can be written down.
"""

import argparse
import json
import sys
from pathlib import Path

import groth16py

from circuits.prover import keys

HEX = 16


def main() -> int:
    """Answer every line until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("circuit")
    parser.add_argument("--folder", type=Path, default=keys.ROOT / ".refi" / "zk")
    options = parser.parse_args()
    keys.setup(options.circuit, options.folder, lambda _stage: None)
    proving = keys.load_proving(options.circuit, options.folder)
    for line in sys.stdin:
        inputs = json.loads(line)["inputs"]
        signals: dict[str, object] = {
            name: [int(part, HEX) for part in value] if isinstance(value, list) else int(value, HEX)
            for name, value in inputs.items()
        }
        try:
            answer = {"proof": "0x" + groth16py.prove(proving, signals).hex()}
        except groth16py.WitnessError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
