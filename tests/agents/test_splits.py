"""Training days stay clear of test days."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.splits import holdout, walk_forward


@given(
    days=st.integers(50, 2000),
    folds=st.integers(1, 6),
    test=st.integers(1, 300),
    purge=st.integers(0, 5),
    embargo=st.integers(0, 30),
)
def test_every_fold_trains_before_its_gap_and_tests_after_it(
    days: int, folds: int, test: int, purge: int, embargo: int
) -> None:
    if days - folds * test - purge - embargo < 1:
        with pytest.raises(ValueError, match="do not fit"):
            walk_forward(days, folds, test, purge, embargo)
        return
    splits = walk_forward(days, folds, test, purge, embargo)
    assert len(splits) == folds
    assert splits[-1].test_last == days
    assert all(split.test_first - split.train_last == purge + embargo for split in splits)
    assert all(split.train_last > split.train_first == 0 for split in splits)
    assert all(before.test_last == after.test_first for before, after in pairwise(splits))


def test_a_holdout_starts_at_the_first_trading_day_on_or_after_the_date() -> None:
    days = tuple(date(2020, 1, 1) + timedelta(days=2 * step) for step in range(50))
    split = holdout(days, date(2020, 2, 1), purge=1, embargo=5)
    assert days[split.test_first] == date(2020, 2, 2)
    assert (split.train_last, split.test_last) == (split.test_first - 6, 50)


@pytest.mark.parametrize("first_test", [date(2019, 1, 1), date(2020, 1, 12), date(2021, 1, 1)])
def test_a_holdout_without_training_or_test_days_is_refused(first_test: date) -> None:
    days = tuple(date(2020, 1, 1) + timedelta(days=2 * step) for step in range(50))
    with pytest.raises(ValueError, match="no training or test days"):
        holdout(days, first_test)
