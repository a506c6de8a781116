"""`refi audit var`: what a chain, and an RPC that lies about it, tell of one wallet's attestations."""

import copy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from eth_utils.crypto import keccak

from backend.cli.audit.access import Names
from backend.cli.audit.var import Asked, audit_var
from backend.kernel.canonical import canonical_json
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.proofs.engine.returns import returns_id
from backend.transparency.engine.verifier import require_groth16
from tests.backend.cli.conftest import several_in
from tests.backend.transparency.attested import ATTESTED, OPEN, PUBLISHED, SKIPPED, AttestedChain, made
from tests.backend.transparency.claims import (
    ATTESTOR,
    CIRCUIT_HASH,
    KEY,
    LIMIT,
    MATRIX,
    ORACLE,
    POLICY_ID,
    SUBJECT,
    g1_bytes,
    policy_words,
)
from tests.backend.transparency.conftest import CHAIN_ID, CONTRACT, Endpoint, Log
from tests.backend.transparency.conftest import KEY as LOG_KEY
from tests.backend.transparency.examined import selector

FIRST, MIDDLE, LAST = ATTESTED[0], ATTESTED[1], ATTESTED[-1]
POLICY = "0x" + POLICY_ID.hex()
STANDING: list[AttestedChain] = []
# Every test sees the same proofs: each is verified once.
remembering = lru_cache(require_groth16)


@dataclass(frozen=True)
class Answer:
    """What the verb exits with and says."""

    code: int
    said: dict[str, Any]

    @property
    def failed(self) -> set[str]:
        """The checks that failed."""
        return {check["name"] for check in self.said["checks"] if check["result"] == "fail"}

    @property
    def states(self) -> list[str]:
        """The state of each epoch."""
        return [epoch["state"] for epoch in self.said["policies"][0]["epochs"]]

    def detail(self, name: str) -> str:
        """What a check says."""
        return next(str(check["detail"]) for check in self.said["checks"] if check["name"] == name)


Audit = Callable[..., Answer]


@pytest.fixture
def chain() -> AttestedChain:
    """Return a chain of its own; the proofs of the first are made once."""
    if not STANDING:
        STANDING.append(AttestedChain())
    return copy.deepcopy(STANDING[0])


@pytest.fixture
def serve() -> Iterator[Callable[[AttestedChain], str]]:
    servers: list[Endpoint] = []

    def start(chain: AttestedChain) -> str:
        servers.append(Endpoint(chain, "honest", threading.Event()))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def audit(serve: Callable[[AttestedChain], str], capsys: pytest.CaptureFixture[str]) -> Audit:
    def run(*chains: AttestedChain, **named: Any) -> Answer:
        names = Names("", CONTRACT, CHAIN_ID, tuple(map(serve, chains)), ATTESTOR)
        code = audit_var(Asked(SUBJECT, names, **named), as_json=True, groth16=remembering)
        return Answer(code, json.loads(capsys.readouterr().out))

    return run


def test_an_honest_chain_passes_and_shows_its_gaps(audit: Audit, chain: AttestedChain) -> None:
    answer = audit(chain)
    assert (answer.code, answer.failed) == (0, set())
    assert answer.states == ["attested", "attested", "skipped", "attested", "attested", "open"]
    assert [epoch["epoch"] for epoch in answer.said["policies"][0]["epochs"]] == list(PUBLISHED)
    assert answer.detail("policy").startswith("VaR within 10000 USD and ES within 15000 USD, k = 1 of 3 days")
    assert answer.detail("policy").endswith(f"circuit {CIRCUIT_HASH}, key 0x{keccak(KEY).hex()}, defined once")
    assert answer.detail("proofs") == "4 folds and Groth16 proofs verified from calldata"
    assert answer.detail("returns") == "4 matrices published before, 2 countersigned"
    assert [epoch["countersigned"] for epoch in answer.said["policies"][0]["epochs"]] == [True, False] * 3


def test_what_the_user_names_is_compared(audit: Audit, chain: AttestedChain) -> None:
    answer = audit(chain, policy=POLICY, circuit_hash=CIRCUIT_HASH, log_key=str(LOG_KEY))
    assert (answer.code, answer.detail("log identity")) == (0, f"{LOG_KEY.name} at {CONTRACT}")
    other = str(replace(LOG_KEY, name="refi.trading/other"))
    assert audit(chain, policy=POLICY, circuit_hash="0x" + "11" * 32, log_key=other).failed == {
        "policy",
        "log identity",
    }
    with pytest.raises(Invalid):
        audit(chain, policy="0x12")


@pytest.mark.parametrize("epoch", ATTESTED)
def test_an_event_that_is_left_out_is_missed(epoch: int, audit: Audit, chain: AttestedChain) -> None:
    chain.drop(chain.made[epoch].tx_hash)
    answer = audit(chain)
    assert (answer.code, answer.failed) == (1, {"links"})


def test_a_chain_that_is_left_out_whole_is_missed(audit: Audit, chain: AttestedChain) -> None:
    for one in chain.made.values():
        chain.drop(one.tx_hash)
    answer = audit(chain)
    assert (answer.code, answer.failed) == (1, {"links"})
    assert "another: an event is missing" in answer.detail("links")


def test_a_wallet_without_attestations_is_not_found(audit: Audit, chain: AttestedChain) -> None:
    for one in chain.made.values():
        chain.drop(one.tx_hash)
        chain.hold(one.binding.epoch, bytes(32))
    chain.latest(bytes(32))
    with pytest.raises(NotFound):
        audit(chain)


def test_an_event_that_names_another_before_it_is_refused(audit: Audit, chain: AttestedChain) -> None:
    event = chain.event(LAST)
    event["data"] = event["data"][:66] + "09" * 32 + event["data"][130:]
    assert audit(chain).failed == {"events", "links"}


def test_a_branch_is_refused_even_where_its_ids_and_proofs_hold(audit: Audit, chain: AttestedChain) -> None:
    chain.put(made(LAST, chain.made[FIRST].id, 4))
    chain.latest(chain.made[LAST].id)
    answer = audit(chain)
    assert (answer.failed, answer.detail("links")) == ({"links"}, "two name the same one before: a branch (and 1 more)")


def test_an_attestation_that_the_contract_does_not_hold_is_refused(audit: Audit, chain: AttestedChain) -> None:
    chain.hold(MIDDLE, keccak(b"other"))
    assert audit(chain).failed == {"events"}


def test_another_policy_is_refused(audit: Audit, chain: AttestedChain) -> None:
    looser = copy.deepcopy(chain)
    looser.answer_call(ATTESTOR, selector("policyOf(bytes32)") + POLICY_ID, policy_words(limit=10 * LIMIT))
    assert audit(looser).failed == {"policy", "proofs"}
    again = copy.deepcopy(chain)
    again.define(policy_words())
    assert audit(again).failed == {"policy"}
    for event in chain.events("Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)"):
        event["topics"][3] = "0x" + "01" * 32
    assert audit(chain).code == 1


def test_a_policy_that_was_told_otherwise_from_the_start_fails_its_proofs(audit: Audit, chain: AttestedChain) -> None:
    name = next(event for event in chain.logs if len(event["topics"]) == 2)
    chain.logs.remove(name)
    chain.define(policy_words(es_limit=0))
    chain.logs[-1]["blockNumber"] = hex(50)
    assert audit(chain).failed == {"proofs"}
    chain.define(policy_words(key_hash=keccak(KEY[:-64] + g1_bytes(9))))
    assert audit(chain).failed == {"policy", "proofs"}


def test_a_policy_defined_after_an_attestation_is_refused(audit: Audit, chain: AttestedChain) -> None:
    next(event for event in chain.logs if len(event["topics"]) == 2)["blockNumber"] = hex(301)
    assert audit(chain).failed == {"policy"}


def test_returns_that_were_published_late_twice_or_otherwise_are_refused(audit: Audit, chain: AttestedChain) -> None:
    signature = "Published(bytes32,uint64,bytes32,address)"
    late, twice = copy.deepcopy(chain), copy.deepcopy(chain)
    late.events(signature)[0]["blockNumber"] = hex(999)
    assert audit(late).failed == {"returns"}
    twice.logs.append(twice.events(signature)[0] | {"blockNumber": hex(120), "logIndex": hex(500)})
    assert audit(twice).failed == {"returns"}
    asked = MATRIX.universe_id + FIRST.to_bytes(32, "big")
    chain.answer_call(ORACLE, selector("returnsIdOf(bytes32,uint64)") + asked, keccak(b"other"))
    assert audit(chain).failed == {"returns"}


def test_an_anchor_that_is_not_there_or_came_later_is_refused(audit: Audit, chain: AttestedChain) -> None:
    signature = "Anchored(bytes32,uint256,uint64,bytes32,bytes32)"
    late, otherwise = copy.deepcopy(chain), copy.deepcopy(chain)
    late.events(signature)[0]["blockNumber"] = hex(999)
    assert audit(late).failed == {"anchors"}
    event = otherwise.events(signature)[0]
    event["data"] = event["data"][:-2] + "77"
    assert audit(otherwise).failed == {"anchors"}
    chain.logs.remove(chain.events(signature)[0])
    assert audit(chain).failed == {"anchors"}


@pytest.mark.parametrize("part", ["price", "returns", "r", "proof", "commitment", "nothing"])
def test_calldata_that_does_not_prove_the_event_is_refused(part: str, audit: Audit, chain: AttestedChain) -> None:
    one = chain.made[MIDDLE]
    chain.inputs[one.tx_hash] = {
        "price": replace(one, matrix=replace(one.matrix, prices=(1872501, 99900))),
        "returns": replace(one, matrix=replace(one.matrix, packed=bytes(18))),
        "r": replace(one, statement=replace(one.statement, r=778)),
        "proof": replace(one, proof=chain.made[FIRST].proof),
        "commitment": replace(one, commitment=1),
        "nothing": chain.made[FIRST],
    }[part].calldata()
    answer = audit(chain)
    assert (answer.code, answer.failed) == (1, {"proofs"})
    faults = {epoch["epoch"]: epoch.get("fault", "") for epoch in answer.said["policies"][0]["epochs"]}
    assert [epoch for epoch, fault in faults.items() if fault] == [MIDDLE]


def test_a_claim_that_another_contract_handed_on_is_found_in_its_input(audit: Audit, chain: AttestedChain) -> None:
    one = chain.made[MIDDLE]
    batch = chain.made[FIRST].calldata() + one.calldata()
    chain.inputs[one.tx_hash] = selector("execute(address,bytes)") + bytes(64) + batch
    assert audit(chain).code == 0


def test_a_claim_that_failed_before_it_succeeded_in_one_transaction_is_told_apart(
    audit: Audit, chain: AttestedChain
) -> None:
    one = chain.made[MIDDLE]
    failed = replace(one, proof=chain.made[FIRST].proof), replace(one, statement=replace(one.statement, r=778))
    chain.inputs[one.tx_hash] = b"".join(tried.calldata() for tried in (*failed, one))
    assert audit(chain).code == 0


def test_published_returns_that_are_left_out_do_not_hide_an_epoch(audit: Audit, chain: AttestedChain) -> None:
    honest = audit(chain).states
    for epoch in (*SKIPPED, *OPEN):
        lying = copy.deepcopy(chain)
        lying.logs.remove(lying.events("Published(bytes32,uint64,bytes32,address)")[epoch - PUBLISHED[0]])
        answer = audit(lying)
        assert (answer.code, answer.failed, answer.states) == (1, {"returns"}, honest)
        assert f"epoch {epoch} that no event tells" in answer.detail("returns")


def test_an_attestor_of_another_anchor_contract_is_refused(audit: Audit, chain: AttestedChain) -> None:
    chain.answer_call(ATTESTOR, selector("ANCHOR()"), bytes(12) + b"\x77" * 20)
    assert (audit(chain).code, audit(chain).failed) == (1, {"chain"})


def test_rpcs_that_disagree_are_refused_and_silent_ones_are_unreachable(audit: Audit, chain: AttestedChain) -> None:
    assert audit(chain, copy.deepcopy(chain)).code == 0
    lying = copy.deepcopy(chain)
    lying.drop(chain.made[LAST].tx_hash)
    answer = audit(chain, lying)
    assert (answer.code, answer.failed) == (1, {"chain"})
    lying.chain_id = 1
    with pytest.raises(Unavailable):
        audit(chain, lying)
    with pytest.raises(Invalid):
        audit()


@pytest.mark.parametrize(
    "change",
    [
        {"data": "0x12"},
        {"topics": []},
        {"blockNumber": "0xffff"},
        {"blockNumber": "0x-1"},
        {"logIndex": "0x" + "f" * 1000},
        {"address": ORACLE},
        {"transactionHash": None},
        {"transactionHash": "0x12"},
    ],
)
def test_events_of_another_form_are_refused(change: dict[str, Any], audit: Audit, chain: AttestedChain) -> None:
    chain.unasked.append(chain.event(FIRST) | change)
    assert audit(chain, policy=POLICY).failed == {"chain"}


def test_an_epoch_or_an_input_beyond_all_bounds_is_refused(audit: Audit, chain: AttestedChain) -> None:
    lying = copy.deepcopy(chain)
    event = lying.events("Published(bytes32,uint64,bytes32,address)")[0]
    event["topics"] = [*event["topics"][:2], "0x01" + "00" * 32, event["topics"][3]]
    assert audit(lying, policy=POLICY).failed == {"chain"}
    chain.inputs[chain.made[FIRST].tx_hash] += bytes(1 << 19)
    assert audit(chain).failed == {"chain"}


# --- packs and the platform

ATTESTED_IN_PACK = ATTESTED[2]


@pytest.fixture
def folder(tmp_path: Path, chain: AttestedChain) -> Path:
    """Return a folder with the pack of one attested epoch, whose anchor and transaction the chain holds."""
    one = chain.made[ATTESTED_IN_PACK]
    commitment = f"0x{one.commitment:064x}"
    record = {"event": "epoch.closed", "subject": SUBJECT, "epoch": ATTESTED_IN_PACK, "position_commitment": commitment}
    part = {
        "attestor": ATTESTOR,
        "subject": SUBJECT,
        "epoch": ATTESTED_IN_PACK,
        "policy_id": POLICY,
        "previous": "0x" + one.binding.previous.hex(),
        "anchor_index": one.binding.anchor_index,
        "position_commitment": commitment,
        "returns_id": "0x" + returns_id(one.matrix).hex(),
        "returns_cid": "",
        "public_inputs": [f"0x{value:064x}" for value in one.statement.values()],
        "proof": "0x" + one.proof.hex(),
        "tx_hash": one.tx_hash,
    }
    shown = {1: ["event", "subject", "epoch", "position_commitment"]}
    pack = Log([{"event": "account.opened"}, record]).pack(shown, heads=False, var=part)
    chain.anchor_pack(pack)
    event = chain.event(ATTESTED_IN_PACK)
    chain.receipts[one.tx_hash] = {"blockNumber": event["blockNumber"], "logs": [event]}
    (tmp_path / "one.refi.json").write_bytes(canonical_json(pack))
    return tmp_path


def test_packs_are_verified_and_held_against_the_chain(audit: Audit, chain: AttestedChain, folder: Path) -> None:
    answer = audit(chain, packs=folder)
    assert answer.code == 0
    assert answer.detail("packs") == "1 attested epochs bound to the log in 1 packs, 3 without"
    path = folder / "one.refi.json"
    pack = json.loads(path.read_text())
    for name, value in (("proof", "0x" + chain.made[FIRST].proof.hex()), ("epoch", SKIPPED[0]), ("returns_id", POLICY)):
        path.write_bytes(canonical_json(pack | {"var": pack["var"] | {name: value}}))
        assert audit(chain, packs=folder).failed == {"packs"}, name
    path.unlink()
    with pytest.raises(Invalid):
        audit(chain, packs=folder)


class Platform(BaseHTTPRequestHandler):
    """Tells of a breach in the skipped epoch."""

    def do_GET(self) -> None:
        """Answer GET /api/v1/proofs/var."""
        asked = parse_qs(urlsplit(self.path).query)
        breached = {"policy_id": POLICY, "state": "breached"} if asked["epoch"] == [str(SKIPPED[0])] else {}
        body = json.dumps({"attestations": [breached, {"policy_id": CIRCUIT_HASH, "state": "breached"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def test_a_platform_that_is_named_tells_which_gaps_are_breaches(audit: Audit, chain: AttestedChain) -> None:
    with HTTPServer(("127.0.0.1", 0), Platform) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        answer = audit(chain, api=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert answer.states == ["attested", "attested", "breached", "attested", "attested", "open"]
    assert answer.detail("platform") == "2 epochs without an attestation, 1 of them breaches"


def test_a_platform_that_does_not_answer_hides_nothing_of_the_chain(audit: Audit, chain: AttestedChain) -> None:
    answer = audit(chain, api="http://127.0.0.1:1")
    assert (answer.code, len(answer.states)) == (3, 6)


def test_a_person_reads_one_line_an_epoch(
    serve: Callable[[AttestedChain], str], chain: AttestedChain, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(SUBJECT, Names("", CONTRACT, CHAIN_ID, (serve(chain),), ATTESTOR))
    assert audit_var(asked, as_json=False, groth16=remembering) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"policy {POLICY}"
    assert "epoch 17000  attested 0x" in lines[1]
    assert lines[1].endswith("block 300, anchor 0, returns countersigned, verified")
    assert lines[3] == "  epoch 17002  skipped"
    assert lines[7] == f"as of block 1000 of chain {CHAIN_ID}"


def test_what_is_not_named_is_a_usage_error_and_a_silent_rpc_is_unreachable(tmp_path: Path) -> None:
    named = ["--contract", CONTRACT, "--chain-id", str(CHAIN_ID), "--attestor", ATTESTOR]
    silent = ["--rpc", "http://127.0.0.1:1"]
    no_rpc, no_attestor, unreachable, no_wallet, other_option, no_key = several_in(
        tmp_path,
        [
            ["audit", "var", SUBJECT, *named],
            ["audit", "var", SUBJECT, *named[:4], *silent],
            ["audit", "var", SUBJECT, *named, *silent],
            ["audit", "var", "0x12", *named, *silent],
            ["audit", "var", SUBJECT, *named, *silent, "--circuit-hash", "12"],
            ["audit", "var", SUBJECT, *named, *silent, "--log-key", "refi.trading/local"],
        ],
    )
    assert no_rpc.is_one_line(2, "--rpc URL")
    assert no_attestor.is_one_line(2, "--attestor")
    assert unreachable.is_one_line(3, "http://127.0.0.1:1")
    assert no_wallet.code == 2
    assert other_option.is_one_line(2, "--circuit-hash")
    assert no_key.is_one_line(2, "verifier key")
