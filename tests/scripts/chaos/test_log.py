"""Whatever was acknowledged before a kill or a power cut is there afterwards, once, and the log never has two roots."""

from pathlib import Path

from scripts.chaos.log import run


def test_kills_and_power_cuts_lose_nothing_acknowledged_and_both_controls_are_caught(tmp_path: Path) -> None:
    said: list[str] = []
    assert run(tmp_path, 4, 4, said.append) == 0
    assert said[-1] == "ok"


def test_without_a_single_round_nothing_is_shown_and_the_run_fails(tmp_path: Path) -> None:
    said: list[str] = []
    assert run(tmp_path, 0, 1, said.append) == 1
