"""The baseline states what the deployed circuit states, so that the ratio between the two means something."""

import json
import subprocess
import sys
from functools import lru_cache
from typing import Any

import groth16py
import pytest

from backend.cli.zk.circuits import baselines, circuits
from backend.cli.zk.examples import baseline_request, example
from backend.kernel.field import SCALAR_FIELD
from tests.circuits.example import KEYS, ROOT

NAME = "var_inside_4_90"


@lru_cache(maxsize=1)
def keys() -> tuple[groth16py.ProvingKey, groth16py.Verifier]:
    """Return the baseline's development key, made if it is not there."""
    command = [sys.executable, "-m", "circuits.prover", "setup", NAME, "--folder", str(KEYS)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    verifying = groth16py.VerifyingKey.load(str(KEYS / NAME / "verifying.key"))
    return groth16py.ProvingKey.load(str(KEYS / NAME / "proving.key")), groth16py.Verifier(verifying)


def honest() -> dict[str, Any]:
    """Return the inputs of the tightest true claim, and its public inputs."""
    return baseline_request(example(baselines()[NAME]))


def accepts(inputs: dict[str, Any], public: list[str]) -> bool:
    """Return whether a proof can be made that verifies."""
    proving, verifier = keys()
    try:
        proof = groth16py.prove(proving, numbers(inputs))
        return bool(verifier.verify(proof, [int(value) for value in public]))
    except (groth16py.WitnessError, groth16py.VerificationError):
        return False


def numbers(value: Any) -> Any:
    """Return decimal strings, nested as they are, as integers."""
    if isinstance(value, dict):
        return {name: numbers(part) for name, part in value.items()}
    return [numbers(part) for part in value] if isinstance(value, list) else int(value)


def test_it_accepts_a_limit_of_exactly_the_var() -> None:
    asked = honest()
    assert accepts(asked["inputs"], asked["public_inputs"])


def test_it_refuses_a_limit_just_below_the_var() -> None:
    asked = honest()
    lower = str(int(asked["inputs"]["limit"]) - 1)
    public = [lower if value == asked["inputs"]["limit"] else value for value in asked["public_inputs"]]
    assert public != asked["public_inputs"]
    assert not accepts(asked["inputs"] | {"limit": lower}, public)


@pytest.mark.parametrize(("name", "by"), [("R", 1), ("price", 1), ("q", 1), ("salt", 1)])
def test_it_binds_what_is_hashed(name: str, by: int) -> None:
    asked = honest()
    altered = json.loads(json.dumps(asked["inputs"]))
    if name == "salt":
        altered["salt"] = str(int(altered["salt"]) + by)
    else:
        first = altered[name][0] if name == "R" else altered[name]
        first[0] = str(int(first[0]) + by)
    assert not accepts(altered, asked["public_inputs"])


def test_it_refuses_a_return_that_does_not_fit_its_place_in_the_element() -> None:
    asked = honest()
    altered = json.loads(json.dumps(asked["inputs"]))
    first = altered["R"][0]
    # 2^24 more in one place and one less in the next is the same element
    first[0], first[1] = str((int(first[0]) + (1 << 24)) % SCALAR_FIELD), str((int(first[1]) - 1) % SCALAR_FIELD)
    assert not accepts(altered, asked["public_inputs"])


def test_no_baseline_can_be_deployed() -> None:
    assert not set(baselines()) & set(circuits())
    assert all(one.of in circuits() for one in baselines().values())
    for one in baselines().values():
        assert one.shape == circuits()[one.of].shape
