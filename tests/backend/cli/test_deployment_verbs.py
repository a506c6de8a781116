"""The verbs that work on a deployment, in a fresh state folder with no chain behind it."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.adapters.screening.list_files import read_list
from backend.cli.up import LISTS
from backend.ports.screening import ListFormat
from tests.backend.cli.conftest import ROOT, Answer, Refi, several_in

PORT_NOBODY_SERVES = 1
WALLET = "0x" + "11" * 20
VERBS: Mapping[str, list[str]] = {
    "keys": ["keys", "list"],
    "keys again": ["keys", "list"],
    "checkpoint without a schema": ["log", "checkpoint"],
    "upgrade": ["db", "upgrade"],
    "upgrade again": ["db", "upgrade"],
    "checkpoint of an empty log": ["log", "checkpoint"],
    "proof in an empty log": ["audit", "prove", "0"],
    "anchor without a chain": ["anchor"],
    "compliance without contracts": ["compliance", "check", WALLET],
    "stranger's risk": ["risk", "var", "--account", WALLET],
    "unknown method": ["risk", "var", "--account", WALLET, "--method", "magic"],
    "models": ["gov", "models"],
    "no model": ["agent", "show", "nothing.safetensors"],
    "trip": ["halt", "trip", "--reason", "a test"],
    "rearm": ["halt", "rearm", "1", "--reason", "seen"],
    "rearm of nothing": ["halt", "rearm", "9", "--reason", "seen"],
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one state folder of this module."""
    return tmp_path_factory.mktemp("deployment") / "state"


@pytest.fixture(scope="module")
def answers(state: Path) -> Mapping[str, Answer]:
    """Run every verb once, in order; of the contracts one alone is deployed, on a chain that is down."""
    built = json.loads((ROOT / ".refi" / "forge" / "out" / "AuditAnchor.sol" / "AuditAnchor.json").read_text())
    deployed = state / "deployments" / "local" / "AuditAnchor.json"
    deployed.parent.mkdir(parents=True)
    deployed.write_text(json.dumps({"address": WALLET, "abi": built["abi"], "chain_id": 42069}))
    given = several_in(state, list(VERBS.values()), rpc_url=f"http://127.0.0.1:{PORT_NOBODY_SERVES}")
    return dict(zip(VERBS, given, strict=True))


def test_keys_list_shows_addresses_and_no_key(answers: Mapping[str, Answer], state: Path) -> None:
    shown = json.loads(answers["keys"].out)
    assert set(shown) == {"operator", "anchorer", "publisher", "countersigner", "issuer", "attester", "log"}
    assert len(set(shown.values())) == len(shown)
    assert all(len(value) == (64 if name == "log" else 42) for name, value in shown.items())
    assert answers["keys again"] == answers["keys"]


def test_keys_are_their_owners_alone(answers: Mapping[str, Answer], state: Path) -> None:
    assert answers["keys"].code == 0
    files = [*(state / "keys").iterdir(), state / "token_secret"]
    assert stat.S_IMODE((state / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 8


def test_a_database_without_a_schema_is_told_with_its_remedy(answers: Mapping[str, Answer]) -> None:
    assert answers["checkpoint without a schema"].is_one_line(3, "no such table", "`refi db upgrade`")
    assert answers["upgrade"] == answers["upgrade again"] == Answer(0, "up to date\n", "")


def test_an_empty_log_has_no_checkpoint_and_no_proof(answers: Mapping[str, Answer]) -> None:
    assert answers["checkpoint of an empty log"].is_one_line(1, "no such checkpoint")
    assert answers["proof in an empty log"].is_one_line(1, "the log has no entry 0")


def test_what_needs_the_chain_names_what_is_missing(answers: Mapping[str, Answer]) -> None:
    assert answers["anchor without a chain"].is_one_line(3, "the chain's RPC does not answer")
    assert answers["compliance without contracts"].is_one_line(1, "is not deployed")


def test_what_is_not_there_is_told_in_one_line(answers: Mapping[str, Answer]) -> None:
    assert answers["stranger's risk"].is_one_line(1, "no such account")
    assert answers["unknown method"].is_one_line(2, "historical, cornish-fisher, gaussian")
    assert answers["no model"].is_one_line(2, "nothing.safetensors is missing")
    assert answers["rearm of nothing"].is_one_line(1, "no such halt")
    assert answers["models"].out == "[]\n"


def test_the_platform_halts_and_rearms(answers: Mapping[str, Answer]) -> None:
    assert json.loads(answers["trip"].out) == {"id": 1, "scope": "platform", "state": "tripped", "reason": "a test"}
    assert json.loads(answers["rearm"].out)["state"] == "armed"


def test_doctor_names_everything_with_its_remedy(refi: Refi) -> None:
    answer = refi("doctor", "--json")
    found = json.loads(answer.out)
    assert answer.code == (0 if found["ok"] else 1)
    names = {finding["name"] for finding in found["findings"]}
    assert {"Python", "Node", "anvil", "Ape", "proving key", "contract build"} <= names
    missing = [finding for finding in found["findings"] if finding["found"] == "missing"]
    assert all(finding["remedy"] for finding in missing)


def test_status_lists_nothing_where_nothing_runs(refi: Refi) -> None:
    assert json.loads(refi("status", "--json").out) == []
    assert "`refi up`" in refi("status").out
    assert refi("down").out == "nothing was running\n"


def test_a_new_network_is_told_how_a_list_is_taken_in() -> None:
    words = LISTS.split("`")[1].split()
    file, kind = Path(words[words.index("--file") + 1]), words[words.index("--kind") + 1]
    assert words[:4] == ["refi", "compliance", "lists", "update"]
    assert read_list(ROOT / file, ListFormat(kind))
