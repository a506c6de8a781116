"""The verifier's checks of a decision: the model and its replay, and the compliance receipt."""

import json
import struct
from collections.abc import Callable
from decimal import Context, Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from agents.export import describe, feature_schema_sha256, model_sha256, weights_of
from agents.features import Normaliser
from agents.model import Model
from agents.networks import QNetwork
from backend.kernel.canonical import canonical_json, decimal_string, encode_bytes
from backend.kernel.cid import file_cid
from backend.kernel.keccak import keccak256
from backend.transparency.engine import verifier
from backend.transparency.engine.verifier import Failed, read_safetensors
from tests.backend.transparency.examined import check, failed, raw, result, selector

SUBJECT, ENGINE, GATE, RELAY = ("0x" + part * 20 for part in ("5b", "e1", "9a", "4e"))
POLICY_CONTRACT = "0x" + "70" * 20


# --- the model


@pytest.fixture
def model() -> Model:
    normaliser = Normaliser(np.array([0.5, -1.0, 100.0]), np.array([0.25, 2.0, 7.5]))
    return Model(
        QNetwork([3, 8, 4], seed=3), normaliser, ("momentum", "spread", "volume"), ("hold", "buy", "sell", "buy2")
    )


@pytest.fixture
def model_path(model: Model, tmp_path: Path) -> Path:
    (tmp_path / "model.json").write_bytes(describe(model))
    (tmp_path / "model.safetensors").write_bytes(weights_of(model))
    return tmp_path / "model.safetensors"


@pytest.fixture
def decided(model: Model, make_log: Any) -> dict[str, Any]:
    """Return a pack with a model's decision."""
    features = ["0.75", "-20", "107.5"]
    values = model.q_values(np.array([float(text) for text in features]))
    part = {
        "sha256": model_sha256(weights_of(model), describe(model)),
        "cid": file_cid(weights_of(model)),
        "feature_schema_sha256": feature_schema_sha256(model.features),
        "features": features,
        "q_values": [decimal_string(Decimal(f"{value:.9f}")) for value in values.tolist()],
        "action": model.actions[int(values.argmax())],
    }
    digest = sha256(canonical_json(features)).hexdigest()
    record = {"event": "order.filled", "model": part["sha256"], "features": digest, "action": part["action"]}
    pack: dict[str, Any] = make_log([record]).pack({0: list(record)}, heads=False, model=part)
    return pack


def test_a_decision_is_replayed_from_the_model_file(decided: dict[str, Any], model_path: Path) -> None:
    report = check(decided, model_path=model_path)
    assert (result(report, "model hash"), result(report, "replayed decision")) == ("pass", "pass")
    assert not failed(report)


def test_without_the_model_file_the_decision_is_not_replayed(decided: dict[str, Any]) -> None:
    report = check(decided)
    assert (result(report, "model hash"), result(report, "replayed decision")) == ("skipped", "skipped")


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"sha256": "0" * 64}, {"model hash", "replayed decision"}),
        ({"features": ["0.75", "-20", "107"]}, {"replayed decision"}),
        ({"feature_schema_sha256": "0" * 64}, {"replayed decision"}),
        ({"q_values": ["0", "0", "0", "0"]}, {"replayed decision"}),
        ({"q_values": ["0"]}, {"replayed decision"}),
        ({"action": "none"}, {"replayed decision"}),
    ],
)
def test_another_decision_is_refused(
    change: dict[str, Any], fails: set[str], decided: dict[str, Any], model_path: Path
) -> None:
    decided["model"] |= change
    assert failed(check(decided, model_path=model_path)) == fails


def test_another_model_file_is_refused(decided: dict[str, Any], model_path: Path, model: Model) -> None:
    other = Model(QNetwork([3, 8, 4], seed=4), model.normaliser, model.features, model.actions)
    model_path.write_bytes(weights_of(other))
    assert failed(check(decided, model_path=model_path)) == {"model hash", "replayed decision"}
    assert failed(check(decided, model_path=model_path.parent / "missing")) == {"model hash", "replayed decision"}


def test_weights_that_are_no_numbers_are_refused(model: Model) -> None:
    weights = weights_of(model)
    assert read_safetensors(weights)
    for value in (float("nan"), float("inf")):
        with pytest.raises(Failed, match="not finite"):
            read_safetensors(weights[:-4] + struct.pack("<f", value))


def test_a_model_that_no_entry_discloses_is_refused(decided: dict[str, Any], model_path: Path) -> None:
    del decided["entries"][0]["disclosed"]["model"]
    assert failed(check(decided, model_path=model_path)) == {"model hash", "replayed decision"}


@pytest.mark.parametrize("missing", ["features", "action"])
def test_a_decision_that_the_entry_does_not_hold_is_refused(
    missing: str, decided: dict[str, Any], model_path: Path
) -> None:
    del decided["entries"][0]["disclosed"][missing]
    assert failed(check(decided, model_path=model_path)) == {"replayed decision"}


def test_a_decision_put_together_from_two_entries_is_refused(
    decided: dict[str, Any], model_path: Path, make_log: Any
) -> None:
    shown = {name: field["value"] for name, field in decided["entries"][0]["disclosed"].items()}
    own = {"event": "order.filled", "model": shown["model"], "features": "0" * 64, "action": "sell"}
    other = {"event": "order.filled", "features": shown["features"], "action": shown["action"]}
    pack = make_log([own, other]).pack({0: list(own), 1: list(other)}, heads=False, model=decided["model"])
    assert failed(check(pack, model_path=model_path)) == {"replayed decision"}


def test_another_action_than_the_recorded_one_is_refused(
    decided: dict[str, Any], model_path: Path, make_log: Any
) -> None:
    shown = {name: field["value"] for name, field in decided["entries"][0]["disclosed"].items()}
    shown["action"] = next(name for name in ("hold", "sell") if name != shown["action"])
    pack = make_log([shown]).pack({0: list(shown)}, heads=False, model=decided["model"])
    assert failed(check(pack, model_path=model_path)) == {"replayed decision"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"\x02" + bytes(7) + b"[]",
        b"\x08" + bytes(7) + b'{"a":{}}',
        (2**40).to_bytes(8, "little") + b"{}",
    ],
)
def test_a_file_that_is_no_model_is_refused(content: bytes, model: Model) -> None:
    description = json.loads(describe(model))
    with pytest.raises(Failed):
        verifier.q_values(content, description, [1.0, 2.0, 3.0])


@given(st.integers(-(10**40), 10**40), st.integers(0, 8), st.integers(0, 8))
def test_decimal_strings_are_scaled_exactly_or_refused(number: int, decimals: int, places: int) -> None:
    text = decimal_string(Decimal(number).scaleb(-decimals, Context(prec=99)))
    if number * 10**places % 10**decimals == 0:
        assert verifier.scaled(text, places) == number * 10**places // 10**decimals
    else:
        with pytest.raises(Failed):
            verifier.scaled(text, places)


def test_a_notional_of_many_digits_is_not_rounded() -> None:
    with pytest.raises(Failed):
        verifier.scaled("1872.50000000000000000000000000000000001", 6)
    assert verifier.scaled("9" * 60, 6) == int("9" * 60) * 10**6


# --- the compliance receipt


@pytest.fixture
def judged(make_log: Any, chain: Any) -> Callable[..., dict[str, Any]]:
    """Return a function that makes a pack with a receipt, and puts the rules' answer on the chain."""

    def make(
        *, allowed: bool = True, model: str = "ab" * 32, later: str = "", context: str = "", word: str = "", **said: str
    ) -> dict[str, Any]:
        ticker = b"AAPL".ljust(32, b"\0")
        types = ["address", "bytes32", "uint256", "bytes32"]
        arguments = encode(types, [SUBJECT, ticker, 1872500000, raw(model) if model else bytes(32)])
        function = selector("submitOrder(address,bytes32,uint256,bytes32)")
        digest = sha256(function + arguments).digest()
        receipt: dict[str, str | int] = {
            "engine": ENGINE,
            "target": GATE,
            "sender": RELAY,
            "selector": "0x" + function.hex(),
            "calldata_sha256": encode_bytes(digest),
            "block_number": 7,
            "block_hash": "0x" + "b7" * 32,
            "verdict": "allowed" if allowed else "refused",
            "policy": "" if allowed else POLICY_CONTRACT,
            "reason": "" if allowed else "volume cap reached",
        }
        receipt |= ({"context": context} if context else {}) | ({"verdict": word} if word else {})
        payload = (function, RELAY, arguments, raw(context[2:]))
        data = selector("check((bytes4,address,bytes,bytes))") + encode(["(bytes4,address,bytes,bytes)"], [payload])
        rejection = encode(
            ["address", "string", "(bytes4,address,bytes,bytes)"], [POLICY_CONTRACT, "volume cap reached", payload]
        )
        signature = "PolicyRunRejected(address,string,(bytes4,address,bytes,bytes))"
        chain.answer_call(ENGINE, data, b"" if allowed else chain.revert(selector(signature) + rejection))
        chain.blocks[7] = receipt["block_hash"]
        record = {"event": "order.filled" if allowed else "order.refused", "subject": SUBJECT, "instrument": "AAPL"}
        record |= {"notional": "1872.5", "compliance_receipt": sha256(canonical_json(receipt)).hexdigest()}
        record |= ({"model": model} if model else {}) | said
        names = list(record)
        records = [record, *([record | {"event": later}] if later else [])]
        shown = dict.fromkeys(range(len(records)), names)
        pack: dict[str, Any] = make_log(records).pack(shown, heads=False, compliance=receipt)
        chain.anchor(pack)
        return pack

    return make


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("model", ["ab" * 32, ""])
def test_a_verdict_is_asked_again(allowed: bool, model: str, judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(allowed=allowed, model=model)
    report = check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)
    assert not failed(report)
    assert result(report, "compliance receipt") == "pass"
    asked = [call for call in chain.seen if call["to"] == ENGINE]
    assert [call["from"] for call in asked] == [GATE]


def test_without_a_named_engine_the_receipt_is_not_confirmed(judged: Any, chain: Any, serve: Any) -> None:
    report = check(judged(), rpc_urls=[serve(chain)])
    assert result(report, "compliance receipt") == "skipped"
    assert "engine not named" in next(item.detail for item in report.checks if item.name == "compliance receipt")


def test_an_order_of_unknown_fate_and_its_fill_share_a_receipt(judged: Any, chain: Any, serve: Any) -> None:
    report = check(judged(later="order.filled"), rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)
    assert result(report, "compliance receipt") == "pass"


def test_a_refused_receipt_does_not_carry_a_later_fill(judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(allowed=False, later="order.filled")
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_another_engine_or_target_than_the_named_one_is_refused(judged: Any, chain: Any, serve: Any) -> None:
    pack, url = judged(), serve(chain)
    assert failed(check(pack, rpc_urls=[url], engine=RELAY, target=GATE)) == {"compliance receipt"}
    assert failed(check(pack, rpc_urls=[url], engine=ENGINE, target=RELAY)) == {"compliance receipt"}


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "refused"},
        {"block_number": 8},
        {"reason": "because"},
        {"calldata_sha256": "A" * 43},
        {"selector": "0x00000000"},
        {"sender": SUBJECT},
        {"context": "0x" + "00" * 96},
    ],
)
def test_an_altered_receipt_is_refused(change: dict[str, Any], judged: Any) -> None:
    pack = judged()
    pack["compliance"] |= change
    assert failed(check(pack, engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_a_verdict_that_the_rules_do_not_give_is_refused(judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(allowed=False)
    honest = type(chain)()
    honest.anchor(pack)
    honest.blocks[7] = pack["compliance"]["block_hash"]
    assert failed(check(pack, rpc_urls=[serve(honest)], engine=ENGINE, target=GATE)) == {"compliance receipt"}
    chain.blocks[7] = "0x" + "b8" * 32
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_a_receipt_from_before_the_engine_is_refused(judged: Any, chain: Any, serve: Any) -> None:
    pack = judged()
    chain.codeless.add((ENGINE, 7))
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


@pytest.mark.parametrize("event", ["order.filled", "order.unknown"])
def test_an_order_that_was_executed_against_the_rules_is_refused(
    event: str, judged: Any, chain: Any, serve: Any, make_log: Any
) -> None:
    pack = judged(allowed=False)
    record = {name: field["value"] for name, field in pack["entries"][0]["disclosed"].items()} | {"event": event}
    forged = make_log([record]).pack({0: list(record)}, heads=False, compliance=pack["compliance"])
    chain.anchor(forged)
    assert failed(check(forged, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_the_receipt_of_another_order_than_the_decided_one_is_refused(
    judged: Any, decided: dict[str, Any], chain: Any, serve: Any, make_log: Any, model_path: Path
) -> None:
    receipt = judged(model=decided["model"]["sha256"])
    first, second = (
        {name: field["value"] for name, field in pack["entries"][0]["disclosed"].items()} for pack in (decided, receipt)
    )
    parts = {"model": decided["model"], "compliance": receipt["compliance"]}
    pack = make_log([first, second]).pack({0: list(first), 1: list(second)}, heads=False, **parts)
    chain.anchor(pack)
    named = {"rpc_urls": [serve(chain)], "engine": ENGINE, "target": GATE, "model_path": model_path}
    assert failed(check(pack, **named)) == {"compliance receipt"}
    whole = first | second
    pack = make_log([whole]).pack({0: list(whole)}, heads=False, **parts)
    chain.anchor(pack)
    assert not failed(check(pack, **named))


TAG = "0x" + keccak256(b"refi.trading/order-context/1").hex()
TRADED = TAG + f"{1_000_000:064x}" + f"{0:064x}"
PAPER = TAG + f"{1_000_000:064x}" + f"{1:064x}"


def detail(report: Any) -> str:
    return str(next(item.detail for item in report.checks if item.name == "compliance receipt"))


@pytest.mark.parametrize(("context", "venue"), [(TRADED, "XNAS"), (PAPER, "PAPER")])
def test_a_verdict_is_asked_again_with_its_context(
    context: str, venue: str, judged: Any, chain: Any, serve: Any
) -> None:
    report = check(judged(context=context, venue=venue), rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)
    assert result(report, "compliance receipt") == "pass"
    assert ("on paper" in detail(report)) == (context == PAPER)
    assert context[2:] in next(call["data"] for call in chain.seen if call["to"] == ENGINE)


@pytest.mark.parametrize("context", ["0x" + "11" * 96, TRADED[:-1] + "2"])
def test_a_context_that_is_not_an_orders_is_refused(context: str, judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(context=context, venue="PAPER")
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_an_order_that_was_judged_on_paper_and_executed_elsewhere_is_refused(
    judged: Any, chain: Any, serve: Any
) -> None:
    pack = judged(context=PAPER, venue="XNAS")
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}
    untold = judged(context=PAPER)
    assert result(check(untold, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE), "compliance receipt") == "skipped"


@pytest.mark.parametrize("allowed", [True, False])
def test_grace_passes_for_a_persons_sale_and_is_told(allowed: bool, judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(allowed=allowed, model="", word="grace", context=TRADED, event="order.filled", side="sell")
    report = check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)
    assert result(report, "compliance receipt") == "pass"
    assert detail(report).startswith("grace for a sale")
    assert detail(report).endswith("allowed" if allowed else "refused")


@pytest.mark.parametrize(("side", "model"), [("buy", ""), ("sell", "ab" * 32)])
def test_grace_for_a_purchase_or_a_model_is_refused(side: str, model: str, judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(model=model, word="grace", context=TRADED, side=side)
    assert failed(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE)) == {"compliance receipt"}


def test_grace_does_not_pass_where_the_side_is_not_shown(judged: Any, chain: Any, serve: Any) -> None:
    pack = judged(model="", word="grace")
    assert result(check(pack, rpc_urls=[serve(chain)], engine=ENGINE, target=GATE), "compliance receipt") == "skipped"


def test_an_order_that_is_not_disclosed_is_not_asked_about(judged: Any) -> None:
    pack = judged()
    del pack["entries"][0]["disclosed"]["notional"]
    assert result(check(pack, engine=ENGINE, target=GATE), "compliance receipt") == "skipped"
