"""Walk-forward splits that keep training days clear of the days they are judged on."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Split:
    """Hold half-open ranges of day indices: training is [train_first, train_last), testing [test_first, test_last)."""

    train_first: int
    train_last: int
    test_first: int
    test_last: int


def walk_forward(days: int, folds: int, test: int, purge: int = 1, embargo: int = 5) -> tuple[Split, ...]:
    """Return `folds` splits whose test ranges of `test` days follow one another and end with the last day.

    Training always starts at day 0 and stops purge + embargo days before its test range: purge is the reach of a label
    (the next day's close here), embargo lets serial correlation die out. Source: Lopez de Prado 2018, chapter 7.
    """
    first = days - folds * test
    if min(folds, test) < 1 or min(purge, embargo) < 0 or first - purge - embargo < 1:
        raise ValueError(f"{folds} folds of {test} days do not fit into {days} days")
    starts = range(first, days, test)
    return tuple(Split(0, start - purge - embargo, start, start + test) for start in starts)


def holdout(days: tuple[date, ...], first_test: date, purge: int = 1, embargo: int = 5) -> Split:
    """Return the one split whose test range runs from the first trading day on or after a date to the end."""
    start = next((index for index, day in enumerate(days) if day >= first_test), len(days))
    if min(purge, embargo) < 0 or start - purge - embargo < 1 or start > len(days) - 2:
        raise ValueError(f"no training or test days around {first_test}")
    return Split(0, start - purge - embargo, start, len(days))
