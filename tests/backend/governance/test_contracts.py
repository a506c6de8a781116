"""Calls are written and read by the deployment's ABIs, and nothing that rides along is hidden."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from backend.adapters.governance.contracts import ContractBook
from backend.adapters.governance.values import parsed, shown
from backend.kernel.errors import Invalid
from backend.ports.governance import Call

POLICY, TIMELOCK = "0x" + "11" * 20, "0x" + "22" * 20
STRANGER = "0x" + "33" * 20


def function(name: str, *inputs: tuple[str, str], view: bool = False, parts: Any = None) -> dict[str, Any]:
    """Return a function's ABI; parts are a tuple's."""
    specs = [
        {"name": called, "type": kind} | ({"components": parts} if "tuple" in kind else {}) for called, kind in inputs
    ]
    mutability = "view" if view else "nonpayable"
    return {"type": "function", "name": name, "inputs": specs, "outputs": [], "stateMutability": mutability}


PARTS = [{"name": "cap", "type": "uint256"}, {"name": "who", "type": "address"}]
ABIS = {
    "LimitPolicy": (
        POLICY,
        [
            function("setLimit", ("limit", "uint256")),
            function("setTiers", ("tiers", "tuple[]"), parts=PARTS),
            function("note", ("text", "string")),
            function("setModel", ("modelHash", "bytes32")),
            function("both", ("a", "uint256")),
            function("both", ("a", "address")),
            function("getLimit", view=True),
        ],
    ),
    "RefiTimelock": (
        TIMELOCK,
        [
            function(
                "schedule", ("target", "address"), ("value", "uint256"), ("data", "bytes"), ("predecessor", "bytes32"),
                ("salt", "bytes32"), ("delay", "uint256"),
            ),
            function(
                "executeBatch", ("targets", "address[]"), ("values", "uint256[]"), ("payloads", "bytes[]"),
                ("predecessor", "bytes32"), ("salt", "bytes32"),
            ),
        ],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> ContractBook:
    """Return the contracts of a folder."""
    folder: Path = tmp_path_factory.mktemp("deployments")
    for name, (address, abi) in ABIS.items():
        facts = {"address": address, "abi": abi, "chain_id": 42069, "block_number": 1}
        (folder / f"{name}.json").write_text(json.dumps(facts))
    return ContractBook(folder)


def test_a_call_is_written_by_name_and_read_back(book: ContractBook) -> None:
    data = book.encode(book.target("LimitPolicy"), "setLimit", ["5000000"])
    assert data == keccak(text="setLimit(uint256)")[:4] + encode(["uint256"], [5_000_000])
    decoded = book.decode(Call(POLICY, 0, data))
    assert decoded is not None
    assert (decoded.contract, decoded.signature, decoded.is_whole) == ("LimitPolicy", "setLimit(uint256)", True)
    assert [(part.name, part.value) for part in decoded.arguments] == [("limit", "5000000")]


def test_structs_and_contracts_names_are_arguments_too(book: ContractBook) -> None:
    data = book.encode(POLICY, "setTiers", ['[["1", "RefiTimelock"], [2, "' + STRANGER + '"]]'])
    decoded = book.decode(Call(POLICY, 0, data))
    assert decoded is not None
    assert decoded.signature == "setTiers((uint256,address)[])"
    assert decoded.arguments[0].value == f"[(1, {TIMELOCK}), (2, {STRANGER})]"


def test_a_contract_that_is_not_known_needs_a_whole_signature(book: ContractBook) -> None:
    expected = keccak(text="move(address,uint256)")[:4] + encode(["address", "uint256"], [POLICY, 1])
    assert book.encode(STRANGER, "move(address,uint256)", [POLICY, "1"]) == expected
    assert book.decode(Call(STRANGER, 0, expected)) is None
    with pytest.raises(Invalid, match="whole signature"):
        book.encode(STRANGER, "move", ["1"])


@pytest.mark.parametrize(
    ("target", "name", "arguments", "reason"),
    [
        (POLICY, "setCap", ["1"], "choose one of both"),
        (POLICY, "getLimit", [], "choose one of both"),
        (POLICY, "both", ["1"], r"choose one of both\(address\), both\(uint256\)"),
        (POLICY, "setLimit", ["1", "2"], "takes 1 arguments"),
        (POLICY, "setLimit", ["five"], "limit is uint256: an integer"),
        (POLICY, "setLimit", [str(2**256)], "does not take these arguments"),
        (POLICY, "setLimit", ["9" * 5_000], "limit is uint256: an integer"),
        (POLICY, "setLimit", ["\u0663"], "limit is uint256: an integer"),
        (POLICY, "setTiers", ["[" * 100_000], "JSON list"),
        (POLICY, "setModel", ["0xab"], "modelHash is bytes32: 32 bytes, not 1"),
        (POLICY, "both(address)", ["0x52908400098527886E0F7030069857D2E4169Ee7"], "mistyped"),
        (POLICY, "setTiers", ["[[1]]"], "2 parts: cap, who"),
        (POLICY, "setTiers", ["1, 2"], "JSON list"),
        (POLICY, "setTiers", ['[[1, "Nobody"]]'], "one of LimitPolicy, RefiTimelock"),
    ],
)
def test_what_a_contract_does_not_take_is_refused_with_what_it_takes(
    book: ContractBook, target: str, name: str, arguments: list[str], reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        book.encode(target, name, arguments)


def test_an_unknown_name_is_refused_with_the_names_there_are(book: ContractBook) -> None:
    with pytest.raises(Invalid, match="LimitPolicy, RefiTimelock"):
        book.target("LimitPolice")


@given(st.binary(min_size=1, max_size=64))
def test_bytes_behind_the_arguments_are_told(book: ContractBook, extra: bytes) -> None:
    data = book.encode(POLICY, "setLimit", ["5"])
    decoded = book.decode(Call(POLICY, 0, data + extra))
    assert decoded is not None
    assert not decoded.is_whole


@given(st.binary(max_size=200))
def test_no_data_makes_reading_fail(book: ContractBook, data: bytes) -> None:
    for selector in (b"", data[:4], keccak(text="setTiers((uint256,address)[])")[:4], keccak(text="note(string)")[:4]):
        book.decode(Call(POLICY, 0, selector + data))


def test_a_string_that_is_no_text_is_read_all_the_same(book: ContractBook) -> None:
    data = keccak(text="note(string)")[:4] + encode(["bytes"], [b"a\xff\x1b\n"])
    decoded = book.decode(Call(POLICY, 0, data))
    assert decoded is not None
    assert decoded.arguments[0].value == '"a\\udcff\\u001b\\n"'


def test_a_call_inside_a_call_is_found(book: ContractBook) -> None:
    inner = book.encode(POLICY, "setLimit", ["9"])
    words = ["0x" + "00" * 32] * 2
    data = book.encode(TIMELOCK, "schedule", [POLICY, "3", "0x" + inner.hex(), *words, "0"])
    decoded = book.decode(Call(TIMELOCK, 0, data))
    assert decoded is not None
    assert decoded.inner == (Call(POLICY, 3, inner),)


@given(st.integers(-(2**255), 2**255 - 1), st.binary(max_size=8), st.booleans())
def test_values_are_shown_as_they_are_written(number: int, data: bytes, flag: bool) -> None:
    def nobody(name: str) -> str:
        raise Invalid(name)

    for kind, value in (("int256", number), ("bytes", data), ("bool", flag)):
        assert parsed({"type": kind}, shown({"type": kind}, value), nobody) == value


def test_a_mistyped_address_is_refused_and_one_in_its_capitals_taken(book: ContractBook) -> None:
    right = "0x52908400098527886E0F7030069857D2E4169EE7"
    assert book.target(right) == book.target(right.lower()) == right.lower()
    with pytest.raises(Invalid, match="mistyped"):
        book.target(right[:-2] + "e7")


def test_arguments_that_point_at_the_same_bytes_again_and_again_are_not_read_out(book: ContractBook) -> None:
    inner, count = book.encode(POLICY, "setLimit", ["9"]) + bytes(30_000), 1_500
    plain = encode(
        ["address[]", "uint256[]", "bytes[]", "bytes32", "bytes32"],
        [[POLICY] * count, [0] * count, [inner], bytes(32), bytes(32)],
    )
    # The list of payloads has one entry: it is made to have many that all point at its bytes.
    place = int.from_bytes(plain[64:96], "big")
    words = [count.to_bytes(32, "big"), *([(32 * count).to_bytes(32, "big")] * count)]
    data = plain[:place] + b"".join(words) + plain[place + 64 :]
    selector = keccak(text="executeBatch(address[],uint256[],bytes[],bytes32,bytes32)")[:4]
    assert book.decode(Call(TIMELOCK, 0, selector + data)) is None
    decoded = book.decode(Call(TIMELOCK, 0, selector + plain))
    assert decoded is not None
    assert decoded.is_whole


def test_calls_in_data_that_is_not_encoded_plainly_are_not_followed(book: ContractBook) -> None:
    words = ["0x" + "00" * 32] * 2
    data = book.encode(TIMELOCK, "schedule", [POLICY, "3", "0x00", *words, "0"])
    decoded = book.decode(Call(TIMELOCK, 0, data + b"more"))
    assert decoded is not None
    assert (decoded.is_whole, decoded.inner) == (False, ())
