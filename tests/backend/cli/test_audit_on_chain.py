"""`refi audit log` against the contract: an anchor on chain that is not listed passes only above the audited end."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.cli.audit.access import Names
from backend.cli.audit.log import audit_log
from backend.kernel.canonical import canonical_json
from backend.kernel.keccak import keccak256
from tests.backend.transparency.bundles import CHAIN_ID, CONTRACT, LOG_ID, documents
from tests.backend.transparency.conftest import Chain, Endpoint, word

# Three days of 100 entries, with anchors at 50, 100, ... 300.
DAYS = list(documents(3, 100, 2))
ANCHORS = [anchor for day in DAYS for anchor in day["anchors"]]
Serve = Callable[[Chain], str]
Checked = tuple[int, str, str]
Audit = Callable[..., Checked]


def holding(anchors: Sequence[dict[str, Any]]) -> Chain:
    """Return a chain whose contract holds these anchors."""
    chain = Chain()
    count = keccak256(b"anchorCount(bytes32)")[:4] + LOG_ID
    chain.answer_call(CONTRACT, count, word(len(anchors)))
    for anchor in anchors:
        chain.anchor({"anchor": anchor}, anchor["index"])
    return chain


@pytest.fixture
def endpoint() -> Iterator[Serve]:
    """Return what serves a chain."""
    servers: list[Endpoint] = []

    def start(chain: Chain) -> str:
        servers.append(Endpoint(chain, "honest", threading.Event()))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def audit(tmp_path: Path, endpoint: Serve, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Return what audits a folder that lists so many anchors; it gives the exit status and the check on chain."""

    def run(days: Sequence[dict[str, Any]], listed: int, *chains: Chain) -> Checked:
        for place, day in enumerate(days):
            anchors = [anchor for anchor in day["anchors"] if anchor["index"] < listed]
            (tmp_path / f"{place}.json").write_bytes(canonical_json(day | {"anchors": anchors}))
        names = Names(contract=CONTRACT, chain_id=CHAIN_ID, rpc=tuple(endpoint(chain) for chain in chains))
        code = audit_log(tmp_path, "", "", names, as_json=True)
        checks = json.loads(capsys.readouterr().out)["checks"]
        found = next(check for check in checks if check["name"] == "anchors on chain")
        return code, found["result"], found["detail"]

    return run


def test_a_folder_that_lists_every_anchor_passes(audit: Audit) -> None:
    assert audit(DAYS, 6, holding(ANCHORS)) == (0, "pass", "6 of the contract's 6")


@pytest.mark.parametrize("listed", [0, 1, 2, 5])
def test_an_anchor_within_the_audited_entries_that_is_not_listed_fails(listed: int, audit: Audit) -> None:
    code, result, detail = audit(DAYS, listed, holding(ANCHORS))
    assert (code, result) == (1, "fail")
    assert detail == f"anchor {listed} at size {50 * listed + 50} is on chain and not listed"


def test_a_log_that_forked_after_its_listed_anchors_fails(audit: Audit) -> None:
    forked = [anchor | {"root": ANCHORS[0]["root"]} if anchor["index"] >= 2 else anchor for anchor in ANCHORS]
    assert audit(DAYS, 2, holding(forked))[:2] == (1, "fail")


@pytest.mark.parametrize("days", [1, 2])
def test_a_folder_that_ends_before_newer_anchors_passes(days: int, audit: Audit) -> None:
    found = audit(DAYS[:days], 2 * days, holding(ANCHORS))
    assert found == (0, "pass", f"{2 * days} of the contract's 6, the next at size {100 * days + 50}")


def test_a_young_log_without_an_anchor_passes_until_one_is_within_it(audit: Audit) -> None:
    day = [next(documents(1, 30))]
    assert audit(day, 0, holding(ANCHORS)) == (0, "pass", "0 of the contract's 6, the next at size 50")
    assert audit(day, 0, holding([])) == (0, "skipped", "the contract holds no anchor of this log")


def test_an_anchor_that_the_contract_does_not_hold_fails(audit: Audit) -> None:
    assert audit(DAYS, 6, holding(ANCHORS[:4])) == (1, "fail", "the contract holds no such anchor 4 (and 1 more)")
    wrong = [*ANCHORS[:5], ANCHORS[5] | {"root": ANCHORS[0]["root"]}]
    assert audit(DAYS, 6, holding(wrong)) == (1, "fail", "the contract holds no such anchor 5")


def test_anchors_of_another_log_do_not_lead_the_look_up(audit: Audit) -> None:
    other = [day | {"anchors": [one | {"log_id": "0x" + "11" * 32} for one in day["anchors"]]} for day in DAYS]
    chain = holding([one for day in other for one in day["anchors"]])
    for log_id, count in ((LOG_ID, 0), (b"\x11" * 32, 6)):
        chain.answer_call(CONTRACT, keccak256(b"anchorCount(bytes32)")[:4] + log_id, word(count))
    assert audit(other, 6, chain) == (1, "fail", "the contract holds no such anchor 0 (and 5 more)")


def test_an_rpc_that_tells_the_next_anchor_otherwise_is_no_pass(audit: Audit) -> None:
    silent, lying = holding(ANCHORS), holding(ANCHORS)
    silent.logs.clear()
    lying.logs[2]["data"] = "0x" + (word(10**6) + bytes.fromhex(lying.logs[2]["data"][66:])).hex()
    for chains in ([silent], [lying], [holding(ANCHORS), lying], [holding(ANCHORS), holding(ANCHORS[:2])]):
        code, result, detail = audit(DAYS[:1], 2, *chains)
        assert (code, result) == (3, "skipped"), detail
        assert detail.startswith("unreachable: ")
