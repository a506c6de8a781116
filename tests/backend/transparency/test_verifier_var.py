"""The verifier's checks of a VaR attestation, against a toy key and a chain that answers what a test sets."""

import copy
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from py_ecc import optimized_bn128 as bn

from backend.kernel.canonical import canonical_json, decimal_string, decode_bytes, encode_bytes
from backend.kernel.field import bytes_to_field, limbs
from backend.proofs.engine.claim import attestation_id, context, fold, public_inputs
from backend.proofs.engine.returns import returns_id
from backend.proofs.types import Binding, Statement
from backend.transparency.engine import verifier
from backend.transparency.engine.verifier import Failed
from tests.backend.transparency.claims import (
    ATTESTOR,
    CIRCUIT_HASH,
    COMMITMENT,
    ES_LIMIT,
    GATE,
    GROTH16,
    KEY,
    LIMIT,
    MATRIX,
    ORACLE,
    ORDER,
    POLICY_ID,
    RELAY,
    SUBJECT,
    g1_bytes,
    g2_bytes,
    policy_words,
    simulated_proof,
)
from tests.backend.transparency.examined import check, failed, raw, result, selector

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "var_claim.json").read_text())


def set_policy(chain: Any, **changes: Any) -> None:
    """Let the attestor hold the policy."""
    chain.answer_call(ATTESTOR, selector("policyOf(bytes32)") + POLICY_ID, policy_words(**changes))


def set_returns(chain: Any, published: bytes, *, countersigned: bool = True) -> None:
    """Let the oracle have published these returns."""
    asked = MATRIX.universe_id + (17000).to_bytes(32, "big")
    chain.answer_call(ATTESTOR, selector("ORACLE()"), encode(["address"], [ORACLE]))
    chain.answer_call(ORACLE, selector("returnsIdOf(bytes32,uint64)") + asked, published)
    told = encode(["bool"], [countersigned])
    chain.answer_call(ORACLE, selector("isCountersigned(bytes32,uint64)") + asked, told)


def mined(chain: Any, part: dict[str, Any], attestation: bytes) -> None:
    """Put the attestation's transaction on the chain."""
    signature = "Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)"
    topics = [keccak(text=signature), raw(SUBJECT).rjust(32, b"\0"), (17000).to_bytes(32, "big"), POLICY_ID]
    data = attestation + encode(["bytes32", "bytes32", "uint64", "uint256", "bytes32"], [bytes(32)] * 2 + [3, 1, b""])
    log = {"address": ATTESTOR, "topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + data.hex()}
    chain.receipts[part["tx_hash"]] = {"blockNumber": "0x9", "logs": [log]}
    chain.inputs[part["tx_hash"]] = bytes(4 + 320) + raw(part["proof"])


@pytest.fixture
def attested(make_log: Any, chain: Any) -> dict[str, Any]:
    """Return a pack with an attestation, and put it on the chain."""
    word = "0x" + COMMITMENT.to_bytes(32, "big").hex()
    record = {"event": "epoch.closed", "subject": SUBJECT, "epoch": 17000, "position_commitment": word}
    log = make_log([{"event": "account.opened"}, record])
    binding = Binding(42069, raw(ATTESTOR), raw(SUBJECT), 17000, POLICY_ID, bytes(32), log.log_id, 3)
    stored = attestation_id(context(binding), COMMITMENT, returns_id(MATRIX))
    bound = bytes_to_field(stored)
    statement = Statement(bound, COMMITMENT, *limbs(MATRIX.universe_id), LIMIT, ES_LIMIT, 777, 888, 0)
    rows = [[12000, -5000], [-31000, 400], [0, -1]]
    statement = replace(statement, e=fold(MATRIX.prices, rows, 777, 888))
    part: dict[str, Any] = {
        "attestor": ATTESTOR,
        "subject": SUBJECT,
        "epoch": 17000,
        "policy_id": "0x" + POLICY_ID.hex(),
        "previous": "0x" + "00" * 32,
        "anchor_index": 3,
        "position_commitment": word,
        "returns_id": "0x" + returns_id(MATRIX).hex(),
        "returns_cid": "",
        "public_inputs": ["0x" + value.to_bytes(32, "big").hex() for value in statement.values()],
        "proof": "0x" + simulated_proof(public_inputs(statement)).hex(),
        "tx_hash": "0x" + "7d" * 32,
    }
    pack: dict[str, Any] = log.pack({1: ["event", "subject", "epoch", "position_commitment"]}, heads=False, var=part)
    chain.anchor(pack)
    set_policy(chain)
    set_returns(chain, returns_id(MATRIX))
    chain.answer_call(GROTH16, selector("verifyingKey()"), encode(["bytes"], [KEY]))
    asked = encode(["address", "uint64", "bytes32"], [SUBJECT, 17000, POLICY_ID])
    chain.answer_call(ATTESTOR, selector("attestationAt(address,uint64,bytes32)") + asked, stored)
    mined(chain, part, stored)
    return pack


@pytest.fixture
def returns_path(tmp_path: Path) -> Path:
    content: dict[str, str | int | list[str]] = {
        "universe": ["AAPL", "MSFT"],
        "epoch": 17000,
        "prices": ["187.25", "9.99"],
        "returns": encode_bytes(MATRIX.packed),
        "v": 1,
    }
    path = tmp_path / "returns.json"
    path.write_bytes(canonical_json(content))
    return path


def test_an_attestation_is_verified_whole(attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path) -> None:
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert not failed(report)
    assert (result(report, "VaR proof"), result(report, "VaR binding")) == ("pass", "pass")
    assert told(report) == (
        "VaR within 10000 USD and ES within 15000 USD, k = 1 of 3 days, 2 instruments, "
        f"circuit {CIRCUIT_HASH}, key 0x{keccak(KEY).hex()}, returns countersigned"
    )


def test_without_an_expected_shortfall_none_is_claimed() -> None:
    policy = verifier.read_policy(policy_words(es_limit=0), lambda _verifier: KEY)
    assert policy.shown() == "VaR within 10000 USD, k = 1 of 3 days, 2 instruments"


def test_the_circuit_that_the_user_names_is_the_policys(
    attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    named: dict[str, Any] = {"rpc_urls": [serve(chain)], "attestor": ATTESTOR, "returns_path": returns_path}
    assert not failed(check(attested, **named, circuit_hash=CIRCUIT_HASH.upper().replace("0X", "0x")))
    assert failed(check(attested, **named, circuit_hash="0x" + "c6" * 32)) == {"VaR proof"}


@pytest.mark.parametrize(
    "change",
    [
        {"limit": LIMIT + 1},
        {"es_limit": ES_LIMIT + 1},
        {"es_limit": 0},
        {"k": 2},
        {"tail_numerator": 5, "tail_denominator": 4},
        {"tail_numerator": 6, "tail_denominator": 8},
        {"tail_numerator": 0},
        {"tail_denominator": 0},
        {"k": 4, "tail_numerator": 4, "tail_denominator": 1},
        {"window": 2},
        {"instruments": 0},
        {"instruments": 3},
        {"quantity_bits": 41},
        {"limit_bits": 81},
        {"pnl_bits": 82},
        {"limit": 2**82},
        {"es_limit": 2**82},
        {"universe_id": bytes(32)},
        {"verifier": "0x" + "00" * 20},
        {"key_hash": bytes(32)},
    ],
)
def test_a_policy_that_the_statement_does_not_fit_is_refused(
    change: dict[str, Any], attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    set_policy(chain, **change)
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == {"VaR proof"}


def test_returns_that_the_oracle_did_not_publish_are_refused_and_a_countersignature_is_told(
    attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    named: dict[str, Any] = {"rpc_urls": [serve(chain)], "attestor": ATTESTOR, "returns_path": returns_path}
    set_returns(chain, returns_id(MATRIX), countersigned=False)
    assert told(check(attested, **named)).endswith("returns of one publisher")
    for other in (bytes(32), keccak(b"other")):
        set_returns(chain, other)
        report = check(attested, **named)
        assert (failed(report), told(report)) == (
            {"VaR proof"},
            f"{named['rpc_urls'][0]}: the oracle published other returns",
        )


def test_rpcs_that_tell_two_policies_are_refused(
    attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    honest, lying = serve(chain), copy.deepcopy(chain)
    set_policy(lying, circuit_hash=bytes(32))
    report = check(attested, rpc_urls=[honest, serve(lying)], attestor=ATTESTOR, returns_path=returns_path)
    assert (failed(report), told(report)) == ({"VaR proof"}, "the RPCs disagree about the policy or the returns")


def told(report: verifier.Report) -> str:
    return next(item.detail for item in report.checks if item.name == "VaR proof")


def test_what_is_not_named_is_skipped(attested: dict[str, Any], chain: Any, serve: Any) -> None:
    report = check(attested, rpc_urls=[serve(chain)])
    assert (result(report, "VaR proof"), result(report, "VaR binding")) == ("skipped", "skipped")
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR)
    assert (result(report, "VaR proof"), result(report, "VaR binding")) == ("skipped", "pass")
    assert result(check(attested, attestor=ATTESTOR), "VaR binding") == "skipped"


def changed_word(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize("at", range(9))
def test_a_claim_with_another_public_input_is_refused(
    at: int, attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    inputs = attested["var"]["public_inputs"]
    inputs[at] = changed_word(inputs[at])
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == {"VaR proof"}


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("change", ["other", "alias"])
def test_a_statement_that_differs_is_refused_even_where_its_proof_holds(
    at: int, change: str, attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    stated = [int(value, 16) for value in attested["var"]["public_inputs"]]
    stated[at] += ORDER if change == "alias" else 1
    proof = simulated_proof(verifier.public_inputs(stated))
    attested["var"] |= {"public_inputs": [f"0x{value:064x}" for value in stated], "proof": "0x" + proof.hex()}
    chain.inputs[attested["var"]["tx_hash"]] = proof
    verifier.require_groth16(KEY, proof, verifier.public_inputs(stated))
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == {"VaR proof"}


@pytest.mark.parametrize(
    ("name", "value", "fails"),
    [
        ("attestor", GATE, {"VaR proof", "VaR binding"}),
        ("subject", RELAY, {"VaR proof", "VaR binding"}),
        ("epoch", 17001, {"VaR proof", "VaR binding"}),
        ("policy_id", "0x" + "09" * 32, {"VaR proof", "VaR binding"}),
        ("previous", "0x" + "09" * 32, {"VaR proof", "VaR binding"}),
        ("anchor_index", 2, {"VaR proof", "VaR binding"}),
        ("position_commitment", "0x" + "09" * 32, {"VaR proof", "VaR binding"}),
        ("returns_id", "0x" + "09" * 32, {"VaR proof", "VaR binding"}),
        ("tx_hash", "0x" + "09" * 32, {"VaR binding"}),
        ("tx_hash", "0x" + "7a" * 32, {"VaR binding"}),
    ],
)
def test_a_claim_bound_to_something_else_is_refused(
    name: str, value: object, fails: set[str], attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    attested["var"][name] = value
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == fails


def test_another_proof_is_refused(attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path) -> None:
    url = serve(chain)
    good = raw(attested["var"]["proof"])
    other = good[:192] + g1_bytes(5)
    off_curve = good[:-1] + bytes([good[-1] ^ 1])
    above = (bn.field_modulus + 1).to_bytes(32, "big") + good[32:]
    for proof in (other, off_curve, above):
        attested["var"]["proof"] = "0x" + proof.hex()
        report = check(attested, rpc_urls=[url], attestor=ATTESTOR, returns_path=returns_path)
        assert failed(report) == {"VaR proof", "VaR binding"}


def test_a_proof_that_holds_but_was_not_handed_in_is_refused(
    attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    # (-A, -B, C): its product is the same.
    words = [int(attested["var"]["proof"][2 + at : 66 + at], 16) for at in range(0, 512, 64)]
    for place in (1, 4, 5):
        words[place] = -words[place] % bn.field_modulus
    attested["var"]["proof"] = "0x" + "".join(f"{value:064x}" for value in words)
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert result(report, "VaR proof") == "pass"
    assert failed(report) == {"VaR binding"}
    chain.inputs.clear()
    assert failed(check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR)) == {"VaR binding"}


@pytest.mark.parametrize(
    "change",
    [
        {"prices": ["187.26", "9.99"]},
        {"epoch": 17001},
        {"universe": ["MSFT", "AAPL"]},
        {"returns": encode_bytes(bytes(18))},
        {"returns": encode_bytes(MATRIX.packed[:-1])},
        {"v": 2},
        {"prices": ["187.25001", "9.99"]},
    ],
)
def test_other_returns_are_refused(
    change: dict[str, Any], attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    returns_path.write_bytes(canonical_json(json.loads(returns_path.read_text()) | change))
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == {"VaR proof"}


def test_a_key_that_is_not_the_policys_or_can_be_forged_is_refused(
    attested: dict[str, Any], chain: Any, serve: Any, returns_path: Path
) -> None:
    other = KEY[:-64] + g1_bytes(99)
    chain.answer_call(GROTH16, selector("verifyingKey()"), encode(["bytes"], [other]))
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR, returns_path=returns_path)
    assert failed(report) == {"VaR proof"}
    delta = KEY[320:448]
    y = [int.from_bytes(delta[at : at + 32], "big") for at in (64, 96)]
    minus_delta = delta[:64] + b"".join((-word % bn.field_modulus).to_bytes(32, "big") for word in y)
    for forgeable in (
        KEY[:320] + KEY[192:320] + KEY[448:],
        KEY[:320] + g2_bytes(1) + KEY[448:],
        KEY[:192] + minus_delta + KEY[320:],
        bytes(64) + KEY[64:],
        KEY[:64] + bytes(128) + KEY[192:],
        KEY[:192] + bytes(128) + KEY[320:],
        KEY[:320] + bytes(128) + KEY[448:],
    ):
        with pytest.raises(Failed, match="second phase"):
            verifier.require_groth16(forgeable, bytes(256), (1, 2, 3))


def test_a_record_that_the_named_anchor_does_not_hold_is_refused(
    attested: dict[str, Any], chain: Any, serve: Any
) -> None:
    # The same record, attested under an earlier anchor of the log that ends before it.
    earlier = json.loads(json.dumps(attested))
    earlier["anchor"]["size"] = 2
    chain.anchor(earlier, index=2)
    attested["var"]["anchor_index"] = 2
    report = check(attested, rpc_urls=[serve(chain)], attestor=ATTESTOR)
    detail = next(item.detail for item in report.checks if item.name == "VaR binding")
    assert "not below the named anchor" in detail


def test_an_attestation_under_another_anchor_of_the_log_is_bound(
    attested: dict[str, Any], make_log: Any, chain: Any, serve: Any
) -> None:
    chain.anchor(attested, index=2)
    part = attested["var"] | {"anchor_index": 2}
    log_id = raw(attested["anchor"]["log_id"])
    ctx = context(Binding(42069, raw(ATTESTOR), raw(SUBJECT), 17000, POLICY_ID, bytes(32), log_id, 2))
    asked = encode(["address", "uint64", "bytes32"], [SUBJECT, 17000, POLICY_ID])
    stored = attestation_id(ctx, COMMITMENT, returns_id(MATRIX))
    chain.answer_call(ATTESTOR, selector("attestationAt(address,uint64,bytes32)") + asked, stored)
    mined(chain, part, stored)
    report = check(attested | {"var": part}, rpc_urls=[serve(chain)], attestor=ATTESTOR)
    assert result(report, "VaR binding") == "pass"


def test_an_epoch_that_was_closed_twice_is_refused(attested: dict[str, Any], make_log: Any, chain: Any) -> None:
    closed = {name: field["value"] for name, field in attested["entries"][0]["disclosed"].items()}
    second = closed | {"position_commitment": "0x" + "09" * 32}
    pack = make_log([{"event": "account.opened"}, closed, second])
    shown = {1: list(closed), 2: list(second)}
    report = check(pack.pack(shown, heads=False, var=attested["var"]), attestor=ATTESTOR)
    assert failed(report) == {"VaR binding"}


def test_the_published_claim_verifies_in_its_parts() -> None:
    statement = [int(value, 16) for value in VECTOR["statement"].values()]
    inputs = verifier.public_inputs(statement)
    assert [f"0x{value:064x}" for value in inputs] == VECTOR["proof_inputs"]
    packed = decode_bytes(VECTOR["returns"])
    width = len(VECTOR["tickers"])
    prices = [decimal_string(Decimal(units).scaleb(-4)) for units in VECTOR["prices_units"]]
    content = {"universe": VECTOR["tickers"], "epoch": VECTOR["epoch"], "prices": prices, "v": 1}
    market = verifier.read_returns(canonical_json(content | {"returns": encode_bytes(packed)}))
    assert "0x" + market.universe_id.hex() == VECTOR["universe_id"]
    assert "0x" + market.returns_id.hex() == VECTOR["returns_id"]
    assert (len(market.prices), len(market.rows)) == (width, 90)
    assert verifier.fold(market.prices, market.rows, statement[6], statement[7]) == statement[8]
    verifier.require_groth16(raw(VECTOR["verifying_key"]), raw(VECTOR["proof"]), inputs)
    with pytest.raises(Failed, match="does not verify"):
        verifier.require_groth16(raw(VECTOR["verifying_key"]), raw(VECTOR["proof"]), (inputs[0], inputs[1], 1))
