"""The matrix: exact packing, and where two differ."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import Invalid
from backend.market.types import ReturnsWindow
from backend.proofs.engine.returns import build_matrix, first_difference, pack_returns, universe_id, unpack_returns

RETURN = st.integers(-(1 << 23), (1 << 23) - 1)
UNIVERSE = ("AAA", "BBB")


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(RETURN, min_size=n, max_size=n), min_size=1, max_size=9)))
def test_packing_is_undone_by_unpacking(rows: list[list[int]]) -> None:
    packed = pack_returns(rows)
    assert len(packed) == 3 * len(rows) * len(rows[0])
    assert [list(row) for row in unpack_returns(packed, len(rows[0]))] == rows


def test_returns_are_big_endian_twos_complement_row_by_row() -> None:
    assert pack_returns([[1, -1], [-(1 << 23), 256]]) == bytes.fromhex("000001ffffff800000000100")


@pytest.mark.parametrize("rows", [[[1 << 23]], [[-(1 << 23) - 1]], [[1, 2], [3]]])
def test_rows_that_do_not_fit_are_refused(rows: list[list[int]]) -> None:
    with pytest.raises(Invalid):
        pack_returns(rows)


@pytest.mark.parametrize(("packed", "instruments"), [(b"", 1), (bytes(4), 1), (bytes(9), 2), (bytes(3), 0)])
def test_bytes_that_are_no_rows_are_refused(packed: bytes, instruments: int) -> None:
    with pytest.raises(Invalid):
        unpack_returns(packed, instruments)


WINDOW = ReturnsWindow(
    UNIVERSE,
    17000,
    (Decimal("101.25"), Decimal(50)),
    ((10_000, -10_000), (-9_901, 0)),
    (date(2016, 7, 15), date(2016, 7, 18)),
)


def test_a_matrix_holds_a_windows_prices_and_returns() -> None:
    matrix = build_matrix(WINDOW)
    assert matrix.prices == (1_012_500, 500_000)
    assert unpack_returns(matrix.packed, 2) == WINDOW.returns
    assert (matrix.universe_id, matrix.epoch) == (universe_id(UNIVERSE), 17000)


def test_equal_matrices_do_not_differ() -> None:
    assert first_difference(WINDOW, build_matrix(WINDOW)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prices": (Decimal("101.25"), Decimal("50.0001"))}, "the price of BBB is 500000 here and 500001 there"),
        (
            {"returns": ((10_001, -10_000), (-9_901, 0))},
            "the return of AAA on 2016-07-15 is 10000 here and 10001 there",
        ),
        (
            {"returns": ((10_000, -10_000), (0, 1))},
            "the return of AAA on 2016-07-18 is -9901 here and 0 there",
        ),
    ],
)
def test_the_first_difference_names_day_instrument_and_both_values(change: dict[str, Any], told: str) -> None:
    found = first_difference(WINDOW, build_matrix(replace(WINDOW, **change)))
    assert found is not None
    assert found.told() == told


@pytest.mark.parametrize(
    "change",
    [{"universe": ("BBB", "AAA")}, {"epoch": 17001}, {"returns": ((10_000, -10_000),)}],
)
def test_matrices_of_different_shapes_are_not_compared(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="same universe"):
        first_difference(WINDOW, build_matrix(replace(WINDOW, **change)))


@pytest.mark.parametrize("tickers", [(), ("A", "A"), ("A" * 33,)])
def test_a_universe_is_a_list_of_different_short_tickers(tickers: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        universe_id(tickers)
    assert universe_id(("A", "B")) != universe_id(("B", "A"))
