"""What is printed of a circuit was counted by the compiler and measured on valid proofs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.cli.zk.circuits import named
from backend.cli.zk.examples import request
from tests.circuits.example import KEYS, ROOT

SMALL = "var_4_8_es"


def prover(command: str, folder: Path, asked: object = None) -> tuple[int, list[dict[str, Any]]]:
    """Run a command of the prover and return its exit status and what it answered."""
    arguments = [sys.executable, "-m", "circuits.prover", command, SMALL, "--folder", str(folder)]
    done = subprocess.run(
        arguments, cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def keys() -> Path:
    """Return a folder that holds the small circuit's key."""
    assert prover("setup", KEYS)[0] == 0
    return KEYS


def test_counts_are_kept_while_the_sources_are_the_same(tmp_path: Path) -> None:
    _code, first = prover("count", tmp_path)
    assert first[0] == {"progress": "counting constraints"}
    assert first[-1]["non_linear_constraints"] < 4096
    kept = tmp_path / SMALL / "counts.json"
    assert prover("count", tmp_path) == (0, [first[-1]])

    kept.write_text(json.dumps(first[-1] | {"circuit_hash": "0x00", "non_linear_constraints": 1}))
    assert prover("count", tmp_path)[1] == first
    assert json.loads(kept.read_text()) == first[-1]
    assert [path.name for path in tmp_path.iterdir()] == [SMALL]


def test_a_valid_claim_is_measured(keys: Path) -> None:
    code, answers = prover("measure", keys, request(named(SMALL)))
    found = answers[-1]
    assert code == 0
    assert 0 < found["prove_cpu_seconds"] < 60
    assert 0 < found["verify_ms"] < 1000
    # The key alone, and far less than what compiling it takes
    assert (keys / SMALL / "proving.key").stat().st_size < found["peak_memory_bytes"] < 400_000_000
    assert [answer["progress"] for answer in answers[:-1]] == [
        "proving, 1 of 3", "proving, 2 of 3", "proving, 3 of 3", "verifying, 100 times",
    ]  # fmt: skip


def test_nothing_is_measured_of_a_claim_that_does_not_hold(keys: Path) -> None:
    asked = request(named(SMALL))
    asked["public_inputs"][1] = str(int(asked["public_inputs"][1]) + 1)
    code, answers = prover("measure", keys, asked)
    assert (code, answers[-1]) == (
        1,
        {"error": "ValueError: the inputs do not satisfy the circuit: there is nothing to measure"},
    )
