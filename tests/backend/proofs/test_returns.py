"""The matrix: exact packing, and reasons instead of bad data."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import Invalid
from backend.proofs.engine.returns import build_matrix, pack_returns, universe_id, unpack_returns

RETURN = st.integers(-(1 << 23), (1 << 23) - 1)
UNIVERSE = ("AAA", "BBB")
CLOSES = [Decimal("101.25"), Decimal(50)]


def _closes(*rows: tuple[str | None, str | None]) -> list[list[Decimal | None]]:
    return [[None if price is None else Decimal(price) for price in row] for row in rows]


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


def test_returns_come_from_adjusted_closes_and_prices_from_closes() -> None:
    adjusted = _closes(("100", "50"), ("101", "49.5"), ("100", "49.5"))
    matrix = build_matrix(UNIVERSE, 17000, CLOSES, adjusted)
    assert matrix.prices == (1_012_500, 500_000)
    assert unpack_returns(matrix.packed, 2) == ((10_000, -10_000), (-9_901, 0))
    assert matrix.universe_id == universe_id(UNIVERSE)
    assert matrix.epoch == 17000


@pytest.mark.parametrize(
    ("adjusted", "reason"),
    [
        (_closes(("100", "50"), (None, "50")), "day 1: no price of AAA"),
        (_closes(("100", "50"), ("100", "0")), "not positive"),
        (_closes(("100", "50"), ("100", "-1")), "not positive"),
        (_closes(("100", "50"), ("100", "NaN")), "not positive"),
        (_closes(("100", "50"), ("151", "50")), "day 1 of AAA.*beyond 0.5"),
        (_closes(("100", "50"), ("100", "24")), "day 1 of BBB.*beyond 0.5"),
        (_closes(("100", "50")), "two days"),
        ([[Decimal(1)], [Decimal(1)]], "1 prices for 2 instruments"),
    ],
)
def test_incomplete_or_jumping_data_is_refused_with_the_reason(
    adjusted: list[list[Decimal | None]], reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        build_matrix(UNIVERSE, 17000, CLOSES, adjusted)


def test_a_return_beyond_24_bits_is_refused_whatever_the_bound() -> None:
    with pytest.raises(Invalid, match="24 bits"):
        build_matrix(UNIVERSE, 17000, CLOSES, _closes(("1", "1"), ("10", "1")), jump_bound=Decimal(100))


@pytest.mark.parametrize("close", ["429496.7296", "0.00004", "-1"])
def test_prices_that_the_circuit_cannot_hold_are_refused(close: str) -> None:
    adjusted = _closes(("100", "50"), ("100", "50"))
    with pytest.raises(Invalid):
        build_matrix(UNIVERSE, 17000, [Decimal(close), Decimal(50)], adjusted)
    assert build_matrix(UNIVERSE, 17000, [Decimal("429496.7295"), Decimal(50)], adjusted).prices[0] == (1 << 32) - 1


@pytest.mark.parametrize("tickers", [(), ("A", "A"), ("A" * 33,)])
def test_a_universe_is_a_list_of_different_short_tickers(tickers: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        universe_id(tickers)
    assert universe_id(("A", "B")) != universe_id(("B", "A"))
