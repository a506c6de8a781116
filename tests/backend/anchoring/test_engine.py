"""The engine computes what the contract computes."""

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from backend.anchoring.engine import anchor_word, log_id
from backend.anchoring.types import AnchorHead
from backend.kernel.canonical import EncodingError
from backend.kernel.signed_note import parse_verifier_key

WORDS = st.binary(min_size=32, max_size=32)


@given(
    st.text(max_size=100).filter(str.isprintable),
    WORDS,
    st.integers(0, 2**256 - 1),
    st.binary(min_size=20, max_size=20),
)
def test_a_log_id_is_the_hash_of_the_abi_encoding(origin: str, key: bytes, chain_id: int, contract: bytes) -> None:
    encoded = abi_encode(["string", "bytes32", "uint256", "address"], [origin, key, chain_id, contract])
    assert log_id(origin, key, chain_id, "0x" + contract.hex()) == keccak(encoded)


@given(WORDS, st.integers(0, 2**64), st.integers(0, 2**64 - 1), WORDS, WORDS)
def test_an_anchors_word_is_the_hash_of_the_abi_encoding(
    log: bytes, index: int, size: int, root: bytes, heads: bytes
) -> None:
    encoded = abi_encode(["bytes32", "uint256", "uint64", "bytes32", "bytes32"], [log, index, size, root, heads])
    assert anchor_word(log, index, AnchorHead(size, root, heads)) == keccak(encoded)


def test_the_published_sample_has_this_log_id() -> None:
    text = "refi.trading/sample+6b87d41a+AeOqxXvJ+C+Fp5XWTfTtqvzMLpG3SyFFIxL4IHc4rm5/"
    key = parse_verifier_key(text).public_key
    expected = "83108a3f3bd3c9c828661f1d9892595f0243f744ca133641db05b832797c9a54"
    assert log_id("refi.trading/sample", key, 42069, "0x" + "11" * 20).hex() == expected
    assert log_id("refi.trading/sample", key, 42070, "0x" + "11" * 20).hex() != expected


def test_words_and_addresses_of_another_length_are_refused() -> None:
    with pytest.raises(EncodingError):
        log_id("x", b"short", 1, "0x" + "11" * 20)
    with pytest.raises(EncodingError):
        log_id("x", bytes(32), 1, "0x1234")
