"""The contract cannot know whose positions a commitment holds: the pack must show that it is the epoch's record."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.kernel.canonical import canonical_json, encode_bytes
from backend.kernel.field import bytes_to_field, limbs
from backend.proofs.engine.claim import attestation_id, context, fold, public_inputs
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.proofs.types import Binding, Statement
from tests.backend.transparency.claims import (
    ATTESTOR,
    COMMITMENT,
    ES_LIMIT,
    GROTH16,
    KEY,
    LIMIT,
    MATRIX,
    ORACLE,
    POLICY_ID,
    SUBJECT,
    policy_words,
    simulated_proof,
)
from tests.backend.transparency.examined import check, failed, raw, selector

DISCLOSED = ["event", "subject", "epoch", "position_commitment"]
TX_HASH = "0x" + "7d" * 32


def hexed(value: int) -> str:
    return f"0x{value:064x}"


def attest(chain: Any, log_id: bytes, commitment: int) -> dict[str, Any]:
    """Let the contract have accepted a proof about a commitment, and return the pack's part that tells of it."""
    binding = Binding(42069, raw(ATTESTOR), raw(SUBJECT), MATRIX.epoch, POLICY_ID, bytes(32), log_id, 3)
    stored = attestation_id(context(binding), commitment, returns_id(MATRIX))
    statement = Statement(bytes_to_field(stored), commitment, *limbs(MATRIX.universe_id), LIMIT, ES_LIMIT, 777, 888, 0)
    statement = replace(statement, e=fold(MATRIX.prices, unpack_returns(MATRIX.packed, 2), 777, 888))
    proof = simulated_proof(public_inputs(statement))
    asked = MATRIX.universe_id + MATRIX.epoch.to_bytes(32, "big")
    place = encode(["address", "uint64", "bytes32"], [SUBJECT, MATRIX.epoch, POLICY_ID])
    for contract, call, answer in (
        (ATTESTOR, selector("policyOf(bytes32)") + POLICY_ID, policy_words()),
        (ATTESTOR, selector("ORACLE()"), encode(["address"], [ORACLE])),
        (ATTESTOR, selector("attestationAt(address,uint64,bytes32)") + place, stored),
        (ORACLE, selector("returnsIdOf(bytes32,uint64)") + asked, returns_id(MATRIX)),
        (ORACLE, selector("isCountersigned(bytes32,uint64)") + asked, encode(["bool"], [True])),
        (GROTH16, selector("verifyingKey()"), encode(["bytes"], [KEY])),
    ):
        chain.answer_call(contract, call, answer)
    topics = [
        keccak(text="Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)"),
        raw(SUBJECT).rjust(32, b"\0"),
        MATRIX.epoch.to_bytes(32, "big"),
        POLICY_ID,
    ]
    told = [stored, bytes(32), log_id, 3, commitment, returns_id(MATRIX)]
    data = encode(["bytes32", "bytes32", "bytes32", "uint64", "uint256", "bytes32"], told)
    event = {"address": ATTESTOR, "topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + data.hex()}
    chain.receipts[TX_HASH] = {"blockNumber": "0x9", "logs": [event]}
    chain.inputs[TX_HASH] = bytes(4 + 320) + proof
    return {
        "attestor": ATTESTOR,
        "subject": SUBJECT,
        "epoch": MATRIX.epoch,
        "policy_id": "0x" + POLICY_ID.hex(),
        "previous": hexed(0),
        "anchor_index": 3,
        "position_commitment": hexed(commitment),
        "returns_id": "0x" + returns_id(MATRIX).hex(),
        "returns_cid": "",
        "public_inputs": [hexed(value) for value in statement.values()],
        "proof": "0x" + proof.hex(),
        "tx_hash": TX_HASH,
    }


def closed(commitment: int, **others: Any) -> dict[str, Any]:
    record = {"event": "epoch.closed", "subject": SUBJECT, "epoch": MATRIX.epoch}
    return record | {"position_commitment": hexed(commitment)} | others


@pytest.mark.parametrize(
    ("record", "fails"),
    [
        (closed(COMMITMENT), set()),
        (closed(COMMITMENT + 1), {"VaR binding"}),
        (closed(COMMITMENT, event="epoch.refused"), {"VaR binding"}),
        (closed(COMMITMENT, epoch=MATRIX.epoch - 1), {"VaR binding"}),
        (closed(COMMITMENT, subject="0x" + "5c" * 20), {"VaR binding"}),
    ],
    ids=["the epoch's own", "other positions", "another event", "another epoch", "another subject"],
)
def test_an_accepted_proof_about_a_commitment_that_is_not_the_epochs_record_fails_only_the_binding(
    record: dict[str, Any], fails: set[str], make_log: Any, chain: Any, serve: Any, tmp_path: Path
) -> None:
    log = make_log([{"event": "account.opened"}, record])
    part = attest(chain, log.log_id, COMMITMENT)
    pack = log.pack({1: DISCLOSED}, heads=False, var=part)
    chain.anchor(pack)
    content: dict[str, Any] = {"universe": ["AAPL", "MSFT"], "epoch": MATRIX.epoch, "prices": ["187.25", "9.99"]}
    returns = tmp_path / "returns.json"
    returns.write_bytes(canonical_json(content | {"returns": encode_bytes(MATRIX.packed), "v": 1}))
    report = check(pack, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns)
    assert failed(report) == fails
