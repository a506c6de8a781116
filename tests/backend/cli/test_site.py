"""What a platform answers is decoded with care."""

import sys
from collections.abc import Iterator

import pytest

from backend.cli.site import Reply
from backend.kernel.errors import Unavailable

DEEP = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.fixture
def raised_recursion_limit() -> Iterator[None]:
    """Let Python recurse as far as some libraries ask for: its own decoder would overrun the stack."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(usual)


@pytest.mark.usefixtures("raised_recursion_limit")
def test_an_answer_that_is_nested_too_deeply_is_no_document() -> None:
    with pytest.raises(Unavailable, match="no JSON"):
        Reply("http://a", 200, DEEP, {}).document()
    assert Reply("http://a", 500, DEEP, {}).said == "http://a answers 500: no reason given"


def test_an_answer_is_a_document() -> None:
    assert Reply("http://a", 200, b'{"a":[[1]]}', {}).document() == {"a": [[1]]}
    assert Reply("http://a", 404, b'{"detail":"none"}', {}).said == "http://a answers 404: none"
