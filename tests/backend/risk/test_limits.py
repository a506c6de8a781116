"""Caps grow with age, and the last one only after a review."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from backend.risk.engine.limits import cap_of

OPENED = date(2016, 6, 1)


@pytest.mark.parametrize(
    ("age", "reviewed", "cap"),
    [
        (-1, True, 0),
        (0, False, 100),
        (0, True, 100),
        (2, False, 100),
        (3, False, 500),
        (6, True, 500),
        (7, False, 5_000),
        (13, True, 5_000),
        (14, False, 5_000),
        (14, True, 50_000),
        (400, False, 5_000),
        (400, True, 50_000),
    ],
)
def test_the_cap_follows_age_and_review(age: int, reviewed: bool, cap: int) -> None:
    assert cap_of(OPENED, OPENED + timedelta(days=age), reviewed) == Decimal(cap)
