"""A commitment binds every field, its name, its value and how many there are; a disclosure shows one and no more."""

import json
from hashlib import sha256, shake_256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel import merkle
from backend.kernel.canonical import EncodingError, JsonValue, canonical_json, decode_bytes, encode_bytes
from backend.kernel.commitment import bind_count, commit, disclose, field_bytes, record_salts

SAMPLE = json.loads((Path(__file__).parents[2] / "vectors" / "evidence" / "good" / "sample.refi.json").read_text())
SALT = bytes(range(32))
NAMES = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=1, max_size=8)
FIELDS = st.dictionaries(
    NAMES, st.text(st.characters(codec="utf-8"), max_size=8) | st.integers(-9, 9), min_size=1, max_size=30
)


def commitment_behind(name: str, shown: dict[str, JsonValue]) -> bytes:
    value, salt, index, count, path = (shown[key] for key in ("value", "salt", "index", "count", "path"))
    assert isinstance(salt, str)
    assert isinstance(index, int)
    assert isinstance(count, int)
    assert isinstance(path, list)
    leaf = merkle.leaf_hash(field_bytes(name, value, decode_bytes(salt, 32)))
    root = merkle.root_from_path(leaf, index, count, [decode_bytes(str(node), 32) for node in path])
    assert root is not None
    return bind_count(count, root)


def test_the_commitment_follows_its_definition() -> None:
    stream = shake_256(b"refi/salt/v1\x00" + SALT).digest(64)
    fields = [
        b"refi/field/v1\x00" + stream[:32] + b'a\x00"x"',
        b"refi/field/v1\x00" + stream[32:] + b"b\x001",
    ]
    root = merkle.node_hash(merkle.leaf_hash(fields[0]), merkle.leaf_hash(fields[1]))
    expected = sha256(b"refi/record/v1\x00" + b"\x00\x02" + root).digest()
    assert commit({"b": 1, "a": "x"}, SALT) == expected


def test_the_sample_pack_discloses_fields_of_its_commitment() -> None:
    entry = SAMPLE["entries"][0]
    commitment = json.loads(entry["entry"])["c"]
    for name, shown in entry["disclosed"].items():
        assert encode_bytes(commitment_behind(name, shown)) == commitment


@given(FIELDS)
def test_every_disclosed_field_leads_to_the_commitment(fields: dict[str, JsonValue]) -> None:
    commitment = commit(fields, SALT)
    for name, shown in disclose(fields, SALT, fields).items():
        assert commitment_behind(name, shown) == commitment
        assert commitment_behind(name + "x", shown) != commitment
        assert commitment_behind(name, {**shown, "value": "another value"}) != commitment


@given(FIELDS, st.data())
def test_any_change_of_a_record_changes_the_commitment(fields: dict[str, JsonValue], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    changed = {**fields, name: canonical_json(fields[name]).decode() + " "}
    missing = {key: value for key, value in fields.items() if key != name}
    assert commit(changed, SALT) != commit(fields, SALT)
    assert commit({**fields, name + "2": 0}, SALT) != commit(fields, SALT)
    assert commit(fields, SALT[::-1]) != commit(fields, SALT)
    if missing:
        assert commit(missing, SALT) != commit(fields, SALT)


def test_a_disclosure_holds_only_the_fields_asked_for() -> None:
    assert list(disclose({"a": 1, "b": 2, "c": 3}, SALT, ["b"])) == ["b"]
    with pytest.raises(KeyError):
        disclose({"a": 1}, SALT, ["b"])


def test_each_field_has_a_salt_of_its_own() -> None:
    salts = record_salts(["b", "a", "c"], SALT)
    assert list(salts) == ["a", "b", "c"]
    assert len(set(salts.values())) == 3


@pytest.mark.parametrize("fields", [{}, {"ä": 1}, {"a": None}, {"a": 0.5}])
def test_a_record_outside_the_profile_has_no_commitment(fields: dict[str, JsonValue]) -> None:
    with pytest.raises(EncodingError):
        commit(fields, SALT)


def test_a_short_record_salt_is_refused() -> None:
    with pytest.raises(EncodingError):
        commit({"a": 1}, SALT[:31])
