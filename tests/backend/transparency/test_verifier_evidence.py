"""The published packs: each good one passes the checks that are listed, each bad one fails the check that is named."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.kernel.cid import file_cid as kernel_cid
from backend.kernel.commitment import disclose
from backend.kernel.signed_note import CosignerKey, cosign_note
from backend.transparency.engine import verifier
from backend.transparency.engine.verifier import Reverted, examine, file_cid, verify
from scripts.chaos.pack_cases import VECTORS, Case, Replay, load_cases, named_of
from tests.backend.transparency.examined import failed
from tests.vectors.evidence.ledger import RETAINED, Ledger, LedgerChain

CASES = {f"good/{case.name}.refi.json": case for case in load_cases()}
BAD = json.loads((VECTORS / "bad.json").read_text())["cases"]
SAMPLE = "good/sample.refi.json"


def results(case: Case, pack: Any, *, with_returns: bool = True) -> dict[str, str]:
    named = named_of(case, with_returns=with_returns)
    report = examine(json.dumps(pack).encode(), named, [Replay(case.answers)])
    return {check.name: check.result for check in report.checks}


def edited(pack: Any, edits: list[dict[str, Any]]) -> Any:
    """Apply a bad case's edits."""
    for edit in edits:
        *parents, last = edit["at"]
        target = pack
        for key in parents:
            target = target[key]
        if edit["do"] == "set":
            target[last] = edit["value"]
        elif edit["do"] == "insert":
            target.insert(last, edit["value"])
        elif edit["do"] == "move":
            target.insert(edit["to"], target.pop(last))
        else:
            del target[last]
    return pack


@pytest.mark.parametrize("file", CASES)
def test_a_good_pack_passes_what_is_listed(file: str) -> None:
    case = CASES[file]
    assert results(case, case.pack) == dict(case.results)
    assert "fail" not in case.results.values()


@pytest.mark.parametrize("case", BAD, ids=lambda case: str(case["name"]))
def test_a_bad_pack_fails_the_check_that_is_named(case: dict[str, Any]) -> None:
    good = CASES[case.get("good", SAMPLE)]
    found = results(good, edited(good.pack, case["edits"]), with_returns=case["fails"] == "VaR proof")
    assert found[case["fails"]] == "fail"


def test_every_check_is_the_one_that_fails_somewhere() -> None:
    assert {case["fails"] for case in BAD} == set(verifier.CHECKS)
    assert len({case["name"] for case in BAD}) == len(BAD)


def test_every_section_has_a_good_pack_that_passes_its_checks() -> None:
    passed = {check for case in CASES.values() for check, result in case.results.items() if result == "pass"}
    assert passed == set(verifier.CHECKS)


# --- the same over the wire


class Recorded(BaseHTTPRequestHandler):
    """Answers from a recording."""

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        replay: Replay = self.server.replay  # type: ignore[attr-defined]
        answer = "0xa455" if asked["method"] == "eth_chainId" else replay.ask(asked["method"], *asked["params"])
        error = {"code": 3, "message": "execution reverted", "data": "0x"}
        body = {"id": 1, "error": error} if isinstance(answer, Reverted) else {"id": 1, "result": answer}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def replaying() -> Iterator[Callable[[Replay], str]]:
    """Return a function that serves a recording and gives its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(replay: Replay) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
        server.replay = replay  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["full", "attested"])
def test_a_pack_passes_its_checks_with_two_rpcs_that_agree(name: str, replaying: Any) -> None:
    case = CASES[f"good/{name}.refi.json"]
    urls = [replaying(Replay(case.answers)) for _ in range(2)]
    files: dict[str, Any] = {"model_path": case.model, "returns_path": case.returns}
    report = verify(case.text.encode(), **case.named, **files, rpc_urls=urls)
    assert {check.name: check.result for check in report.checks} == dict(case.results)
    assert report.exit_code == 0
    assert "as 2 RPC(s) say" in report.checks[8].detail


@pytest.mark.parametrize("method", ["eth_call", "eth_getTransactionReceipt"])
def test_rpcs_that_disagree_are_named(method: str, replaying: Any) -> None:
    case = CASES["good/public.refi.json"]
    other = {key: value for key, value in case.answers.items() if json.loads(key)[0] != method}
    honest, lying = replaying(Replay(case.answers)), replaying(Replay(other))
    report = verify(case.text.encode(), **case.named, rpc_urls=[honest, lying])
    assert failed(report) == {"anchor on chain"}
    assert lying in report.checks[8].detail


# --- erasure


def test_an_account_whose_records_were_erased_is_whole_and_shows_no_erased_value() -> None:
    pack = CASES["good/erased.refi.json"].pack
    shown = [set(entry["disclosed"]) for entry in pack["entries"]]
    assert {"account", "event", "prev", "seq"} in shown
    assert {"account", "epoch", "event", "position_commitment", "prev", "seq"} in shown
    erased = [entry for entry in pack["entries"] if "quantity" not in entry["disclosed"]]
    assert len(erased) == 6
    assert CASES["good/erased.refi.json"].results["account chain"] == "pass"


def test_an_account_that_was_erased_whole_is_whole() -> None:
    ledger = Ledger()
    pack = ledger.page(0, 12, erased=set(range(12)))
    case = CASES["good/erased.refi.json"]
    report = examine(json.dumps(pack).encode(), named_of(case), [LedgerChain(pack)])
    assert {check.name: check.result for check in report.checks} == dict(case.results)
    assert all(set(entry["disclosed"]) <= set(RETAINED) for entry in pack["entries"])


def test_a_retained_field_cannot_be_taken_for_another_records() -> None:
    ledger = Ledger()
    pack = ledger.page(0, 12, erased={4, 5})
    other = disclose(ledger.records[4], ledger.salts[4], ["seq"])["seq"]
    pack["entries"][5]["disclosed"]["seq"] = other
    assert "disclosed fields" in failed(verify(json.dumps(pack).encode()))


# --- witnesses


def test_a_checkpoint_with_a_witness_beside_the_log_passes_and_a_witness_alone_does_not() -> None:
    case = CASES["good/erased.refi.json"]
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    witness = CosignerKey("witness.example/w1", private.public_key().public_bytes_raw())
    pack = case.pack
    pack["checkpoint"] = cosign_note(pack["checkpoint"], witness, private.sign, 1_700_000_000)
    assert pack["checkpoint"].count("\u2014") == 2
    assert results(case, pack) == dict(case.results)
    body, _, lines = pack["checkpoint"].partition("\n\n")
    alone = [line for line in lines.splitlines() if "witness.example" in line]
    pack["checkpoint"] = f"{body}\n\n{alone[0]}\n"
    assert results(case, pack)["checkpoint signature"] == "fail"


# --- files behind CIDs


@pytest.mark.parametrize("size", [0, 1, 2**18, 2**18 + 1, 3 * 2**18, 175 * 2**18 + 5])
def test_its_own_cids_are_the_kernels(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    assert file_cid(content[:size]) == kernel_cid(content[:size])
