"""What the gates cost on chain stays within its bound, and settling and checking many at once costs less a piece."""

from collections.abc import Sequence

import pytest

from scripts.gas import Row
from scripts.gate_gas import PLAIN, PROTECTED_CALL_BOUND, RATED, measured, over_bound


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measured()


def gas_of(rows: Sequence[Row], what: str) -> int:
    (row,) = (row for row in rows if row.what == what)
    return row.gas


def test_a_call_with_identity_and_volume_policies_costs_no_more_than_ace_does(rows: list[Row]) -> None:
    assert over_bound(rows) == []
    assert gas_of(rows, PLAIN) < gas_of(rows, RATED) <= PROTECTED_CALL_BOUND


@pytest.mark.parametrize("what", [PLAIN, RATED])
def test_one_gas_over_the_bound_is_told(rows: list[Row], what: str) -> None:
    assert over_bound([Row(what, PROTECTED_CALL_BOUND, 0, "")]) == []
    assert over_bound([*rows, Row(what, PROTECTED_CALL_BOUND + 1, 0, "")]) == [what]


@pytest.mark.parametrize("which", ["the first", "the next"])
def test_many_accounts_settle_for_less_than_one_by_one(rows: list[Row], which: str) -> None:
    assert gas_of(rows, f"settle 100 accounts, {which}") < 50 * gas_of(rows, f"settle 1 accounts, {which}")


def test_a_hundred_orders_are_checked_in_one_call(rows: list[Row]) -> None:
    (row,) = (row for row in rows if row.what == "check 100 orders")
    assert row.detail.endswith("100 of 100 pass")
