"""Every tampered pack is refused, and the harness that says so catches a verifier that has been weakened."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from backend.transparency.engine import verifier
from scripts.chaos.pack_cases import load_cases
from scripts.chaos.pack_mutations import MUTATIONS
from scripts.chaos.packs import Examine, lines, run, says_the_same, tamper

CASES = load_cases()
# Only the pairing refuses these: most of a second each.
PROVED = ["another challenge with its fold", "another proof of the claim"]
# What a careless maintainer could write, and the classes that must notice.
WEAKENED = {
    "inclusion": (
        'if root_from_path(leaf, entry["index"], size, hashes(entry["inclusion"])) != root:',
        "if False:",
        ["an array reordered", "an item dropped"],
    ),
    "disclosed fields": (
        'if self._commitment_behind(name, disclosure) != decode_base64url(content["c"], 32):',
        "if False:",
        ["a salt or path changed"],
    ),
    "checkpoint signature": (
        "Ed25519PublicKey.from_public_bytes(key).verify(signature, message)",
        "pass",
        ["a forged checkpoint"],
    ),
    "consistency": (
        "if not nodes or _proved_roots(old_size, size, nodes) != (old_root, root):",
        "if False:",
        ["a consistency proof changed"],
    ),
    "account chain": ("            _require_next(before, entry)\n", "            pass\n", ["an entry cut out"]),
    "heads": (
        'if bound != decode_base64url(self.pack["anchor"]["heads_root"], 32):',
        "if False:",
        ["a head exchanged"],
    ),
    "anchor on chain": ("shown.append(self._held_by_contract(expected))", 'shown.append("")', ["signed by another"]),
    "l2_proof": ("if keccak256(node) != expected:", "if False:", ["an l2 proof changed"]),
    "base64": (
        'if len(content) != length or base64.urlsafe_b64encode(content).rstrip(b"=").decode() != text:',
        "if len(content) != length:",
        ["base64 of another form"],
    ),
    "duplicate keys": ("if len(found) != len(pairs):", "if False:", ["a key twice"]),
    "Groth16": (
        'require_groth16(policy.key, from_hex(claim["proof"]), public_inputs(stated))',
        "pass",
        ["another challenge with its fold"],
    ),
    "handed proof": ('if claim["proof"][2:] not in handed:', "if False:", ["another proof of the claim"]),
    "order": ("if any(after <= before for before, after in pairwise(places)):", "if False:", ["entries reordered"]),
}


def test_hundreds_of_tampered_packs_in_every_class_are_refused() -> None:
    quick = [name for name in MUTATIONS if name not in PROVED]
    tallies = run(CASES, 20 * len(quick), seed=5, classes=quick) | run(CASES, 6, seed=5, classes=PROVED)
    assert not [line for line in lines(tallies) if "ACCEPTED" in line]
    assert sum(tally.refused for tally in tallies.values()) == 20 * len(quick) + 6
    assert len(tallies) == len(MUTATIONS) >= 16
    assert all(tally.refused >= 3 for tally in tallies.values())
    seen = {check for tally in tallies.values() for check in tally.checks}
    assert {*verifier.CHECKS} - seen <= {"model hash", "replayed decision", "compliance receipt", "log identity"}


@pytest.fixture
def weakened(tmp_path: Path) -> Iterator[Any]:
    """Return a function that loads a copy of the verifier with one line replaced."""
    names: list[str] = []

    def load(old: str, new: str) -> Examine:
        source = Path(verifier.__file__).read_text()
        assert old in source, old
        path = tmp_path / f"weakened_{len(names)}.py"
        path.write_text(source.replace(old, new))
        module = _module(path)
        names.append(module.__name__)
        examine: Examine = module.examine
        return examine

    yield load
    for name in names:
        del sys.modules[name]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("weakness", WEAKENED)
def test_a_verifier_without_one_of_its_checks_is_caught(weakness: str, weakened: Any) -> None:
    old, new, classes = WEAKENED[weakness]
    count = 4 if classes[0] in PROVED else 40
    tallies = run(CASES, count, 7, weakened(old, new), classes)
    assert any(tally.accepted for tally in tallies.values())
    honest = run(CASES, count, 7, classes=classes)
    assert not any(tally.accepted for tally in honest.values())


def test_a_verifier_that_crashes_is_caught() -> None:
    def crashing(*_: object) -> Any:
        raise KeyError("entries")

    tallies = run(CASES, 5, 7, crashing, ["truncated"])
    assert len(tallies["truncated"].accepted) == 5
    assert "crashed with KeyError" in next(line for line in lines(tallies) if line.startswith("ACCEPTED"))


def test_the_same_seed_tampers_alike() -> None:
    contents = [tamper("a value changed", CASES, Random(9)).content for _ in range(2)]
    assert contents[0] == contents[1]


def test_another_layout_says_the_same_and_another_value_does_not() -> None:
    pack = next(case for case in CASES if case.name == "full").pack
    assert says_the_same(pack, json.loads(json.dumps(pack, indent=3)))
    close, far = json.loads(json.dumps(pack)), json.loads(json.dumps(pack))
    close["model"]["q_values"][0] = str(float(pack["model"]["q_values"][0]) + 1e-6)
    far["model"]["q_values"][0] = str(float(pack["model"]["q_values"][0]) + 1e-3)
    assert says_the_same(pack, close)
    assert not says_the_same(pack, far)
    assert not says_the_same(pack, pack | {"entries": []})
