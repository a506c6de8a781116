"""What is known of an applicant can be read with a key, for its own case, and not otherwise."""

import base64
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backend.kernel.errors import Invalid, Unavailable
from backend.onboarding.engine.sealing import PADDING, SealingKeys
from backend.onboarding.types import Personal

OLD, NEW = b"o" * 32, b"n" * 32
SOMEBODY = Personal("Wilhelmina Quarterbridge", date(1980, 5, 17), "NL", "rev-1", "https://id.example/rev-1")
TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=300)


@given(TEXT, some.none() | some.dates(), TEXT)
def test_what_is_sealed_is_what_is_opened(name: str, born: date | None, reference: str) -> None:
    keys, personal = SealingKeys([NEW]), Personal(name, born, "NL", reference)
    assert keys.open(7, keys.seal(7, personal)) == personal


def test_nothing_of_it_can_be_read_without_the_key() -> None:
    sealed = SealingKeys([NEW]).seal(7, SOMEBODY)
    assert not any(word in sealed for word in (b"Wilhelmina", b"1980", b"rev-1", b"name"))
    with pytest.raises(Unavailable):
        SealingKeys([OLD]).open(7, sealed)


def test_a_text_belongs_to_its_case_alone() -> None:
    keys = SealingKeys([NEW])
    with pytest.raises(Unavailable, match="does not belong to this case"):
        keys.open(8, keys.seal(7, SOMEBODY))


@given(some.integers(min_value=0, max_value=200), some.integers(min_value=1, max_value=255))
def test_a_changed_text_is_noticed(place: int, change: int) -> None:
    keys = SealingKeys([NEW])
    sealed = bytearray(keys.seal(7, SOMEBODY))
    sealed[place] ^= change
    with pytest.raises(Unavailable):
        keys.open(7, bytes(sealed))


def test_the_same_person_is_sealed_differently_each_time_and_names_of_any_length_alike() -> None:
    keys = SealingKeys([NEW])
    assert keys.seal(7, SOMEBODY) != keys.seal(7, SOMEBODY)
    lengths = {len(keys.seal(7, Personal("x" * length, None, "NL"))) for length in range(1, PADDING // 2)}
    assert len(lengths) == 1


def test_keys_rotate_the_new_one_seals_and_both_open() -> None:
    before = SealingKeys([OLD]).seal(7, SOMEBODY)
    both = SealingKeys([NEW, OLD])
    assert both.open(7, before) == SOMEBODY
    assert both.outdated(before)
    after = both.seal(7, both.open(7, before))
    assert not both.outdated(after)
    assert SealingKeys([NEW]).open(7, after) == SOMEBODY


def test_keys_are_read_from_a_setting_with_or_without_padding() -> None:
    texts = [base64.urlsafe_b64encode(key).decode() for key in (NEW, OLD)]
    keys = SealingKeys.parsed(f" {texts[0]} , {texts[1].rstrip('=')}")
    assert keys.open(7, SealingKeys([OLD]).seal(7, SOMEBODY)) == SOMEBODY


@pytest.mark.parametrize("text", ["", "short", "n" * 44, "canary-5f!" * 5, ",", "é" * 43])
def test_a_setting_that_holds_no_key_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        SealingKeys.parsed(text)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
