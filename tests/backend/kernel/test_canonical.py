"""Canonical JSON and the text forms inside it: one text a value, and no other text is read."""

import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.canonical import (
    MAX_INTEGER,
    EncodingError,
    JsonValue,
    canonical_json,
    decimal_string,
    decode_bytes,
    encode_bytes,
    parse_canonical,
    parse_decimal,
    parse_time,
    time_string,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc8785.json").read_text())
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("case", VECTORS["good"])
def test_a_value_has_its_published_form(case: dict[str, str]) -> None:
    value = json.loads(case["input"])
    assert canonical_json(value) == case["canonical"].encode()
    assert parse_canonical(case["canonical"]) == value


@pytest.mark.parametrize("text", VECTORS["bad"])
def test_a_text_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_canonical(text)


@given(VALUES)
def test_reading_gives_back_what_was_written(value: JsonValue) -> None:
    written = canonical_json(value)
    assert parse_canonical(written) == value
    assert parse_canonical(written.decode()) == value
    # An independent encoder agrees on the whole profile.
    assert orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == written


@given(st.binary(max_size=40) | TEXT)
def test_any_text_that_is_read_is_written_back_the_same(text: bytes | str) -> None:
    try:
        value = parse_canonical(text)
    except EncodingError:
        return
    assert canonical_json(value) == (text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    "value", [1.0, None, {"a": None}, [0.5], 2**53, -(2**53), {"ä": 1}, {1: 2}, b"bytes", "\ud800", Decimal(1), {1, 2}]
)
def test_a_value_outside_the_profile_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        canonical_json(value)  # type: ignore[arg-type]


def test_an_endlessly_nested_value_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(EncodingError, match="deeply"):
        canonical_json(value)  # type: ignore[arg-type]
    for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 65 + "]" * 65):
        with pytest.raises(EncodingError, match="deeply"):
            parse_canonical(text)
    assert canonical_json(parse_canonical("[" * 60 + "]" * 60)) == b"[" * 60 + b"]" * 60


def test_brackets_inside_strings_are_no_nesting() -> None:
    text = canonical_json(["[{" * 100, '"[\\"' * 50, "]"])
    assert parse_canonical(text) == ["[{" * 100, '"[\\"' * 50, "]"]


def test_a_raised_recursion_limit_does_no_harm() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(EncodingError, match="deeply"):
            parse_canonical("[" * 1_000_000)
    finally:
        sys.setrecursionlimit(limit)


def test_an_unfinished_string_is_refused_at_once() -> None:
    with pytest.raises(EncodingError):
        parse_canonical('"' + '\\"' * 1_000_000 + "[" * 100)


def test_an_enumerated_integer_is_written_as_a_number() -> None:
    assert canonical_json(HTTPStatus.OK) == b"200"


@given(st.binary(max_size=70))
def test_bytes_have_one_text(content: bytes) -> None:
    text = encode_bytes(content)
    assert decode_bytes(text, len(content)) == content
    with pytest.raises(EncodingError):
        decode_bytes(text, len(content) + 1)


@given(st.text("ABab01-_=+/ \n", max_size=8))
def test_any_text_of_bytes_that_is_read_is_written_back_the_same(text: str) -> None:
    try:
        content = decode_bytes(text)
    except EncodingError:
        return
    assert encode_bytes(content) == text


@pytest.mark.parametrize("text", ["AA==", "A", "AB", "A A", "AA\n", "+/8", "AAAAA"])
def test_bytes_in_another_text_are_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        decode_bytes(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0.00", "0"),
        ("1.50", "1.5"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("-12", "-12"),
        ("1e-7", "0.0000001"),
    ],
)
def test_a_decimal_has_a_plain_text(value: str, text: str) -> None:
    assert decimal_string(Decimal(value)) == text
    assert parse_decimal(text) == Decimal(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_a_decimal_keeps_every_digit(value: Decimal) -> None:
    if abs(value.adjusted()) <= 200:
        assert parse_decimal(decimal_string(value)) == value


@pytest.mark.parametrize("text", ["-0", "1.0", "01", ".5", "1.", "1e3", "+1", "", " 1", "1\n", "NaN", "٣"])
def test_a_decimal_in_another_text_is_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_decimal(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e500"])
def test_a_decimal_without_plain_notation_is_refused(value: str) -> None:
    with pytest.raises(EncodingError):
        decimal_string(Decimal(value))


def test_a_time_is_written_in_utc_with_six_digits() -> None:
    moment = datetime(2026, 11, 20, 12, 11, 12, 123456, timezone(timedelta(hours=2)))
    assert time_string(moment) == "2026-11-20T10:11:12.123456Z"
    assert time_string(datetime(2026, 11, 20, tzinfo=UTC)) == "2026-11-20T00:00:00.000000Z"
    assert parse_time("2026-11-20T10:11:12.123456Z") == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_reading_a_time_gives_back_what_was_written(moment: datetime) -> None:
    assert parse_time(time_string(moment)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:11:12Z",
        "2026-11-20T10:11:12.123Z",
        "2026-11-20T10:11:12.123456+00:00",
        "2026-02-30T00:00:00.000000Z",
    ],
)
def test_a_time_in_another_text_is_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        parse_time(text)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(EncodingError):
        time_string(datetime(2026, 11, 20))  # noqa: DTZ001
