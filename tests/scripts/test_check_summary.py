"""The demo's summary object is checked against its promises, each fault by name."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.check_summary import CHECKS, SHAPE, broken_promises, check_faults, faults

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {bool: True, float: 1.5, int: 7, str: "text", list: [], dict: {}}
WRONG = {bool: "yes", float: "1.5", int: 1.5, str: 7, list: {}, dict: []}
Place = tuple[str, ...]


def filled(shape: Any) -> Any:
    """Return a value of a shape."""
    return {key: filled(part) for key, part in shape.items()} if isinstance(shape, dict) else SAMPLES[shape]


def places(shape: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every place of a shape with what stands there."""
    for key, part in shape.items():
        yield (*place, key), part
        if isinstance(part, dict):
            yield from places(part, (*place, key))


def at(value: Any, place: Place) -> Any:
    """Return what stands at a place."""
    for key in place:
        value = value[key]
    return value


@pytest.fixture
def summary() -> dict[str, Any]:
    """Return a summary that keeps every promise."""
    made: dict[str, Any] = filled(SHAPE)
    made["orders"] |= {"filled": 200}
    made["model"] |= {"state": "production"}
    made["var"] |= {"value": "166.12", "limit": "900", "es": "244.59", "es_limit": "1350"}
    made["var"]["one_unit_less"] = {"var": "breach", "es": "breach"}
    made["verify"] |= {"checks": [{"name": str(n), "result": "pass", "detail": ""} for n in range(CHECKS)]}
    return made


def test_a_good_summary_has_no_fault(summary: dict[str, Any]) -> None:
    assert faults(summary, SHAPE) == []
    assert broken_promises(summary) == []


@pytest.mark.parametrize("place", [place for place, _ in places(SHAPE)], ids=".".join)
def test_a_missing_key_is_named(place: Place, summary: dict[str, Any]) -> None:
    del at(summary, place[:-1])[place[-1]]
    assert faults(summary, SHAPE) == [f"summary.{'.'.join(place)} is missing"]


@pytest.mark.parametrize(("place", "shape"), list(places(SHAPE)), ids=str)
def test_a_value_of_another_type_is_named(place: Place, shape: Any, summary: dict[str, Any]) -> None:
    wrong: object = "text" if isinstance(shape, dict) else WRONG[shape]
    at(summary, place[:-1])[place[-1]] = wrong
    [fault] = faults(summary, SHAPE)
    assert fault.startswith(f"summary.{'.'.join(place)} is ")


def test_a_truth_value_is_no_number_and_a_whole_number_is_one(summary: dict[str, Any]) -> None:
    assert faults({**summary, "seconds": 90}, SHAPE) == []
    assert faults({**summary, "seconds": True}, SHAPE) == ["summary.seconds is bool, not float"]
    summary["log"]["size"] = True
    assert faults(summary, SHAPE) == ["summary.log.size is bool, not int"]


@pytest.mark.parametrize(
    ("place", "value", "promise"),
    [
        (("ok",), False, "ok"),
        (("verify", "ok"), False, "the verifier says ok"),
        (("orders", "filled"), 199, "at least 200 orders filled"),
        (("orders", "refused", "halted"), 0, "every gate refused something"),
        (("model", "state"), "approved", "the model is in production"),
        (("anchor", "size"), 8, "the anchor lies within the log"),
        (("anchor", "size"), 0, "the anchor lies within the log"),
        (("verify", "checks"), [], "16 checks"),
        (("var", "value"), "900.01", "the VaR keeps its limit"),
        (("var", "value"), "much", "the VaR keeps its limit"),
        (("var", "es"), "1350.01", "the expected shortfall keeps its limit"),
        (("var", "es"), "166.11", "the expected shortfall is no less than the VaR"),
        (("var", "one_unit_less", "es"), "attested", "one unit less cannot be proved"),
        (("audit", "witness", "cosigned"), False, "a witness cosigned the log"),
        (("audit", "log", "ok"), False, "the whole log passes the audit"),
        (("audit", "account", "ok"), False, "nothing of the account is left out"),
    ],
)
def test_a_broken_promise_is_named(place: Place, value: object, promise: str, summary: dict[str, Any]) -> None:
    at(summary, place[:-1])[place[-1]] = value
    assert promise in broken_promises(summary)


@pytest.mark.parametrize("result", ["fail", "skipped"])
def test_a_check_that_does_not_pass_is_a_broken_promise(result: str, summary: dict[str, Any]) -> None:
    summary["verify"]["checks"][5]["result"] = result
    assert broken_promises(summary) == ["every check passes"]


@pytest.mark.parametrize("checks", [[7], [{"name": "format"}], [{"name": "format", "result": True}]])
def test_a_malformed_check_is_named(checks: list[object]) -> None:
    found = check_faults(checks)
    assert found
    assert all(fault.startswith("summary.verify.checks[0]") for fault in found)


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, "-m", "scripts.check_summary", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_script_exits_with_what_it_found(summary: dict[str, Any], tmp_path: Path) -> None:
    file, broken = tmp_path / "good.json", copy.deepcopy(summary)
    file.write_text(json.dumps(summary))
    good = check(file)
    assert (good.returncode, good.stderr) == (0, "")
    assert "as promised, 16 checks pass" in good.stdout
    del broken["log"]
    broken["ok"] = "yes"
    file.write_text(json.dumps(broken))
    bad = check(file)
    assert bad.returncode == 1
    assert set(bad.stderr.splitlines()) == {"summary: summary.log is missing", "summary: summary.ok is str, not bool"}


def test_the_script_names_a_file_that_is_no_summary(tmp_path: Path) -> None:
    torn = tmp_path / "torn.json"
    torn.write_text("{")
    for arguments in ([tmp_path / "none.json"], [torn], []):
        done = check(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
