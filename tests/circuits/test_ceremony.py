"""Keys that several parties made: what is taken over, what is refused, and what stays insecure."""

import json
import shutil
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from scripts.chaos.keys import Change, joined, rewritten, sections
from tests.circuits.contributed import KEYS, POWERS, SMALL, UNCONTRIBUTED, ask, contributed, zkey
from tests.circuits.example import ROOT

HEADER, CONTRIBUTIONS = 2, 10


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zkey(tmp_path_factory.mktemp("zkey"))


def _rewritten(key: Path, path: Path, number: int, change: Change) -> Path:
    path.write_bytes(rewritten(key.read_bytes(), number, change))
    return path


def _published() -> dict[str, str]:
    powers: dict[str, dict[str, str]] = json.loads((ROOT / "circuits/ceremony/powers_of_tau.json").read_text())["files"]
    return powers["12"]


def _import(folder: Path, file: Path, *options: str) -> dict[str, Any]:
    return ask("import", SMALL, folder, "--zkey", file, "--ptau", POWERS, *options)


def test_the_steps_are_exact_and_name_the_published_powers_of_tau(tmp_path: Path) -> None:
    answer = ask("ceremony", SMALL, tmp_path)
    assert (answer["constraints"], answer["power"]) == (3017, 12)
    assert answer["powers_of_tau"]["file"] == "powersOfTau28_hez_final_12.ptau"
    commands = " ".join(step["command"] for step in answer["steps"])
    for part in ("groth16 setup", "zkey contribute", "zkey beacon", "zkey verify", "circuits.prover import", SMALL):
        assert part in commands
    assert answer["powers_of_tau"]["blake2b"] in commands


def test_a_contributed_key_names_who_made_it_and_why_it_is_still_insecure() -> None:
    meta = contributed()
    assert (meta["origin"], meta["insecure"]) == ("ceremony", True)
    facts = meta["ceremony"]
    assert [(entry["name"], entry["beacon"] is None) for entry in facts["contributions"]] == [
        ("first", True),
        ("second", True),
        ("beacon", False),
    ]
    assert facts["powers_of_tau"] == {"blake2b": blake2b(POWERS.read_bytes()).hexdigest(), "public": None}
    assert len(meta["insecure_because"]) == 3


def test_an_import_is_done_once(key: Path) -> None:
    meta = contributed()
    before = {path.name: path.stat().st_mtime_ns for path in (KEYS / SMALL).iterdir()}
    assert _import(KEYS, key) == meta
    assert {path.name: path.stat().st_mtime_ns for path in (KEYS / SMALL).iterdir()} == before


def test_a_key_to_which_nobody_contributed_is_refused(tmp_path: Path) -> None:
    assert "nobody contributed" in str(_import(tmp_path, UNCONTRIBUTED)["error"])
    assert not (tmp_path / SMALL).exists()


def _without_last(section: bytes) -> bytes:
    """Return the contributions without the beacon, which is the last."""
    count, at = int.from_bytes(section[64:68], "little"), 68
    for _ in range(count - 1):
        at += 320 + 64 + 4
        at += 4 + int.from_bytes(section[at : at + 4], "little")
    return section[:64] + (count - 1).to_bytes(4, "little") + section[68:at]


def _points(delta: bytes | None) -> Change:
    """Return a change of the header: delta becomes gamma, or what is given."""
    return lambda header: header[:-128] + (header[-320:-192] if delta is None else delta)


@pytest.mark.parametrize(
    ("number", "change", "reason"),
    [
        (CONTRIBUTIONS, _without_last, "must be a beacon"),
        (CONTRIBUTIONS, lambda section: section[:64] + bytes(4), "nobody contributed"),
        (CONTRIBUTIONS, lambda section: section + b"\0", "more than its contributions"),
        (CONTRIBUTIONS, lambda section: section[:-1], "is cut"),
        (HEADER, _points(None), "gamma equals delta"),
        (HEADER, _points(bytes(128)), "infinity"),
        (HEADER, _points(b"\xff" * 128), "outside the field"),
        (HEADER, lambda header: header + b"\0", "another form"),
        (1, lambda _section: (2).to_bytes(4, "little"), "not of Groth16"),
    ],
)
def test_a_key_that_is_no_ceremonys_is_refused(
    key: Path, tmp_path: Path, number: int, change: Change, reason: str
) -> None:
    file = _rewritten(key, tmp_path / "altered.zkey", number, change)
    assert reason in str(_import(tmp_path, file)["error"])
    assert not (tmp_path / SMALL).exists()


def test_a_file_that_is_no_key_is_refused(key: Path, tmp_path: Path) -> None:
    files = {
        "text.zkey": b"not a key at all",
        "empty.zkey": b"",
        "cut.zkey": key.read_bytes()[:-1],
        "short.zkey": key.read_bytes()[:100],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert "KeyRefused" in str(_import(tmp_path, tmp_path / name)["error"]), name
    parts = sections(key.read_bytes())
    (tmp_path / "doubled.zkey").write_bytes(joined([*parts, parts[1]]))
    assert "doubled section" in str(_import(tmp_path, tmp_path / "doubled.zkey")["error"])
    (tmp_path / "many.zkey").write_bytes(joined([*parts, *((100 + place, b"") for place in range(64))]))
    assert "too many sections" in str(_import(tmp_path, tmp_path / "many.zkey")["error"])
    assert "NAME=HASH" in str(_import(tmp_path, key, "--contributor", "someone")["error"])
    assert "FileNotFoundError" in str(_import(tmp_path, tmp_path / "none.zkey")["error"])
    assert "--ptau" in str(ask("import", SMALL, tmp_path, "--zkey", key)["error"])


def test_what_the_importer_names_must_be_in_the_key(key: Path, tmp_path: Path) -> None:
    first, second, beacon = (entry["hash"] for entry in contributed()["ceremony"]["contributions"])
    for options in (
        ("--beacon", "00" * 32),
        ("--contributor", "someone=" + "00" * 64),
        ("--contributor", f"someone={beacon}"),
        ("--contributor", f"someone={first}", "--contributor", f"another={first}"),
        ("--contributor", f"someone={first}", "--contributor", f"someone={second}"),
    ):
        assert "KeyRefused" in str(_import(tmp_path, key, *options)["error"]), options


def test_a_record_that_claims_another_ceremony_is_refused(tmp_path: Path) -> None:
    meta = contributed()
    folder = tmp_path / SMALL
    shutil.copytree(KEYS / SMALL, folder)
    published = _published()
    first, second = (entry["hash"] for entry in meta["ceremony"]["contributions"][:2])
    facts = {
        **meta["ceremony"],
        "powers_of_tau": {"blake2b": published["blake2b"], "public": published["file"]},
        "contributors": {"a": first, "b": second},
        "beacon": meta["ceremony"]["contributions"][-1]["beacon"],
    }
    for altered in (
        {**meta, "insecure": False, "insecure_because": []},
        {**meta, "insecure": False, "insecure_because": [], "ceremony": facts},
        {**meta, "ceremony": {**meta["ceremony"], "contributions": meta["ceremony"]["contributions"][1:]}},
        {**meta, "ceremony": {**meta["ceremony"], "contributors": {"a": "00" * 64}}},
        {**meta, "ceremony": {**meta["ceremony"], "r1cs_hash": "00" * 64}},
    ):
        (folder / "meta.json").write_text(json.dumps(altered))
        for command in ("key", "prove", "verify", "setup"):
            assert "KeyRefused" in str(ask(command, SMALL, tmp_path)["error"])


def test_another_zkey_beside_the_record_is_refused(key: Path, tmp_path: Path) -> None:
    contributed()
    shutil.copytree(KEYS / SMALL, tmp_path / SMALL)
    _rewritten(key, tmp_path / SMALL / "circuit.zkey", CONTRIBUTIONS, lambda part: b"\1" + part[1:])
    for command in ("key", "prove", "verify", "setup"):
        assert "not the one that the key's record describes" in str(ask(command, SMALL, tmp_path)["error"])


JUDGE = """
import json, sys
from dataclasses import replace
from pathlib import Path
from circuits.prover import record, zkey
from circuits.prover.refusals import KeyRefused

start = bytes.fromhex(json.loads(record.PUBLIC_POWERS.read_text())["alpha1_beta2"][2:])
found = zkey.read(Path(sys.argv[1]))
for case in json.load(sys.stdin):
    made = tuple(found.contributions[place] for place in case["order"])
    made = (*made[:-1], replace(made[-1], iterations_exp=case["iterations"]))
    packed = start + found.packed[len(start):] if case["grown"] else found.packed
    try:
        origin = record.ceremony(
            replace(found, packed=packed, contributions=made), case["powers"], case["contributors"], case["beacon"]
        )
        record.require_consistent({**origin, "verification_key": packed.hex()})
    except KeyRefused as refused:
        origin = {"refused": str(refused)}
    print(json.dumps(origin))
"""


def _judged(key: Path, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the prover makes of the key as if it had grown from the published powers, with changes."""
    first, second, last = contributed()["ceremony"]["contributions"]
    case = {
        "grown": True,
        "powers": _published()["blake2b"],
        "contributors": {"a": first["hash"].upper(), "b": "0x" + second["hash"][:8] + " " + second["hash"][8:]},
        "beacon": last["beacon"],
        "order": [0, 1, 2],
        "iterations": 10,
    }
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(key)], cwd=ROOT, capture_output=True, text=True, check=True,
        input=json.dumps([{**case, **change} for change in changes]),
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_only_published_powers_named_contributors_and_an_announced_beacon_make_a_key_secure(key: Path) -> None:
    first = contributed()["ceremony"]["contributions"][0]["hash"]
    secure, *lacking = _judged(
        key,
        {},
        {"grown": False},
        {"powers": "00" * 64},
        {"contributors": {"a": first}},
        {"contributors": {}},
        {"beacon": None},
    )
    assert (secure["insecure"], secure["insecure_because"]) == (False, [])
    assert [(origin["insecure"], len(origin["insecure_because"])) for origin in lacking] == [(True, 1)] * 5


def test_a_beacon_that_is_cheap_to_choose_or_comes_early_is_refused(key: Path) -> None:
    cheap, early = _judged(key, {"iterations": 9}, {"order": [0, 2, 1]})
    assert "fewer than" in cheap["refused"]
    assert "must be a beacon" in early["refused"]


WORSE = """
import json, sys
from circuits.prover.ceremony import require_no_worse
from circuits.prover.refusals import KeyRefused

origin = {"insecure": True, "insecure_because": ["nobody named the beacon that was announced"]}
for kept in (None, {"circuit": "c", "insecure": True}, {"circuit": "c", "insecure": False}):
    require_no_worse(kept, {**origin, "insecure": False})
    try:
        require_no_worse(kept, origin)
        print("taken")
    except KeyRefused as refused:
        print(refused)
"""


def test_an_insecure_key_takes_no_secure_ones_place() -> None:
    done = subprocess.run([sys.executable, "-c", WORSE], cwd=ROOT, capture_output=True, text=True, check=True)
    announced = "nobody named the beacon that was announced"
    assert done.stdout.splitlines() == [
        "taken",
        "taken",
        f"a secure key of c is there, and this one is not ({announced}): move it away first",
    ]
