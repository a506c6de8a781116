"""The verifier accepts what the platform exports and names the check that anything else fails."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel import merkle
from backend.kernel.canonical import canonical_json, encode_bytes
from backend.kernel.heads import head_proof
from backend.kernel.keccak import keccak256
from backend.transparency.engine import verifier
from backend.transparency.engine.verifier import CHECKS, Report, verify

VECTORS = Path(__file__).parents[2] / "vectors" / "evidence"
SAMPLE = json.loads((VECTORS / "good" / "sample.refi.json").read_text())
TRUSTED: dict[str, Any] = {"contract": "0x" + "11" * 20, "chain_id": 42069}
LOCAL: dict[str, Any] = {"contract": "0x" + "c0" * 20, "chain_id": 42069, "timeout": 1.0}
CHAIN = ["account", "event", "prev", "seq"]
# Without the chain nothing tells these from others: evidence pages, last line.
CHAIN_ONLY = {("anchor", "block_number"), ("anchor", "tx_hash"), ("anchor", "index")}

Place = tuple[str | int, ...]


def check(pack: object, **named: Any) -> Report:
    return verify(json.dumps(pack).encode(), **named)


def results(report: Report) -> dict[str, str]:
    return {item.name: item.result for item in report.checks}


def failed(report: Report) -> set[str]:
    return {item.name for item in report.checks if item.result == "fail"}


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*place, key))
    else:
        yield place


def edited(pack: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(pack)
    target: Any = changed
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return changed


def at(pack: Any, place: Place) -> Any:
    for key in place:
        pack = pack[key]
    return pack


LEAVES = [place for place in leaves(SAMPLE) if place not in CHAIN_ONLY]


def test_the_sample_passes_when_its_contract_is_named() -> None:
    report = check(SAMPLE, **TRUSTED)
    assert [item.name for item in report.checks] == list(CHECKS)
    passed = {"format", "log identity", "commitment", "disclosed fields", "leaf", "inclusion", "checkpoint signature"}
    assert {name for name, result in results(report).items() if result == "pass"} == passed | {"consistency", "heads"}
    assert (report.ok, report.exit_code, report.identified) == (True, 0, True)


def test_without_a_named_contract_the_log_is_not_identified() -> None:
    report = check(SAMPLE)
    assert results(report)["log identity"] == "skipped"
    assert report.verdict.startswith("log not identified")
    assert not failed(report)
    assert not report.identified


def test_another_named_contract_or_chain_is_refused() -> None:
    assert failed(check(SAMPLE, contract="0x" + "12" * 20, chain_id=42069)) == {"log identity"}
    assert failed(check(SAMPLE, contract="0x" + "11" * 20, chain_id=1)) == {"log identity"}


@pytest.mark.parametrize("place", LEAVES, ids=lambda place: "/".join(map(str, place)))
def test_the_sample_with_one_value_changed_is_refused(place: Place) -> None:
    value = at(SAMPLE, place)
    others: list[object] = ["", True, []]
    if isinstance(value, int):
        others += [value + 1, value - 1, str(value)]
    else:
        others += [value + "A", value[:-1], value[::-1], ("B" if value[0] == "A" else "A") + value[1:], 7]
    for other in others:
        if other != value:
            assert failed(check(edited(SAMPLE, place, other), **TRUSTED)), other


@given(st.sampled_from(LEAVES), st.data())
@settings(max_examples=300, deadline=None)
def test_the_sample_with_any_value_in_place_of_another_is_refused(place: Place, data: st.DataObject) -> None:
    value = at(SAMPLE, place)
    scalars = st.integers(-(2**60), 2**60) | st.booleans() | st.none() | st.floats() | st.text(max_size=50)
    similar = st.text("AQgw-_01", min_size=43, max_size=43) if isinstance(value, str) else st.integers(0, 40)
    other = data.draw(scalars | similar | st.lists(scalars, max_size=2))
    if type(other) is not type(value) or other != value:
        assert failed(check(edited(SAMPLE, place, other), **TRUSTED))


@given(st.integers(0, 4000), st.characters(codec="utf-8"))
@settings(max_examples=200, deadline=None)
def test_the_sample_with_any_character_changed_is_refused_or_says_the_same(position: int, character: str) -> None:
    text = json.dumps(SAMPLE)
    changed = text[:position] + character + text[position + 1 :]
    try:
        same = json.loads(changed) == SAMPLE
    except ValueError:
        same = False
    places = {("anchor", key): json.dumps(SAMPLE["anchor"][key]) for key in ("block_number", "tx_hash", "index")}
    if not same and not any(text.find(value) <= position < text.find(value) + len(value) for value in places.values()):
        report = verify(changed.encode(), **TRUSTED)
        if not failed(report):
            changes = [place for place in leaves(SAMPLE) if at(json.loads(changed), place) != at(SAMPLE, place)]
            assert set(changes) <= CHAIN_ONLY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"format":"refi-evidence/2"}',
        b'{"format":"refi-evidence/1","format":"refi-evidence/1"}',
        b'{"format":"refi-evidence/1"}',
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b"9" * 10_000,
        b" " * (verifier.MAX_PACK_BYTES + 1),
    ],
    ids=range(12),
)
def test_what_is_no_pack_is_refused_with_one_line(content: bytes) -> None:
    report = verify(content, **TRUSTED)
    assert failed(report) == {"format"}
    assert "\n" not in report.checks[0].detail
    assert report.exit_code == 1


@pytest.mark.parametrize("entry", ["[]", "7", "{}", '{"c":7,"t":"x","v":1}', "\ud800", '{"c":"\ud800"}', "[" * 2000])
def test_a_malformed_entry_fails_and_does_not_crash(entry: str) -> None:
    report = check(edited(SAMPLE, ("entries", 0, "entry"), entry), **TRUSTED)
    assert failed(report) & {"format", "commitment"}


def test_its_own_keccak_equals_the_kernel_one() -> None:
    for length in (0, 1, 135, 136, 137, 300):
        content = bytes(at % 251 for at in range(length))
        assert verifier.keccak256(content) == keccak256(content)


# --- the account


def test_a_complete_account_chain_passes(log: Any) -> None:
    pack = log.pack({0: CHAIN, 1: CHAIN, 2: CHAIN})
    report = check(pack, **LOCAL)
    assert not failed(report)
    assert results(report)["account chain"] == "pass"


def test_the_last_record_alone_is_a_complete_chain(log: Any) -> None:
    assert results(check(log.pack({2: CHAIN}), **LOCAL))["account chain"] == "pass"


def test_a_first_record_that_names_one_before_it_is_refused(make_log: Any) -> None:
    records = [{"event": "account.opened"}, {"event": "order.filled"}]
    assert not failed(check(make_log(records).pack({0: CHAIN, 1: CHAIN}), **LOCAL))
    forged = make_log(records, first_prev=b"\x01" * 32)
    assert failed(check(forged.pack({0: CHAIN, 1: CHAIN}), **LOCAL)) == {"account chain"}


def test_a_gap_a_cut_tail_or_a_missing_prev_is_refused(log: Any) -> None:
    assert failed(check(log.pack({0: CHAIN, 2: CHAIN}), **LOCAL)) == {"account chain"}
    assert failed(check(log.pack({0: CHAIN, 1: CHAIN}), **LOCAL)) == {"account chain"}
    assert failed(check(log.pack({1: CHAIN, 2: ["account", "event", "seq"]}), **LOCAL)) == {"account chain"}


def test_a_forked_chain_is_refused(log: Any, make_log: Any) -> None:
    records = [{"event": "account.opened"}, {"event": "order.filled", "quantity": "11"}, {"event": "order.filled"}]
    other = make_log(records)
    other.records[2] |= {"prev": encode_bytes(bytes(32))}
    forked = make_log(records)
    forked.records = other.records
    pack = forked.pack({1: CHAIN, 2: CHAIN})
    assert {"disclosed fields", "account chain"} <= failed(check(pack, **LOCAL))


def test_a_head_of_another_account_is_refused(log: Any) -> None:
    pack = log.pack({2: CHAIN})
    proof = head_proof(log.heads, bytes([9]) * 32)
    pack["heads"] |= {"id": encode_bytes(proof.head.id), "count": proof.head.count, "index": proof.index}
    pack["heads"] |= {"head": encode_bytes(proof.head.head), "path": [encode_bytes(node) for node in proof.path]}
    assert "heads" in failed(check(pack, **LOCAL))
    assert not failed(check(log.pack({2: CHAIN}), **LOCAL))


def test_a_pack_with_heads_must_disclose_account_and_seq(log: Any) -> None:
    assert "disclosed fields" in failed(check(log.pack({2: ["event"]}), **LOCAL))
    assert not failed(check(log.pack({2: ["event"]}, heads=False), **LOCAL))


def test_an_entry_without_its_event_is_refused(log: Any) -> None:
    assert failed(check(log.pack({1: ["price"]}, heads=False), **LOCAL)) == {"disclosed fields"}
    assert results(check(log.pack({1: []}, heads=False), **LOCAL))["disclosed fields"] == "skipped"


def test_an_entry_beyond_the_anchor_is_refused_without_the_chain(make_log: Any) -> None:
    log = make_log([{"event": "account.opened"}, {"event": "order.filled"}])
    log.anchored = 3
    report = check(log.pack({1: CHAIN}, heads=False), **LOCAL)
    assert failed(report) == {"anchor on chain"}


# --- the chain


def test_an_honest_chain_confirms_the_anchor(log: Any, chain: Any, serve: Any) -> None:
    pack = log.pack({2: CHAIN})
    chain.anchor(pack)
    report = check(pack, **LOCAL, rpc_urls=[serve(chain), serve(chain)])
    assert results(report)["anchor on chain"] == "pass"
    assert "L2 safe" in report.checks[8].detail
    assert report.exit_code == 0


def test_a_record_of_another_account_cannot_hide_in_a_pack_with_heads(log: Any) -> None:
    nameless = log.pack({1: ["event", "price"], 2: CHAIN})
    assert failed(check(nameless)) == {"disclosed fields"}
    assert not failed(check(log.pack({1: [], 2: CHAIN})))


def test_fields_out_of_the_order_of_their_names_are_refused() -> None:
    def field(name: str, value: str) -> bytes:
        return merkle.leaf_hash(b"refi/field/v1\0" + bytes(32) + name.encode() + b"\0" + canonical_json(value))

    def disclosed(names: list[str]) -> str:
        leaves = [field(name, "order.filled") for name in names]
        root = merkle.root(leaves)
        commitment = sha256(b"refi/record/v1\0" + len(names).to_bytes(2, "big") + root).digest()
        shown = {
            name: {
                "value": "order.filled",
                "salt": encode_bytes(bytes(32)),
                "index": at,
                "count": len(names),
                "path": [encode_bytes(node) for node in merkle.inclusion_path(leaves, at)],
            }
            for at, name in enumerate(names)
        }
        text = canonical_json({"c": encode_bytes(commitment), "t": "order.filled", "v": 1}).decode()
        pack = {"entries": [{"index": 0, "entry": text, "disclosed": shown, "inclusion": []}]}
        return verifier.Examination(pack, verifier.Named()).disclosed_fields()

    assert disclosed(["account", "event", "price"]) == "3 fields"
    for names in (["event", "account", "price"], ["account", "price", "event"]):
        with pytest.raises(verifier.Failed, match="order of their names"):
            disclosed(names)


def test_an_rpc_without_a_named_contract_proves_nothing(log: Any, chain: Any, serve: Any) -> None:
    pack = log.pack({2: CHAIN})
    chain.anchor(pack)
    report = check(pack, rpc_urls=[serve(chain)])
    assert results(report)["anchor on chain"] == "skipped"
    assert report.verdict.startswith("log not identified")


@pytest.mark.parametrize("place", sorted(CHAIN_ONLY))
def test_the_chain_refuses_another_block_transaction_or_index(place: Place, log: Any, chain: Any, serve: Any) -> None:
    pack = log.pack({2: CHAIN})
    chain.anchor(pack)
    other = "0x" + "7b" * 32 if place[-1] == "tx_hash" else at(pack, place) + 1
    assert failed(check(edited(pack, place, other), **LOCAL, rpc_urls=[serve(chain)])) == {"anchor on chain"}


def test_a_lie_of_one_rpc_among_several_is_refused(log: Any, chain: Any, serve: Any) -> None:
    pack = log.pack({2: CHAIN})
    chain.anchor(pack)
    lying = type(chain)()
    lying.anchor(edited(pack, ("anchor", "root"), encode_bytes(bytes(32))))
    assert failed(check(pack, **LOCAL, rpc_urls=[serve(chain), serve(lying)])) == {"anchor on chain"}
    assert failed(check(pack, **LOCAL, rpc_urls=[serve(lying)])) == {"anchor on chain"}


@pytest.mark.parametrize("mode", ["garbage", "null", "endless", "failing", "hanging"])
def test_an_rpc_that_does_not_answer_is_unreachable(
    mode: str, log: Any, chain: Any, serve: Any, stopwatch: Any
) -> None:
    pack = log.pack({2: CHAIN})
    chain.anchor(pack)
    named = LOCAL | {"timeout": 0.3 if mode == "hanging" else 5.0}
    started = stopwatch()
    report = check(pack, **named, rpc_urls=[serve(chain), serve(chain, mode)])
    assert stopwatch() - started < 4
    assert results(report)["anchor on chain"] == "skipped"
    assert (report.exit_code, report.ok) == (3, False)


def test_an_rpc_on_another_chain_or_no_http_address_is_unreachable(log: Any, chain: Any, serve: Any) -> None:
    pack = log.pack({2: CHAIN})
    chain.chain_id = 1
    assert check(pack, **LOCAL, rpc_urls=[serve(chain)]).exit_code == 3
    assert check(pack, **LOCAL, rpc_urls=["file:///etc/passwd"]).exit_code == 3
    assert check(pack, **LOCAL, rpc_urls=["http://127.0.0.1:1"]).exit_code == 3


# --- the command


def run(*arguments: str, file: str = verifier.__file__) -> subprocess.CompletedProcess[str]:
    # -I: nothing but the file itself and what is installed.
    command = [sys.executable, "-I", file, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_file_alone_is_a_command(tmp_path: Path) -> None:
    copied = tmp_path / "verifier.py"
    copied.write_bytes(Path(verifier.__file__).read_bytes())
    good = str(VECTORS / "good" / "sample.refi.json")
    finished = run(good, "--contract", TRUSTED["contract"], "--chain-id", "42069", "--json", file=str(copied))
    answer = json.loads(finished.stdout)
    assert (finished.returncode, answer["ok"], len(answer["checks"])) == (0, True, 16)


def test_the_command_tells_failure_and_wrong_usage_apart(tmp_path: Path) -> None:
    bad = tmp_path / "bad.refi.json"
    bad.write_text(json.dumps(edited(SAMPLE, ("origin",), "refi.trading/\x1b[31mother")))
    refused = run(str(bad))
    assert refused.returncode == 1
    assert "\x1b" not in refused.stdout
    assert run(str(tmp_path / "missing")).returncode == 2
    assert run(str(bad), "--contract", "0x12").returncode == 2
    assert run(str(bad), "--contract", "0x" + "11" * 20).returncode == 2
