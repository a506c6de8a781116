"""What logs show and what they never show."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from backend.kit.logging import configure_logging

SIGNATURE = "0x" + "ab" * 65
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Configure logging to a text stream and put everything back afterwards."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    configure_logging("info", written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_log_line_is_one_json_object(stream: io.StringIO) -> None:
    structlog.get_logger("orders").info("order.approved", order_id="o1", quantity=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["order_id"], line["quantity"], line["level"]) == ("order.approved", "o1", 3, "info")
    assert line["logger"] == "orders"
    assert line["timestamp"].endswith("Z")


def test_the_libraries_log_through_the_same_chain(stream: io.StringIO) -> None:
    logging.getLogger("library").warning("found %s", TOKEN)
    line = json.loads(stream.getvalue())
    assert line["event"] == "found [redacted]"


@pytest.mark.parametrize("name", ["token", "signature", "password", "refresh_token", "Authorization", "private_key"])
def test_a_field_with_a_secret_name_is_struck_out(stream: io.StringIO, name: str) -> None:
    structlog.get_logger("x").info("event", **{name: "canary", "nested": {name: "canary"}, "list": [{name: "canary"}]})
    assert "canary" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 3


def test_a_secret_is_struck_out_wherever_it_stands(stream: io.StringIO) -> None:
    url = "postgresql://refi:canary@db/refi"
    try:
        int(f"bad {SIGNATURE} {TOKEN} {url}")
    except ValueError:
        structlog.get_logger("x").exception("event", detail=f"{SIGNATURE}", other=[TOKEN], place=url)
    text = stream.getvalue()
    for secret in (SIGNATURE, TOKEN, "canary"):
        assert secret not in text
    assert "ValueError" in text


def test_hashes_and_addresses_stay_readable(stream: io.StringIO) -> None:
    tx_hash, address = "0x" + "ab" * 32, "0x" + "cd" * 20
    structlog.get_logger("x").info("event", tx_hash=tx_hash, address=address)
    assert tx_hash in stream.getvalue()
    assert address in stream.getvalue()


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger("x").debug("event")
    assert stream.getvalue() == ""
