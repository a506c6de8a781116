"""`refi zk`: keys, proofs and verdicts as a person at a terminal meets them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.bootstrap import CIRCUIT
from backend.cli.zk.circuits import PLATFORM_CIRCUIT, SMALL_CIRCUIT, circuits, parameter_sets
from backend.settings import child_environment
from tests.backend.cli.conftest import ROOT, Answer, refi_in, several_in

KEYS = ROOT / ".refi" / "zk"
EXAMPLE = ROOT / "circuits" / "examples" / "claim.json"
RETURNS = ROOT / "circuits" / "examples" / "returns.json"
INPUTS = ROOT / "circuits" / "inputs" / f"{SMALL_CIRCUIT}.json"
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one folder of this module."""
    return tmp_path_factory.mktemp("zk")


@pytest.fixture(scope="module")
def proof(folder: Path) -> dict[str, Any]:
    """Return the proof of the example claim, made by the verbs alone."""
    verbs = (
        ["zk", "setup", "--dev", "--json"],
        ["zk", "prove", PLATFORM_CIRCUIT, "--claim", str(EXAMPLE), "--out", str(folder / "proof.json")],
    )
    made, proved = several_in(folder, verbs, proving_keys_dir=KEYS)
    assert [key["circuit"] for key in json.loads(made.out)] == [PLATFORM_CIRCUIT]
    assert proved.code == 0
    assert proved.out.startswith("proved in ")
    assert proved.err.splitlines()[-1] == "verifying"
    found: dict[str, Any] = json.loads((folder / "proof.json").read_text())
    return found


@pytest.fixture(scope="module")
def refused(folder: Path) -> Mapping[str, Answer]:
    """Run what no key or proof is needed for, in one process, in a folder without keys."""
    prove = ["zk", "prove", PLATFORM_CIRCUIT, "--claim"]
    verbs: Mapping[str, list[str]] = {
        "no --dev": ["zk", "setup"],
        "unknown": ["zk", "setup", "var_3_90", "--dev"],
        "one and all": ["zk", "setup", PLATFORM_CIRCUIT, "--all", "--dev"],
        "no key": ["zk", "key"],
        "no key to prove": [*prove, str(EXAMPLE)],
        "no claim": [*prove, "nothing.json"],
        "no engine": [*prove, str(EXAMPLE), "--engine", "magic"],
        "nowhere to write": [
            "zk",
            "prove",
            PLATFORM_CIRCUIT,
            "--claim",
            str(EXAMPLE),
            "--out",
            str(folder / "a" / "b"),
        ],
        "no powers": ["zk", "ceremony", "--import", str(EXAMPLE)],
        "powers of nothing": ["zk", "ceremony", "--ptau", str(EXAMPLE)],
        "no zkey": ["zk", "ceremony", SMALL_CIRCUIT, "--import", str(EXAMPLE), "--ptau", str(RETURNS)],
        "part of the table": ["zk", "report", SMALL_CIRCUIT, "--write"],
        "no baseline": ["zk", "report", SMALL_CIRCUIT, "--baseline"],
    }
    return dict(zip(verbs, several_in(folder, list(verbs.values()), proving_keys_dir=folder / "none"), strict=True))


@pytest.fixture(scope="module")
def verdicts(folder: Path, proof: dict[str, Any]) -> Mapping[str, Answer]:
    """Run what needs a key, in one process."""
    higher = proof["statement"] | {"limit": hex(int(proof["statement"]["limit"], 16) + 1)}
    returns, claim, signals = (json.loads(file.read_text()) for file in (RETURNS, EXAMPLE, INPUTS))
    first = "B" if returns["returns"][10] == "A" else "A"
    signals["inputs"]["limit"] = str(int(signals["inputs"]["limit"]) + 1)
    renamed = returns | {"universe": [f"T{place}" for place in range(16)]}
    returns = returns | {"returns": returns["returns"][:10] + first + returns["returns"][11:]}
    stated = list(proof["statement"].values())
    written = {
        "ten values": {"entries": [], "var": {"proof": proof["proof"], "public_inputs": [*stated, "0x1"]}},
        "no attestation": {"entries": [], "var": []},
        "no inputs": {"proof": proof["proof"], "public_inputs": 5},
        "renamed": renamed,
        "pack": {"entries": [], "var": {"proof": proof["proof"], "public_inputs": list(proof["statement"].values())}},
        "higher": {"proof": proof["proof"], "statement": higher},
        "mixed": proof | {"statement": higher},
        "returns": returns,
        "breaking": claim | {"limits": {"var_usd": "100", "es_usd": "700"}},
        "altered": signals,
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content))

    def verify(name: str, *options: object) -> list[str]:
        proof_file = str(folder / f"{name}.json")
        return ["zk", "verify", PLATFORM_CIRCUIT, "--proof", proof_file, *map(str, options)]

    def prove(circuit: str, claim_file: Path, *options: object) -> list[str]:
        return ["zk", "prove", circuit, "--claim", str(claim_file), *map(str, options)]

    breach = prove(PLATFORM_CIRCUIT, folder / "breaking.json", "--returns", RETURNS)
    verbs = {
        "good": verify("proof", "--returns", RETURNS, "--json"),
        "without returns": verify("proof"),
        "pack": verify("pack", "--returns", RETURNS),
        "higher": verify("higher", "--returns", RETURNS),
        "mixed": verify("mixed"),
        "other returns": verify("proof", "--returns", folder / "returns.json"),
        "other names": verify("proof", "--returns", folder / "renamed.json"),
        "no proof": verify("breaking"),
        **{name: verify(name) for name in ("ten values", "no attestation", "no inputs")},
        "breach": breach,
        "breach as JSON": [*breach, "--json"],
        "small key": ["zk", "setup", SMALL_CIRCUIT, "--dev"],
        "small": prove(SMALL_CIRCUIT, INPUTS),
        "altered": prove(SMALL_CIRCUIT, folder / "altered.json"),
    }
    return dict(zip(verbs, several_in(folder, list(verbs.values()), proving_keys_dir=KEYS), strict=True))


def test_a_proof_verifies_with_its_fold(verdicts: Mapping[str, Answer], proof: dict[str, Any]) -> None:
    verdict = json.loads(verdicts["good"].out)
    assert verdicts["good"].code == 0
    assert (verdict["valid"], verdict["fold"], verdict["insecure"]) == (True, "pass", True)
    assert verdict["verification_key_hash"] == proof["verification_key_hash"]


def test_without_returns_the_fold_is_said_to_be_unchecked(verdicts: Mapping[str, Answer]) -> None:
    assert verdicts["without returns"].code == 0
    assert "skipped: without --returns FILE" in verdicts["without returns"].out
    assert "INSECURE" in verdicts["without returns"].out


def test_a_proof_in_an_evidence_pack_verifies(verdicts: Mapping[str, Answer]) -> None:
    assert verdicts["pack"].code == 0


def test_a_proof_of_another_statement_fails(verdicts: Mapping[str, Answer]) -> None:
    assert verdicts["higher"].code == 1
    assert verdicts["higher"].out.startswith("proof  INVALID")
    assert verdicts["mixed"].is_one_line(2, "do not follow from the statement")
    assert verdicts["no proof"].is_one_line(2, "is no proof")


def test_other_returns_fail_the_fold_of_a_valid_proof(verdicts: Mapping[str, Answer]) -> None:
    assert verdicts["other returns"].code == 1
    assert verdicts["other returns"].out.splitlines()[:2] == ["proof  valid", "fold   fail"]
    assert verdicts["other names"].out.splitlines()[:2] == ["proof  valid", "fold   fail"]


def test_a_file_that_holds_no_attestation_is_told_in_one_line(verdicts: Mapping[str, Answer]) -> None:
    for name in ("ten values", "no attestation"):
        assert verdicts[name].is_one_line(2, "public_inputs of an evidence pack are attestation, commitment")
    assert verdicts["no inputs"].is_one_line(2, "public_inputs is a list")


def test_a_limit_below_the_var_is_a_breach_and_no_error(verdicts: Mapping[str, Answer]) -> None:
    told, machine = verdicts["breach"], verdicts["breach as JSON"]
    assert (told.code, machine.code) == (1, 1)
    assert told.err == ""
    assert told.out.startswith("breach: VaR ")
    assert "exceeds the limit 100.00 USD: there is nothing to prove" in told.out
    assert json.loads(machine.out)["outcome"] == "breach"


def test_signals_that_satisfy_nothing_have_no_proof(verdicts: Mapping[str, Answer]) -> None:
    assert json.loads(verdicts["small"].out)["outcome"] == "proved"
    assert verdicts["altered"].code == 1
    assert verdicts["altered"].out.startswith("no proof: ")


def test_what_is_missing_is_told_in_one_line_with_what_is_allowed(refused: Mapping[str, Answer]) -> None:
    assert refused["no --dev"].is_one_line(2, "`refi zk ceremony`", "INSECURE")
    assert refused["unknown"].is_one_line(2, "no circuit 'var_3_90'", "var_64_250_es")
    assert refused["one and all"].is_one_line(2, "not both")
    assert refused["no key"].is_one_line(1, f"`refi zk setup {PLATFORM_CIRCUIT} --dev`")
    assert refused["no key to prove"].is_one_line(1, f"`refi zk setup {PLATFORM_CIRCUIT} --dev`")
    assert refused["no claim"].is_one_line(2, "nothing.json")
    assert refused["no engine"].is_one_line(2, "groth16py, snarkjs")
    assert refused["nowhere to write"].is_one_line(2, "there is no folder")
    assert refused["no powers"].is_one_line(2, "--ptau")
    assert refused["powers of nothing"].is_one_line(2, "--import")
    assert refused["no zkey"].code == 1
    assert "refi: claim.json is not taken: not a zkey" in refused["no zkey"].err
    assert refused["part of the table"].is_one_line(2, "name no circuits")
    assert refused["no baseline"].is_one_line(2, "var_4_90, var_16_90")


def test_the_report_measures_a_circuit_and_attests_on_a_chain_of_its_own(folder: Path) -> None:
    answer = refi_in(folder, "zk", "report", SMALL_CIRCUIT, "--json", proving_keys_dir=KEYS)
    (row,) = json.loads(answer.out)["rows"]
    assert answer.code == 0
    assert 2_000 < row["constraints"] < 4_096
    assert row["prove_cpu_seconds"] > 0
    assert row["verify_ms"] > 0
    assert 200_000 < row["gas"] < 450_000
    assert f"{SMALL_CIRCUIT}: attesting on a local chain" in answer.err


def test_an_interrupt_ends_the_report_and_everything_that_it_started(folder: Path) -> None:
    keys = folder / "interrupted"
    command = [sys.executable, "-m", "backend.cli", "zk", "report", SMALL_CIRCUIT]
    environment = child_environment(state_dir=folder / "state", proving_keys_dir=keys)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "compiling" in process.stderr.readline()
        # Ends as Ctrl-C does, and what a shell runs in the background ignores SIGINT
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        process.wait(PATIENCE_SECONDS)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in rest
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _naming(str(keys)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _naming(str(keys)) == []


def _naming(text: str) -> list[str]:
    """Return the command lines of running processes that hold a text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [line] if text in line else []
    return found


def test_the_parameter_sets_are_ten_and_the_platforms_is_one_of_them() -> None:
    assert len(parameter_sets()) == 10
    assert PLATFORM_CIRCUIT == CIRCUIT
    assert {*parameter_sets(), SMALL_CIRCUIT} == set(circuits())
