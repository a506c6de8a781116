"""Poseidon equals circomlib's circuits, on vectors that they computed."""

import json
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import Invalid
from backend.kernel.field import limbs, to_field, to_signed
from backend.kernel.poseidon import POSITION_DOMAIN, absorb, poseidon, position_commitment

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "poseidon.json").read_text())
VALUES = [int(value) for value in VECTORS["values"]]


def test_one_and_two_hash_to_the_known_value() -> None:
    assert poseidon([1, 2]) == 7853200120776062878684798364095072458815029376092732009249414926327459813530


@pytest.mark.parametrize("count", range(1, 17))
def test_every_width_equals_circomlib(count: int) -> None:
    assert poseidon(VALUES[:count]) == int(VECTORS["poseidon"][str(count)])


@pytest.mark.parametrize("count", [16, 19, 40])
def test_a_chain_equals_the_circuits_chain(count: int) -> None:
    assert absorb(int(VECTORS["capacity"]), VALUES[:count]) == int(VECTORS["absorb"][str(count)])


def test_a_permutation_is_quick_once_the_constants_are_made() -> None:
    poseidon(VALUES[:16])
    started = process_time()
    poseidon(VALUES[1:17])
    assert process_time() - started < 0.03


def test_a_commitment_changes_with_each_of_its_parts() -> None:
    universe, quantities = bytes(range(32)), [5, -5, *[0] * 14]
    commitment = position_commitment(1, universe, quantities)
    # Six biased quantities an element, the first one lowest
    zero = 1 << 40
    first = sum(value << 41 * place for place, value in enumerate([zero + 5, zero - 5, zero, zero, zero, zero]))
    rest = sum(zero << 41 * place for place in range(6))
    last = sum(zero << 41 * place for place in range(4))
    assert commitment == absorb(POSITION_DOMAIN, [1, *limbs(universe), first, rest, last])
    others = {
        position_commitment(2, universe, quantities),
        position_commitment(1, universe[::-1], quantities),
        position_commitment(1, universe, [-5, 5, *[0] * 14]),
        position_commitment(1, universe, [0, 0, *[0] * 14]),
    }
    assert commitment not in others
    assert len(others) == 4


@pytest.mark.parametrize("quantity", [1 << 40, -(1 << 40)])
def test_a_quantity_that_would_spill_into_its_neighbour_is_refused(quantity: int) -> None:
    assert position_commitment(1, bytes(32), [abs(quantity) - 1])
    with pytest.raises(Invalid, match="40 bits"):
        position_commitment(1, bytes(32), [quantity])


@given(st.integers(-(1 << 252), 1 << 252))
def test_signed_integers_survive_the_field(value: int) -> None:
    assert to_signed(to_field(value)) == value


@given(st.binary(min_size=32, max_size=32))
def test_limbs_lose_nothing(word: bytes) -> None:
    high, low = limbs(word)
    assert (high << 128 | low).to_bytes(32, "big") == word


def test_limbs_of_another_length_are_refused() -> None:
    with pytest.raises(Invalid):
        limbs(bytes(31))
