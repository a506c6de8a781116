"""One table of scenarios, run against our engine and a real Chainlink ACE 1.0.0 engine: both do and say the same."""

from collections.abc import Iterator, Mapping

import pytest

from backend.cli.local import ROOT
from scripts.chaos.attestor_chain import undone
from tests.contracts import ace_chains, ace_house, ace_people, ace_rules
from tests.contracts.ace_world import START, Side, ace_world

DECISION = ROOT / "docs" / "decisions" / "0030-equal-to-ace-and-where-not.md"
TABLE = {**ace_chains.ROWS, **ace_people.ROWS, **ace_rules.ROWS, **ace_house.ROWS}


@pytest.fixture(scope="module")
def sides() -> Iterator[Mapping[str, Side]]:
    with ace_world() as world:
        yield world


@pytest.mark.parametrize("sentence", TABLE, ids=str)
def test_both_engines_do_and_say_the_same(sides: Mapping[str, Side], sentence: str) -> None:
    told = {name: transcript(side, sentence) for name, side in sides.items()}

    for transcribed in told.values():
        assert transcribed == told["ours"]
    assert told["ours"]


def transcript(side: Side, sentence: str) -> list[str]:
    """Run one row on one side, from the same moment and state; return what was written down."""
    side.transcript.clear()
    with undone(side.web3):
        side.at(START)
        TABLE[sentence](side)
    return list(side.transcript)


def test_every_difference_is_decided_and_shown(sides: Mapping[str, Side]) -> None:
    side = sides["ours"]
    lines = [line for sentence in TABLE for line in transcript(side, sentence)]
    shown = {line.partition("differs: ")[2] for line in lines if "differs: " in line}
    rows = (line for line in DECISION.read_text("utf-8").splitlines() if line.startswith("| "))
    decided = {line.split("|")[1].strip() for line in rows}
    assert decided - {"why"} == shown
