"""What the published statement tells of the positions: nothing, not even to who guesses them."""

from dataclasses import replace

import pytest

from backend.proofs.types import Positions, Statement
from tests.circuits.example import BINDING as BOUND
from tests.circuits.example import CIRCUIT, claimed, honest, matrix, positions, tightest

MARKET = matrix()
BOOKS = {
    "empty": (0,) * 16,
    "one share of one instrument": (0,) * 5 + (1_000_000,) + (0,) * 10,
    "sixteen instruments": positions().quantities,
}


def opens(public: Statement, guess: Positions, circuit: str) -> bool:
    """Return whether the statement's challenges are those of a guessed book: all that an observer can compare."""
    limits = tightest(replace(guess, salt=0), MARKET, circuit)
    tried = claimed(guess, MARKET, limits, circuit, commitment=public.commitment).statement
    return (tried.r, tried.z, tried.e) == (public.r, public.z, public.e)


@pytest.mark.parametrize("circuit", [CIRCUIT, "var_16_90"])
@pytest.mark.parametrize("quantities", BOOKS.values(), ids=BOOKS)
def test_a_guessed_book_is_confirmed_only_by_its_salt(circuit: str, quantities: tuple[int, ...]) -> None:
    held = Positions(positions().salt, quantities)
    public = honest(BOUND, held, MARKET, tightest(held, MARKET, circuit), circuit).statement
    assert opens(public, held, circuit)
    assert not opens(public, replace(held, salt=held.salt + 1), circuit)
