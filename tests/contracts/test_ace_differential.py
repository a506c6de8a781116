"""One table of scenarios, run against our engine and a real Chainlink ACE 1.0.0 engine: both do and say the same."""

from collections.abc import Iterator, Mapping

import pytest

from backend.cli.local import ROOT
from scripts.chaos.attestor_chain import undone
from tests.contracts import ace_chains, ace_house, ace_people, ace_rules
from tests.contracts.ace_world import START, Side, ace_world

DECISION = ROOT / "docs" / "decisions" / "0030-equal-to-ace-and-where-not.md"
TABLE = {**ace_chains.ROWS, **ace_people.ROWS, **ace_rules.ROWS, **ace_house.ROWS}


class Transcripts:
    """What each side was seen to do in a row; a row is run once a side, whoever asks."""

    def __init__(self, sides: Mapping[str, Side]) -> None:
        self.names = tuple(sides)
        self._sides = sides
        self._written: dict[tuple[str, str], list[str]] = {}

    def of(self, name: str, sentence: str) -> list[str]:
        """Return what a side did, from the same moment and state as every other side."""
        if (name, sentence) not in self._written:
            side = self._sides[name]
            side.transcript.clear()
            with undone(side.web3):
                side.at(START)
                TABLE[sentence](side)
            self._written[name, sentence] = list(side.transcript)
        return self._written[name, sentence]


@pytest.fixture(scope="module")
def transcripts() -> Iterator[Transcripts]:
    with ace_world() as sides:
        yield Transcripts(sides)


@pytest.mark.parametrize("sentence", TABLE, ids=str)
def test_both_engines_do_and_say_the_same(transcripts: Transcripts, sentence: str) -> None:
    told = {name: transcripts.of(name, sentence) for name in transcripts.names}

    assert told["ours"]
    assert told["ACE's"] == told["ours"]
    assert told["ours in ACE's engine"] == told["ours"]


def test_every_difference_is_decided_and_shown(transcripts: Transcripts) -> None:
    lines = [line for sentence in TABLE for line in transcripts.of("ours", sentence)]
    shown = {line.partition("differs: ")[2] for line in lines if "differs: " in line}
    rows = (line for line in DECISION.read_text("utf-8").splitlines() if line.startswith("| "))
    decided = {line.split("|")[1].strip() for line in rows}
    assert decided - {"why"} == shown
