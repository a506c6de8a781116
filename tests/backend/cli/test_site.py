"""What a platform answers is decoded with care."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from backend.cli.site import Reply, Site
from backend.kernel.errors import Unavailable
from tests.backend.cli.logs import Served

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


@pytest.mark.parametrize("mode", ["dripping headers", "dripping body"])
def test_a_server_that_drips_is_left_and_asked_again(mode: str) -> None:
    server = Served(lambda *_: (200, b"{}"))
    site = Site(server.url, seconds=0.1)
    try:
        server.mode, started = mode, time.monotonic()
        with pytest.raises(Unavailable, match="too slowly"):
            site.get("/", 1000)
        assert time.monotonic() - started < 2
        server.mode = "honest"
        assert site.get("/", 1000).document() == {}
        deadline = time.monotonic() + 3
        while any("_fetch" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any("_fetch" in thread.name for thread in threading.enumerate())
    finally:
        server.end()


@pytest.mark.parametrize("item", [b"{}", b"[]", b"1"])
def test_an_answer_of_more_values_than_memory_is_worth_is_no_document(item: bytes) -> None:
    with pytest.raises(Unavailable, match="no JSON"):
        Reply("http://a", 200, b'{"a":[' + b",".join([item] * 2_100_000) + b"]}", {}).document()


def test_the_largest_honest_answer_is_a_document() -> None:
    anchor = b'{"index":1,"size":2,"root":"r","heads_root":"h","word":"w","tx":"t","block":3,"state":"finalized"}'
    content = b'{"anchors":[' + b",".join([anchor] * 52_000) + b"]}"
    assert len(Reply("http://a", 200, content, {}).document()["anchors"]) == 52_000
