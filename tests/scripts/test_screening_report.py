"""The figures of screening, on a small list: what is claimed is found, and the report says what is not."""

import argparse
import random

from backend.adapters.screening.list_files import THRESHOLD
from scripts.screening_report import BEYOND, CLAIMED, HARD, Tally, born, made_up, quality, speed, told

# A tenth of what the full report screens.
SIZE, CASES, SEED = 2_000, 20, 3


def test_recall_and_precision_hold_on_another_seed_than_the_reports() -> None:
    measured = quality(SIZE, CASES, SEED, THRESHOLD)
    assert measured["recall"].of == CASES * len(CLAIMED)
    assert measured["recall"].share >= 0.97
    assert measured["precision"].share >= 0.97
    assert set(measured["rules"]) == {rule.__name__ for rule in CLAIMED}
    assert set(measured["beyond"]) == {rule.__name__ for rule in BEYOND}
    assert set(measured["alarms"]) == {rule.__name__ for rule in HARD}
    assert min(tally.share for tally in measured["rules"].values()) >= 0.8


def test_the_report_says_every_rule_and_how_long_it_took() -> None:
    measured = quality(200, 3, SEED, THRESHOLD)
    took = speed(200, 50, SEED, THRESHOLD)
    options = argparse.Namespace(threshold=THRESHOLD, entries=200, names=50, seed=SEED)
    text = "\n".join(told(measured, took, options))
    for rule in (*CLAIMED, *BEYOND, *HARD):
        assert f"  {rule.__name__} " in text
    assert "50 names in" in text


def test_two_thousand_names_against_a_list_of_two_thousand_take_seconds() -> None:
    took = speed(SIZE, SIZE, SEED, THRESHOLD)
    assert took["screen_cpu"] + took["index_cpu"] < 5


def test_a_made_up_list_is_the_same_each_time() -> None:
    assert made_up(50, SEED) == made_up(50, SEED)
    assert made_up(50, SEED) != made_up(50, SEED + 1)
    assert born(random.Random(1)) == born(random.Random(1))


def test_an_empty_tally_hides_nothing() -> None:
    assert (Tally(0, 0).share, Tally(4, 1).share) == (1.0, 0.25)
