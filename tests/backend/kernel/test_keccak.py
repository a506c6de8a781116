"""Keccak-256 equals its published vectors and an independent implementation."""

import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.keccak import keccak256


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        ("transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
    ],
)
def test_a_text_has_its_published_digest(text: str, digest: str) -> None:
    assert keccak256(text.encode()).hex() == digest


@given(st.binary(max_size=300) | st.sampled_from([135, 136, 137, 271, 272, 273]).map(bytes))
def test_any_content_has_the_digest_of_another_implementation(content: bytes) -> None:
    assert keccak256(content) == keccak.new(digest_bits=256, data=content).digest()
