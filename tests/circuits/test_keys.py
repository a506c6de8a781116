"""Keys on disk: what is made, what is kept, and what is never used."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import groth16py
import pytest

from tests.circuits import contributed, example
from tests.circuits.contributed import SMALL, ask
from tests.circuits.example import BINDING, ROOT, honest, matrix, positions, proving_key, tightest

COMMANDS = ("setup", "key", "prove", "verify")
G2_GENERATOR = [
    [
        "10857046999023057135944570762232829481370756359578518086990519993285655852781",
        "11559732032986387107991004021392285783925812861821192530917403151452391805634",
    ],
    [
        "8495653923123431417604973247489272438418190587263600148770280649306958101930",
        "4082367875863433681332203403145435568316851327593401208105741076214120093531",
    ],
    ["1", "0"],
]
BASE_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583


def _request() -> dict[str, Any]:
    held, market = positions(circuit=SMALL), matrix(circuit=SMALL)
    claim = honest(BINDING, held, market, tightest(held, market, SMALL), SMALL)
    inputs = {
        name: str(value) if isinstance(value, int) else [str(part) for part in value]
        for name, value in claim.inputs.items()
    }
    return {
        "inputs": inputs,
        "public_inputs": [str(value) for value in claim.public_inputs],
        "proof": "0x" + "00" * 256,
    }


REQUEST = _request()


@pytest.fixture
def development(tmp_path: Path) -> Path:
    """A folder with the small circuit's development key."""
    proving_key(SMALL)
    shutil.copytree(example.KEYS / SMALL, tmp_path / SMALL)
    return tmp_path


@pytest.fixture
def ceremony(tmp_path: Path) -> Path:
    """A folder with the small circuit's contributed key."""
    contributed.contributed()
    shutil.copytree(contributed.KEYS / SMALL, tmp_path / SMALL)
    return tmp_path


def _meta(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / SMALL / "meta.json").read_text())
    return found


def _alter(folder: Path, **changes: Any) -> None:
    (folder / SMALL / "meta.json").write_text(json.dumps({**_meta(folder), **changes}))


def _replace_verifying(folder: Path, **points: Any) -> None:
    fields = json.loads((folder / SMALL / "vk.json").read_text())
    groth16py.VerifyingKey.from_snarkjs(json.dumps({**fields, **points})).save(str(folder / SMALL / "verifying.key"))


def _negated(point: list[list[str]]) -> list[list[str]]:
    return [point[0], [str(BASE_FIELD - int(part)) for part in point[1]], point[2]]


def test_a_development_key_says_so_and_why_it_is_insecure(development: Path) -> None:
    meta = _meta(development)
    assert (meta["origin"], meta["insecure"]) == ("development", True)
    assert "one party" in meta["insecure_because"][0]
    assert ask("key", SMALL, development) == meta


@pytest.mark.parametrize(
    ("delta", "reason"),
    [
        (lambda key: key["vk_gamma_2"], "gamma equals delta"),
        (lambda key: _negated(key["vk_gamma_2"]), "gamma equals delta"),
        (lambda _key: G2_GENERATOR, "delta is the generator"),
        (lambda _key: _negated(G2_GENERATOR), "delta is the generator"),
    ],
)
def test_a_forgeable_key_is_refused_by_every_command(development: Path, delta: Any, reason: str) -> None:
    fields = json.loads((development / SMALL / "vk.json").read_text())
    _replace_verifying(development, vk_delta_2=delta(fields))
    for command in COMMANDS:
        assert reason in str(ask(command, SMALL, development, request=REQUEST)["error"])


def test_a_key_that_was_swapped_is_refused(development: Path) -> None:
    fields = json.loads((development / SMALL / "vk.json").read_text())
    _replace_verifying(development, IC=[fields["IC"][1], fields["IC"][0], *fields["IC"][2:]])
    for command in COMMANDS:
        assert "not the one recorded" in str(ask(command, SMALL, development, request=REQUEST)["error"])


def test_a_development_key_that_calls_itself_secure_is_refused(development: Path) -> None:
    claims: tuple[dict[str, Any], ...] = (
        {"insecure": False},
        {"insecure": False, "insecure_because": []},
        {"insecure_because": []},
        {"origin": "elsewhere"},
        {"origin": "ceremony", "insecure": False, "insecure_because": []},
    )
    for changes in claims:
        kept = _meta(development)
        _alter(development, **changes)
        for command in COMMANDS:
            assert "error" in ask(command, SMALL, development, request=REQUEST), (command, changes)
        _alter(development, **kept)
    assert "error" not in ask("key", SMALL, development)


@pytest.mark.parametrize("name", ["circuit_hash", "k", "tail", "window", "limit_bits", "public_signals"])
def test_a_key_of_another_text_or_other_parameters_proves_nothing(development: Path, name: str) -> None:
    _alter(development, **{name: "0x" + "00" * 32})
    for command in ("key", "prove", "verify"):
        assert "another text of the circuit" in str(ask(command, SMALL, development, request=REQUEST)["error"])


def test_a_key_stops_being_one_when_the_circuits_text_changes(development: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "circuits", copy / "circuits", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("backend", "node_modules"):
        (copy / name).symlink_to(ROOT / name)
    assert "error" not in ask("key", SMALL, development, root=copy)
    library = copy / "circuits" / "lib" / "days.circom"
    library.write_text(library.read_text() + "// weaker\n")
    for command in ("key", "prove", "verify"):
        answer = ask(command, SMALL, development, root=copy, request=REQUEST)
        assert "another text of the circuit" in str(answer["error"])


def test_a_setup_replaces_a_development_key_of_another_text(development: Path) -> None:
    before = _meta(development)
    _alter(development, circuit_hash="0x" + "00" * 32)
    made = ask("setup", SMALL, development)
    assert made["circuit_hash"] == before["circuit_hash"]
    assert made["verification_key_hash"] != before["verification_key_hash"]
    assert "proof" in ask("prove", SMALL, development, request=REQUEST)


def test_a_setup_never_replaces_a_contributed_key(ceremony: Path) -> None:
    assert ask("setup", SMALL, ceremony) == _meta(ceremony)
    _alter(ceremony, circuit_hash="0x" + "00" * 32)
    assert "move it away" in str(ask("setup", SMALL, ceremony)["error"])
    assert (ceremony / SMALL / "circuit.zkey").exists()


def test_a_contributed_key_without_its_record_is_not_made_anew(ceremony: Path) -> None:
    record = ceremony / SMALL / "meta.json"
    record.unlink()
    assert "without its record" in str(ask("setup", SMALL, ceremony)["error"])
    for damaged in ("{", "[]", "{}", "[" * 100_000):
        record.write_text(damaged)
        for command in COMMANDS:
            assert "meta.json is damaged: move" in str(ask(command, SMALL, ceremony, request=REQUEST)["error"])
    assert (ceremony / SMALL / "circuit.zkey").exists()


def test_a_damaged_verifying_key_is_named(development: Path) -> None:
    (development / SMALL / "verifying.key").write_bytes(b"\xff" * 712)
    for command in COMMANDS:
        assert "verifying.key is damaged" in str(ask(command, SMALL, development, request=REQUEST)["error"])


REPLACED = """
import os, sys
from pathlib import Path
from circuits.prover import keys
circuit, folder = sys.argv[1], Path(sys.argv[2])
before, reader = (folder / circuit).stat().st_ino, os.open(folder / circuit, os.O_RDONLY)
removed = []
sys.addaudithook(lambda event, arguments: removed.append(str(arguments[0])) if event == "shutil.rmtree" else None)
with keys.replaced(circuit, folder) as fresh:
    (fresh / "meta.json").write_text("new")
assert (folder / circuit / "meta.json").read_text() == "new"
assert (folder / circuit).stat().st_ino != before
assert str(folder / circuit) not in removed
assert os.listdir(reader) == [] and len(list(folder.iterdir())) == 2
"""


def test_a_reader_never_meets_half_a_key(development: Path) -> None:
    command = [sys.executable, "-c", REPLACED, SMALL, str(development)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_key_that_was_moved_aside_when_the_power_went_is_put_back(ceremony: Path) -> None:
    meta = _meta(ceremony)
    (ceremony / SMALL).rename(ceremony / f".{SMALL}.replaced")
    assert ask("setup", SMALL, ceremony) == meta
    assert "error" not in ask("key", SMALL, ceremony)


def test_a_setup_finds_a_finished_key_and_clears_an_interrupted_one(tmp_path: Path) -> None:
    left = tmp_path / f".{SMALL}.unfinished.1"
    left.mkdir()
    (left / "proving.key").write_bytes(b"half")
    assert "run setup first" in str(ask("key", SMALL, tmp_path)["error"])
    proving_key(SMALL)
    shutil.copytree(example.KEYS / SMALL, tmp_path / SMALL)
    before = (tmp_path / SMALL / "meta.json").read_bytes()
    assert ask("setup", SMALL, tmp_path) == json.loads(before)
    assert (tmp_path / SMALL / "meta.json").read_bytes() == before
    assert not left.exists()


@pytest.mark.parametrize(
    ("file", "engine"),
    [("proving.key", "groth16py"), ("circuit.zkey", "snarkjs"), ("circuit.wasm", "snarkjs"), ("vk.json", "snarkjs")],
)
def test_a_file_that_was_altered_is_not_proved_with(ceremony: Path, file: str, engine: str) -> None:
    path = ceremony / SMALL / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    answer = ask("prove", SMALL, ceremony, "--engine", engine, request=REQUEST)
    assert f"{file} of {SMALL} is not the one recorded" in str(answer["error"])


def test_the_answer_says_what_a_proof_cost(ceremony: Path) -> None:
    for engine in ("groth16py", "snarkjs"):
        answer = ask("prove", SMALL, ceremony, "--engine", engine, request=REQUEST)
        assert answer["engine"] == engine
        assert 0 < answer["cpu_seconds"] < 60
        assert 10 * 2**20 < answer["peak_bytes"] < 2 * 2**30
