"""An anchor proved against an L2 output root: the way from the root to the word, and nothing else, is accepted."""

import copy
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.keccak import keccak256
from backend.transparency.engine.verifier import (
    ANCHORS_SLOT,
    MAX_PACK_BYTES,
    Examination,
    Failed,
    Named,
    Skipped,
    anchor_slot,
    rlp_decode,
    trie_value,
)
from tests.backend.transparency.examined import check, failed, raw, result
from tests.backend.transparency.tries import Trie, rlp

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "l2_proof.json").read_text())
GOOD = Path(__file__).parents[2] / "vectors" / "evidence" / "good"
PACK = json.loads((GOOD / "l2_proof.refi.json").read_text())
NAMED = next(c["named"] for c in json.loads((GOOD / "cases.json").read_text())["cases"] if "l2_proof" in c["pack"])


def accepted(variant: Mapping[str, Any]) -> bool:
    """Tell whether the verifier takes a variant of the vector."""
    case = VECTOR | variant
    anchor = {name: case[name] for name in ("log_id", "index", "contract")} | {"block_number": 0}
    pack: dict[str, Any] = {"anchor": anchor | {"l2_proof": case["proof"]}}
    word = keccak256(
        raw(case["log_id"])
        + case["index"].to_bytes(32, "big")
        + case["head"]["size"].to_bytes(32, "big")
        + raw(case["head"]["root"])
        + raw(case["head"]["heads_root"])
    )
    examination = Examination(pack, Named(l1_output_root=case["trusted_output_root"]))
    try:
        examination._require_l2_proof(case["proof"], word)
        return bool(examination._proved_by_output_root())
    except Failed:
        return False


@pytest.mark.parametrize("variant", [{"name": "as it is"}, *VECTOR["good"]], ids=lambda variant: str(variant["name"]))
def test_a_true_proof_of_a_real_chain_is_accepted(variant: dict[str, Any]) -> None:
    assert accepted(variant)


@pytest.mark.parametrize("variant", VECTOR["bad"], ids=lambda variant: str(variant["name"]))
def test_a_proof_of_anything_else_is_refused(variant: dict[str, Any]) -> None:
    assert not accepted(variant)


def test_the_slot_is_where_solidity_keeps_the_word() -> None:
    assert ANCHORS_SLOT == 4
    assert "0x" + anchor_slot(VECTOR["log_id"], VECTOR["index"]).hex() == VECTOR["proof"]["storage_key"]


# --- in a pack


def test_a_named_output_root_proves_the_anchor_without_any_rpc() -> None:
    report = check(PACK, **NAMED)
    assert not failed(report)
    detail = next(item.detail for item in report.checks if item.name == "anchor on chain")
    assert detail == f"proved against output root {NAMED['l1_output_root']}"
    assert result(report, "anchor on chain") == "pass"


def test_without_a_named_output_root_or_contract_a_proof_proves_nothing() -> None:
    unnamed = check(PACK, **(NAMED | {"l1_output_root": None}))
    assert (result(unnamed, "anchor on chain"), unnamed.exit_code) == ("skipped", 0)
    assert next(item.detail for item in unnamed.checks if item.name == "anchor on chain") == "no output root named"
    unidentified = check(PACK, contract=None, chain_id=None, l1_output_root=NAMED["l1_output_root"])
    assert result(unidentified, "anchor on chain") == "skipped"


def test_another_output_root_than_the_named_one_is_refused() -> None:
    assert failed(check(PACK, **(NAMED | {"l1_output_root": "0x" + "11" * 32}))) == {"anchor on chain"}


def test_a_broken_proof_is_refused_even_where_nobody_names_an_output_root() -> None:
    pack = copy.deepcopy(PACK)
    pack["anchor"]["l2_proof"]["storage_proof"][-1] += "00"
    assert failed(check(pack, **(NAMED | {"l1_output_root": None}))) == {"anchor on chain"}
    assert failed(check(pack, contract=None, chain_id=None)) == {"anchor on chain"}


def test_a_proof_as_of_a_block_before_the_anchor_is_refused() -> None:
    pack = copy.deepcopy(PACK)
    pack["anchor"]["l2_proof"]["block_number"] = pack["anchor"]["block_number"] - 1
    assert failed(check(pack, **NAMED)) == {"anchor on chain"}


# --- on L1


def proven_at(pack: Any, chain: Any, word: bytes, verifier: str) -> None:
    call = keccak256(b"provenAt(bytes32,uint256)")[:4] + raw(pack["anchor"]["log_id"])
    chain.answer_call(verifier, call + pack["anchor"]["index"].to_bytes(32, "big"), word)


def test_the_verifier_on_l1_is_asked_for_the_word(log: Any, chain: Any, serve: Any) -> None:
    pack, verifier = log.pack({2: ["account", "event", "prev", "seq"]}), "0x" + "1a" * 20
    word = Examination(pack, Named()).anchor_word(
        pack["anchor"]["index"], pack["anchor"]["size"], pack["anchor"]["root"], pack["anchor"]["heads_root"]
    )
    url = serve(chain)
    named = {"l1_rpc_urls": [url], "l1_verifier": verifier}
    assert failed(check(pack, **named)) == {"anchor on chain"}  # no such contract there
    proven_at(pack, chain, bytes(32), verifier)
    assert result(check(pack, **named), "anchor on chain") == "skipped"
    proven_at(pack, chain, word, verifier)
    report = check(pack, **named)
    assert (
        next(item.detail for item in report.checks if item.name == "anchor on chain") == f"proven on L1 by {verifier}"
    )
    proven_at(pack, chain, bytes([7]) * 32, verifier)
    assert failed(check(pack, **named)) == {"anchor on chain"}
    proven_at(pack, chain, word, verifier)
    assert check(pack, l1_rpc_urls=[url, "http://127.0.0.1:1"], l1_verifier=verifier).exit_code == 3


# --- tries and RLP

KEYS = st.binary(min_size=1, max_size=32)
WORDS = st.integers(2**200, 2**256 - 1).map(lambda number: number.to_bytes(32, "big"))


@given(st.dictionaries(KEYS, WORDS, min_size=1, max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_every_key_of_a_trie_is_proved_and_no_other(content: dict[bytes, bytes], data: st.DataObject) -> None:
    trie = Trie({keccak256(key): rlp(value) for key, value in content.items()})
    key = data.draw(st.sampled_from(sorted(content)))
    proof = trie.proof(keccak256(key))
    assert rlp_decode(trie_value(trie.root, key, proof)) == content[key]
    absent = data.draw(KEYS.filter(lambda other: other not in content))
    with pytest.raises(Failed):
        trie_value(trie.root, absent, trie.proof(keccak256(absent)))
    with pytest.raises(Failed):
        trie_value(trie.root, absent, proof)


@given(st.dictionaries(KEYS, WORDS, min_size=2, max_size=40), st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_proof_is_refused(content: dict[bytes, bytes], data: st.DataObject) -> None:
    trie = Trie({keccak256(key): rlp(value) for key, value in content.items()})
    key = data.draw(st.sampled_from(sorted(content)))
    proof = trie.proof(keccak256(key))
    place = data.draw(st.integers(0, len(proof) - 1))
    node = bytearray(proof[place])
    bit = data.draw(st.integers(0, len(node) * 8 - 1))
    node[bit // 8] ^= 1 << bit % 8
    changes = [
        [*proof[:place], bytes(node), *proof[place + 1 :]],
        [*proof[:place], proof[place] + b"\0", *proof[place + 1 :]],
        [*proof[:place], *proof[place + 1 :]],
        [*proof[: place + 1], proof[place], *proof[place + 1 :]],
        [*proof, proof[-1]],
        [],
    ]
    for change in changes:
        with pytest.raises(Failed):
            trie_value(trie.root, key, change)
    with pytest.raises(Failed):
        trie_value(keccak256(trie.root), key, proof)


@given(st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=4), max_leaves=12))
@settings(max_examples=200, deadline=None)
def test_rlp_is_read_back(item: Any) -> None:
    encoded = rlp(item)
    if depth(item) <= 4:
        assert rlp_decode(encoded) == item
    for broken in (encoded + b"\0", encoded[:-1]):
        with pytest.raises(Failed):
            rlp_decode(broken)


def depth(item: Any) -> int:
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


@given(st.binary(max_size=120))
@settings(max_examples=500, deadline=None)
def test_bytes_that_are_accepted_as_rlp_have_no_other_form(content: bytes) -> None:
    try:
        item = rlp_decode(content)
    except Failed:
        return
    assert rlp(item) == content


@pytest.mark.parametrize(
    "content",
    [
        "",
        "8100",  # a byte below 0x80 is its own encoding
        "817f",
        "b800",  # a long form for a short string
        "b83700" + "00" * 54,
        "b90038" + "00" * 56,  # a length with a leading zero
        "f800",
        "c180ff",
        "c28200",  # an item beyond its list
        "c1c2",
        "bfffffffffffffffff",
        "ffffffffffffffffff",
        "c1" * 40,
    ],
)
def test_rlp_of_another_form_is_refused(content: str) -> None:
    with pytest.raises(Failed):
        rlp_decode(bytes.fromhex(content))


@pytest.mark.parametrize("prefix", ["40", "1f1f", "0100", "00", ""])
def test_a_path_of_another_form_is_refused(prefix: str) -> None:
    key = b"key"
    nibbles = keccak256(key).hex()
    honest = rlp([bytes.fromhex("20" + nibbles), rlp(bytes([1]) * 32)])
    assert rlp_decode(trie_value(keccak256(honest), key, [honest])) == bytes([1]) * 32
    node = rlp([bytes.fromhex(prefix + nibbles if prefix != "00" else "00"), rlp(bytes([1]) * 32)])
    with pytest.raises(Failed):
        trie_value(keccak256(node), key, [node])


def test_a_word_that_stands_inside_its_parent_is_no_word() -> None:
    key = b"key"
    nibbles = keccak256(key).hex()
    leaf = [bytes.fromhex("3" + nibbles[1:]), b"\1"]
    branch: list[Any] = [b""] * 17
    branch[int(nibbles[0], 16)] = leaf
    node = rlp(branch)
    with pytest.raises(Failed):
        trie_value(keccak256(node), key, [node])


def test_what_needs_an_rpc_is_skipped_and_not_passed() -> None:
    with pytest.raises(Skipped):
        Examination(PACK, Named()).anchor_on_chain()


# --- the command


def refi(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend.cli", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_takes_an_output_root_or_a_verifier_on_l1() -> None:
    file, anchor = GOOD / "l2_proof.refi.json", ["--contract", NAMED["contract"], "--chain-id", NAMED["chain_id"]]
    proved = refi(file, *anchor, "--l1-output-root", NAMED["l1_output_root"], "--json")
    assert proved.returncode == 0
    assert "proved against output root" in proved.stdout
    assert refi(file, *anchor, "--l1-output-root", "0x" + "11" * 32).returncode == 1
    down = refi(file, *anchor, "--l1-rpc", "http://127.0.0.1:1", "--l1-verifier", "0x" + "1a" * 20)
    assert down.returncode == 3
    for wrong in (["--l1-output-root", "0x11"], ["--l1-rpc", "http://127.0.0.1:1"], ["--l1-verifier", "0x11"]):
        told = refi(file, *anchor, *wrong)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)


def test_what_is_no_pack_is_told_in_one_line_by_the_command_too(tmp_path: Path) -> None:
    for content in (b"{}", b"x" * (MAX_PACK_BYTES + 1)):
        (tmp_path / "pack").write_bytes(content)
        told = refi(tmp_path / "pack")
        assert (told.returncode, told.stderr, told.stdout.count("\n")) == (1, "", 1)
        assert told.stdout.startswith("refused: ")
