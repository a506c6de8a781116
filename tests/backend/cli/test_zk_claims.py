"""What a claim file says is read exactly, and what it may not say is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.cli.zk.circuits import named
from backend.cli.zk.claims import Ready, read_claim, read_returns
from backend.cli.zk.examples import real_market
from backend.cli.zk.report import BEGIN, END, plain_table, write_table
from backend.kernel.errors import Conflict, Invalid
from backend.proofs.engine.kept import returns_file
from backend.proofs.types import Breach
from tests.backend.cli.conftest import ROOT

EXAMPLES = ROOT / "circuits" / "examples"
CIRCUIT = named("var_16_90_es")
CLAIM: dict[str, Any] = json.loads((EXAMPLES / "claim.json").read_text())
BINDING: dict[str, Any] = CLAIM["binding"]


def written(folder: Path, claim: object) -> Path:
    """Write a claim beside the example's returns."""
    (folder / "returns.json").write_bytes((EXAMPLES / "returns.json").read_bytes())
    path = folder / "claim.json"
    path.write_text(claim if isinstance(claim, str) else json.dumps(claim))
    return path


def test_the_examples_returns_are_those_of_the_shipped_data() -> None:
    market = real_market(CIRCUIT.shape)
    assert (EXAMPLES / "returns.json").read_bytes() == returns_file(market.tickers, market.matrix)
    assert read_returns(EXAMPLES / "returns.json") == (market.tickers, market.matrix)


def test_the_example_claim_is_one(tmp_path: Path) -> None:
    ready = read_claim(EXAMPLES / "claim.json", None, CIRCUIT)
    assert isinstance(ready, Ready)
    assert ready.statement is not None
    assert int(ready.statement["limit"], 16) == 500 * 10**16
    assert len(ready.request["inputs"]["q"]) == 16


def test_limits_below_what_is_lost_are_a_breach(tmp_path: Path) -> None:
    broken = read_claim(written(tmp_path, CLAIM | {"limits": {"var_usd": "0", "es_usd": "0"}}), None, CIRCUIT)
    assert isinstance(broken, Breach)
    assert 0 < broken.var < (broken.es or 0)


def test_signals_are_taken_as_they_are() -> None:
    ready = read_claim(ROOT / "circuits" / "inputs" / "var_16_90_es.json", None, CIRCUIT)
    assert isinstance(ready, Ready)
    assert ready.statement is None
    assert len(ready.request["public_inputs"]) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"positions": {"XOM": "1"}}, "XOM cannot be committed to"),
        ({"positions": {"AAPL": "1100000"}}, "each below 2^40 millionths"),
        ({"positions": {"AAPL": "0.0000001"}}, "positions.AAPL: 1E-7 has more than 6 decimals"),
        ({"positions": {"AAPL": "1e3"}}, "positions.AAPL is no decimal"),
        ({"positions": {"AAPL": 1.5}}, "positions.AAPL is no decimal"),
        ({"positions": ["AAPL"]}, "positions is no JSON object"),
        ({"salt": "none"}, "salt is no field element"),
        ({"salt": hex(1 << 255)}, "salt is no field element"),
        ({"salt": "9" * 5000}, "salt is no field element"),
        ({"binding": BINDING | {"anchor_index": 1 << 64}}, "anchor_index is not below 2^64"),
        ({"returns": "a\0b"}, "add --returns FILE"),
        ({"returns": 5}, "add --returns FILE"),
        ({"limits": {"var_usd": "500"}}, "the limits of var_16_90_es are var_usd and es_usd"),
        ({"limits": {"var_usd": "-1", "es_usd": "1"}}, "limits.var_usd is not between 0 and 483,570,327 USD"),
        ({"limits": {"var_usd": "1", "es_usd": "483570328"}}, "limits.es_usd is not between 0 and"),
        ({"binding": BINDING | {"epoch": 1}}, "the epoch is the returns file's"),
        ({"binding": BINDING | {"subject": "0x5b"}}, "binding.subject is no 0x and 40 hex digits"),
        ({"binding": BINDING | {"anchor_index": -1}}, "binding.anchor_index is no field element"),
        ({"returns": "claim.json"}, "claim.json is no returns file"),
    ],
)
def test_what_a_claim_may_not_say_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said.replace("^", r"\^")):
        read_claim(written(tmp_path, CLAIM | changes), None, CIRCUIT)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("[" * 200_000, "nested too deeply"),
        ('{"salt": "' + "0" * (16 << 20) + '"}', "larger than 16 MiB"),
        ({"positions": {}, "limits": {}, "binding": {}}, "salt is missing"),
        ({name: value for name, value in CLAIM.items() if name != "returns"}, "add --returns FILE"),
        ({"inputs": {"q": ["1", "x"]}, "public_inputs": []}, r"inputs.q\[1\] is no field element"),
        ({"inputs": {}, "public_inputs": {}}, "public_inputs a list"),
    ],
)
def test_what_is_no_claim_is_named(tmp_path: Path, claim: object, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_claim(written(tmp_path, claim), None, CIRCUIT)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": -1},
        {"epoch": 1 << 64},
        {"epoch": "17"},
        {"epoch": True},
        {"epoch": 1.5},
        {"epoch": float("inf")},
        {"v": 2},
        {"universe": "AAPL"},
        {"universe": ["AAPL"]},
        {"universe": ["é"] * 16},
        {"prices": ["-1"] * 16},
        {"prices": ["429496.7296"] * 16},
        {"prices": [1] * 16},
        {"prices": {}},
        {"returns": 5},
    ],
)
def test_what_no_oracle_can_publish_is_no_returns_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(json.loads((EXAMPLES / "returns.json").read_text()) | changes))
    with pytest.raises(Invalid, match=r"other\.json is no returns file"):
        read_returns(path)


def test_a_var_only_circuit_takes_no_second_limit(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"the limits of var_16_90 are var_usd$"):
        read_claim(written(tmp_path, CLAIM), None, named("var_16_90"))


def _report() -> dict[str, Any]:
    row = {
        "instruments": 4,
        "window": 90,
        "expected_shortfall": False,
        "prove_cpu_seconds": 0.5,
        "prove_wall_seconds": 1.0,
        "peak_memory_bytes": 72_400_000,
        "verify_ms": 1.4,
        "proofs": 3,
        "verifications": 100,
        "real": True,
    }
    rows = [
        {"circuit": "var_4_90", "constraints": 10_283, "gas": 351_461, "calldata_bytes": 2_000} | row,
        {"circuit": "var_inside_4_90", "constraints": 19_193} | row,
    ]
    times = {"constraints": 1.87, "prove_cpu_seconds": 1.0, "peak_memory_bytes": 1.0}
    ratio = {"baseline": "var_inside_4_90", "of": "var_4_90"} | times
    return {"rows": rows, "ratios": [ratio]}


def test_a_report_is_a_table_with_the_ratio_under_it() -> None:
    lines = plain_table(_report()).splitlines()
    assert lines[1].split() == ["var_4_90", "4", "90", "no", "10,283", "0.50", "72", "1.40", "351,461"]
    assert lines[2].split()[-1] == "-"
    assert "against var_4_90: 1.9 times the constraints" in lines[4]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[-1] == "Market data: stocknet-dataset, 16 US names, daily."


def test_a_report_says_which_rows_are_seeded() -> None:
    report = _report()
    report["rows"][1]["real"] = False
    assert plain_table(report).endswith("daily; seeded for var_inside_4_90.")


def test_the_table_is_written_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(_report(), readme)
    write_table(_report(), readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| circuit |")
    assert text.endswith(f"{END}\nafter\n")
    assert "| var_4_90 | 4 | 90 | no | 10,283 | 0.50 | 72 | 1.40 | 351,461 |" in text
    assert "old" not in text


def test_a_readme_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing")
    with pytest.raises(Conflict, match="no place for the table"):
        write_table(_report(), readme)
    assert readme.read_text() == "nothing"


def test_the_circuits_readme_has_the_place() -> None:
    text = (ROOT / "circuits" / "README.md").read_text()
    assert text.index(BEGIN) < text.index(END)
