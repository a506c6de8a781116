"""An L2's anchor shown on L1: two real nodes, with stand-ins for the OP stack's registry and games."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
from eth_abi.abi import decode
from eth_utils.abi import function_signature_to_4byte_selector
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractCustomError
from web3.types import TxReceipt

from backend.adapters.chain.l2_proof import ANCHORS_SLOT, anchor_slot, l2_proof
from backend.cli.local import ROOT
from backend.kernel.errors import NotFound, Tampered, Unavailable
from scripts.local_node import LOG_KEY, artifact, ask, deploy, node, send
from tests.contracts.l2_world import (
    CHAIN_ID,
    INDEX,
    L2,
    SHORT,
    VECTOR,
    absent,
    changed,
    forged,
    hexed,
    l2,
    log_id_of,
    raw_proof,
    word_of,
)

NOBODY = "0x" + "12" * 20
GAS_BOUND = 400_000
ERRORS = {
    function_signature_to_4byte_selector(
        f"{part['name']}({','.join(given['type'] for given in part['inputs'])})"
    ): part["name"]
    for part in artifact("L1AnchorVerifier")["abi"]
    if part["type"] == "error"
}


@dataclass(frozen=True, slots=True)
class L1:
    """A chain with the registry and the verifier of one L2."""

    web3: Web3
    registry: Contract
    verifier: Contract

    def game(self, output_root: str, *, valid: bool = True) -> str:
        """Return a game that claims an output root, settled or not."""
        game = deploy(self.web3, "StandInGame", output_root, file="OptimismStandIns")
        send(self.web3, self.registry.functions.settle(game.address, valid))
        return str(game.address)

    def call(self, game: str, proof: dict[str, Any], log_id: bytes, index: int) -> Any:
        """Return the call that proves an anchor."""
        preimage = (
            bytes.fromhex(f"{proof['version']:064x}"),
            proof["state_root"],
            proof["message_passer_storage_root"],
            proof["block_hash"],
        )
        return self.verifier.functions.prove(
            game, preimage, log_id, index, proof["account_proof"], proof["storage_proof"]
        )

    def prove(self, game: str, proof: dict[str, Any], log_id: bytes, index: int) -> TxReceipt:
        """Prove an anchor."""
        return send(self.web3, self.call(game, proof, log_id, index))

    def refusal(self, game: str, proof: dict[str, Any], log_id: bytes, index: int) -> tuple[str, bytes]:
        """Return the name and the arguments of the error with which a proof is refused."""
        with pytest.raises(ContractCustomError) as caught:
            self.call(game, proof, log_id, index).call()
        data = bytes.fromhex(str(caught.value.data)[2:])
        return ERRORS[data[:4]], data[4:]


@pytest.fixture(scope="module")
def world() -> Iterator[L2]:
    with l2() as running:
        yield running


def verifier_on(web3: Web3, contract: str) -> L1:
    """Deploy the verifier of one AuditAnchor."""
    registry = deploy(web3, "StandInRegistry", file="OptimismStandIns")
    address = Web3.to_checksum_address(contract)
    return L1(web3, registry, deploy(web3, "L1AnchorVerifier", registry.address, address, CHAIN_ID))


@pytest.fixture(scope="module")
def ethereum() -> Iterator[Web3]:
    with node(31337) as web3:
        yield web3


@pytest.fixture
def l1(ethereum: Web3, world: L2) -> L1:
    return verifier_on(ethereum, world.audit.address)


@pytest.fixture(scope="module")
def proof(world: L2) -> dict[str, Any]:
    return world.prove(INDEX)


def test_an_anchor_is_accepted_once_its_output_root_is_settled(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    game = l1.game(proof["output_root"], valid=False)
    assert l1.refusal(game, proof, world.log_id, INDEX)[0] == "GameNotValid"
    assert l1.verifier.functions.provenAt(world.log_id, INDEX).call() == bytes(32)

    send(l1.web3, l1.registry.functions.settle(game, True))
    receipt = l1.prove(game, proof, world.log_id, INDEX)

    word = world.audit.functions.anchorAt(world.log_id, INDEX).call()
    assert l1.verifier.functions.provenAt(world.log_id, INDEX).call() == word
    (event,) = l1.verifier.events.AnchorProven().process_receipt(receipt)
    assert dict(event["args"]) == {
        "logId": world.log_id,
        "index": INDEX,
        "word": word,
        "outputRoot": bytes.fromhex(proof["output_root"][2:]),
    }
    assert receipt["gasUsed"] < GAS_BOUND


def test_proving_again_changes_nothing(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    game = l1.game(proof["output_root"])
    l1.prove(game, proof, world.log_id, INDEX)
    assert l1.prove(game, proof, world.log_id, INDEX)["logs"] == []


def test_a_word_that_begins_with_a_zero_byte_is_read_whole(l1: L1, world: L2) -> None:
    short = world.prove(SHORT)
    l1.prove(l1.game(short["output_root"]), short, world.log_id, SHORT)
    word = l1.verifier.functions.provenAt(world.log_id, SHORT).call()
    assert word == word_of(world.log_id, SHORT, world.heads[SHORT])
    assert word[0] == 0


def test_a_log_id_ties_a_key_to_the_l2(l1: L1, world: L2) -> None:
    assert l1.verifier.functions.logIdOf("refi.trading/test", LOG_KEY).call() == world.log_id
    assert l1.verifier.functions.l2ChainId().call() == CHAIN_ID


def test_an_output_root_that_the_game_does_not_claim_is_refused(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    game = l1.game(changed([proof["output_root"]], 0)[0])
    assert l1.refusal(game, proof, world.log_id, INDEX)[0] == "WrongOutputRoot"


@pytest.mark.parametrize("member", ["state_root", "message_passer_storage_root", "block_hash"])
def test_an_altered_preimage_is_refused(l1: L1, world: L2, proof: dict[str, Any], member: str) -> None:
    game = l1.game(proof["output_root"])
    altered = proof | {member: changed([proof[member]], 0)[0]}
    assert l1.refusal(game, altered, world.log_id, INDEX)[0] == "WrongOutputRoot"


def test_another_version_is_refused(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    game = l1.game(proof["output_root"])
    assert l1.refusal(game, proof | {"version": 1}, world.log_id, INDEX)[0] == "UnknownVersion"


def test_a_state_root_that_a_game_claims_still_needs_its_proofs(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    claimed = forged(proof, state_root=changed([proof["state_root"]], 0)[0])
    name, data = l1.refusal(l1.game(claimed["output_root"]), claimed, world.log_id, INDEX)
    assert name == "AccountNotProven"
    account, state_root, _ = decode(["address", "bytes32", "bytes"], data)
    assert account == world.audit.address.lower()
    assert hexed(state_root) == claimed["state_root"]


@pytest.mark.parametrize(("kind", "error"), [("account_proof", "AccountNotProven"), ("storage_proof", "WordNotProven")])
def test_an_altered_or_incomplete_proof_is_refused_by_name(
    l1: L1, world: L2, proof: dict[str, Any], kind: str, error: str
) -> None:
    game, nodes = l1.game(proof["output_root"]), proof[kind]
    altered = [changed(nodes, place) for place in range(len(nodes))]
    for wrong in (*altered, nodes[:-1], nodes[1:], [], [*nodes, nodes[-1]], nodes[::-1], ["0x", *nodes[1:]]):
        assert l1.refusal(game, proof | {kind: wrong}, world.log_id, INDEX)[0] == error
    l1.prove(game, proof, world.log_id, INDEX)


@pytest.mark.parametrize("index", [INDEX - 1, INDEX + 1, 2**200])
def test_the_proof_of_one_anchor_shows_no_other(l1: L1, world: L2, proof: dict[str, Any], index: int) -> None:
    name, data = l1.refusal(l1.game(proof["output_root"]), proof, world.log_id, index)
    assert name == "WordNotProven"
    assert decode(["bytes32", "bytes32", "bytes"], data)[0] == anchor_slot(world.log_id, index)


def test_the_proof_of_one_log_shows_no_other(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    other = log_id_of(world.audit.address, "refi.trading/other")
    assert l1.refusal(l1.game(proof["output_root"]), proof, other, INDEX)[0] == "WordNotProven"


def test_another_contract_of_the_same_l2_shows_nothing(ethereum: Web3, world: L2, proof: dict[str, Any]) -> None:
    other = verifier_on(ethereum, NOBODY)
    assert other.refusal(other.game(proof["output_root"]), proof, world.log_id, INDEX)[0] == "AccountNotProven"


def test_a_true_proof_that_nothing_is_stored_is_refused(l1: L1, world: L2, proof: dict[str, Any]) -> None:
    before = absent(world, proof, 2 + INDEX)
    assert l1.refusal(l1.game(before["output_root"]), before, world.log_id, INDEX)[0] == "WordNotProven"


def test_an_account_without_storage_shows_nothing(ethereum: Web3, world: L2, proof: dict[str, Any]) -> None:
    wallet = world.web3.eth.accounts[0]
    other = verifier_on(ethereum, wallet)
    found = raw_proof(world, wallet, bytes(32), proof["block_number"])
    game = other.game(proof["output_root"])
    for storage in (proof["storage_proof"], ["0x80"], []):
        bare = proof | {"account_proof": found["accountProof"], "storage_proof": storage}
        assert other.refusal(game, bare, world.log_id, INDEX)[0] == "WordNotProven"


@cache
def vector() -> dict[str, Any]:
    """Return the vector that all verifiers of such proofs share."""
    content: dict[str, Any] = json.loads(VECTOR.read_text("utf-8"))
    return content


def holds(web3: Web3, case: dict[str, Any]) -> bool:
    """Return whether L1 accepts a case of the vector, and finds the word that its head has."""
    l1 = verifier_on(web3, case["contract"])
    log_id, head = bytes.fromhex(case["log_id"][2:]), case["head"]
    stated = (head["size"], bytes.fromhex(head["root"][2:]), bytes.fromhex(head["heads_root"][2:]))
    # A game is made for the root that is trusted; what the proof says its root is, a contract does not even read.
    if case["proof"]["output_root"] != case["trusted_output_root"]:
        return False
    try:
        l1.prove(l1.game(case["trusted_output_root"]), case["proof"], log_id, case["index"])
    except ContractCustomError:
        return False
    return bool(l1.verifier.functions.provenAt(log_id, case["index"]).call() == word_of(log_id, case["index"], stated))


@pytest.mark.parametrize("case", [{"name": "as it is"}, *vector()["good"]], ids=lambda case: case["name"])
def test_the_vectors_good_proofs_are_accepted(ethereum: Web3, case: dict[str, Any]) -> None:
    assert holds(ethereum, vector() | case)


@pytest.mark.parametrize("case", vector()["bad"], ids=lambda case: case["name"])
def test_the_vectors_bad_proofs_are_refused(ethereum: Web3, case: dict[str, Any]) -> None:
    assert not holds(ethereum, vector() | case)


def test_the_vectors_words_are_those_of_their_heads() -> None:
    for case in (vector(), *(vector() | good for good in vector()["good"])):
        log_id, head = bytes.fromhex(case["log_id"][2:]), case["head"]
        stated = (head["size"], bytes.fromhex(head["root"][2:]), bytes.fromhex(head["heads_root"][2:]))
        assert hexed(word_of(log_id, case["index"], stated)) == case["word"]
        assert log_id == log_id_of(case["contract"], case["origin"], case["chain_id"])
        assert case["proof"]["storage_key"] == hexed(anchor_slot(log_id, case["index"]))


def test_the_slot_is_where_the_compiler_puts_the_anchors(l1: L1, world: L2) -> None:
    path = "contracts/anchor/AuditAnchor.sol"
    question = {
        "language": "Solidity",
        "sources": {path: {"content": (ROOT / path).read_text("utf-8")}},
        "settings": {
            "remappings": ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"],
            "outputSelection": {path: {"AuditAnchor": ["storageLayout"]}},
        },
    }
    compiler = [str(ROOT / "contracts" / "solc" / "solc-v0.8.37"), "--standard-json", "--base-path", str(ROOT)]
    made = subprocess.run(
        compiler, input=json.dumps(question), capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    layout = json.loads(made.stdout)["contracts"][path]["AuditAnchor"]["storageLayout"]["storage"]
    (anchors,) = (entry for entry in layout if entry["label"] == "_anchors")
    assert (int(anchors["slot"]), anchors["offset"]) == (ANCHORS_SLOT, 0)
    slot = anchor_slot(world.log_id, INDEX)
    assert l1.verifier.functions.slotOf(world.log_id, INDEX).call() == slot
    stored = world.web3.eth.get_storage_at(world.audit.address, int.from_bytes(slot))
    assert bytes(stored) == word_of(world.log_id, INDEX, world.heads[INDEX])


def test_what_a_block_does_not_hold_is_not_proven(world: L2) -> None:
    with pytest.raises(NotFound, match="holds no such anchor"):
        world.prove(len(world.heads))
    with pytest.raises(NotFound, match="block 9 holds no such anchor"):
        world.prove(INDEX, 2 + INDEX)
    with pytest.raises(NotFound, match="holds no such anchor"):
        world.prove(INDEX, contract=NOBODY)
    with pytest.raises(NotFound):
        world.prove(INDEX, 10_000)


def test_a_block_can_be_named_by_its_tag_and_is_the_final_one_unless_named(l1: L1, world: L2) -> None:
    ask(world.web3, "anvil_mine", hex(100))
    ask_for = partial(l2_proof, world.url, world.audit.address, world.log_id, INDEX)
    latest, final = asyncio.run(ask_for("latest")), asyncio.run(ask_for())
    assert latest["block_number"] == world.web3.eth.block_number
    assert final["block_number"] == world.web3.eth.get_block("finalized")["number"] < latest["block_number"]
    for proof in (latest, final):
        l1.prove(l1.game(proof["output_root"]), proof, world.log_id, INDEX)


@contextmanager
def between(url: str, replace: dict[str, Any]) -> Iterator[str]:
    """Run a node that answers as another one does, but for some members of what it proves."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            with urlopen(Request(url, asked, {"Content-Type": "application/json"}), timeout=10) as response:
                answer = json.load(response)
            if json.loads(asked)["method"] == "eth_getProof":
                answer["result"] |= replace
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("replace", "fault"),
    [
        ({"accountProof": ["0x80"]}, Tampered),
        ({"accountProof": []}, Unavailable),
        ({"storageProof": []}, Unavailable),
        ({"storageProof": [{"value": "nonsense", "proof": []}]}, Unavailable),
        ({"storageHash": 7.5}, Unavailable),
    ],
)
def test_a_node_that_answers_nonsense_proves_nothing(
    world: L2, replace: dict[str, Any], fault: type[Exception]
) -> None:
    with between(world.url, replace) as url, pytest.raises(fault):
        asyncio.run(l2_proof(url, world.audit.address, world.log_id, INDEX, "latest"))


def test_a_node_that_is_not_there_proves_nothing(world: L2) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(l2_proof("http://127.0.0.1:1", world.audit.address, world.log_id, INDEX))
