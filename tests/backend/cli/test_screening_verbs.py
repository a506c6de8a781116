"""`refi compliance lists|screen|hits|resolve`: lists come in as a whole, nobody is screened without one."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from backend.adapters.screening.list_files import ListFiles
from backend.bootstrap.screening import CaseScreening
from backend.kit.db import Database
from backend.migrations import upgrade
from backend.ports.screening import ScreeningSubject, SubjectKind
from backend.screening.service import ScreeningLists, ScreeningService
from tests.backend.cli.conftest import ROOT, Answer, several_in
from tests.backend.screening.room import FINGERPRINTS
from tests.fakes import FakeClock, FakeJournal

VECTORS = ROOT / "tests" / "vectors" / "screening"
WALLET = "0xabcdef0123456789abcdef0123456789abcdef01"
OFAC = ["lists", "update", "--kind", "ofac-sdn-xml", "--file", str(VECTORS / "ofac_sdn.xml")]
BEFORE: Mapping[str, list[str]] = {
    "no lists": ["lists"],
    "nobody": ["screen", "--name", "Tamriko Velshvili"],
    "update": OFAC,
    "again": OFAC,
    "json": [*OFAC[:2], "--kind", "un-xml", "--file", str(VECTORS / "un.xml"), "--json"],
    "wrong kind": ["lists", "update", "--kind", "csv", "--file", "x"],
    "wrong file": ["lists", "update", "--kind", "eu-xml", "--file", str(VECTORS / "un.xml")],
    "no file": ["lists", "update", "--kind", "eu-xml", "--file", "nothing.xml"],
    "halved": ["lists", "update", "--kind", "opensanctions-json", "--name", "un", "--file", "HALF"],
    "forced": ["lists", "update", "--kind", "opensanctions-json", "--name", "un", "--file", "HALF", "--force"],
    "lists": ["lists"],
    "lists json": ["lists", "--json"],
    "found": ["screen", "--name", "Tamriko Velshvili", "--birth-date", "1970"],
    "wallet": ["screen", "--wallet", WALLET, "--json"],
    "clear": ["screen", "--name", "Petra Lindqvist", "--birth-date", "1970-05-06"],
    "company": ["screen", "--organisation", "--name", "Korvenko Trading Ltd"],
    "no name": ["screen"],
    "bad date": ["screen", "--name", "X Y", "--birth-date", "06.05.1970"],
    "no hits": ["hits"],
}
AFTER: Mapping[str, list[str]] = {
    "hits": ["hits", "--json"],
    "hits in words": ["hits"],
    "bad decision": ["resolve", "1", "--decision", "maybe", "--reason", "because"],
    "no reason": ["resolve", "1", "--decision", "cleared", "--reason", " "],
    "cleared": ["resolve", "1", "--decision", "cleared", "--reason", "another birth place"],
    "twice": ["resolve", "1", "--decision", "confirmed", "--reason", "another birth place"],
    "unknown": ["resolve", "9", "--decision", "cleared", "--reason", "another birth place"],
    "none open": ["hits"],
}


async def found_somebody(url: str, folder: Path) -> None:
    """Screen a case as the platform does."""
    database, clock, journal = Database(url), FakeClock(), FakeJournal()
    adapter = ListFiles(folder / "state" / "screening")
    lists = ScreeningLists(database, adapter, journal, clock, timedelta(days=7))
    cases = CaseScreening(ScreeningService(database, adapter, lists, journal, clock, FINGERPRINTS))
    await cases.screen(1, ScreeningSubject(SubjectKind.PERSON, ("Tamriko Velshvili",)))
    await database.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """Ask every verb once, one after the other, on a deployment whose chain does not answer."""
    folder = tmp_path_factory.mktemp("screening")
    half = folder / "half.json"
    half.write_text('{"id": "x", "schema": "Person", "properties": {"name": ["Only One"], "topics": ["sanction"]}}\n')
    url = f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}"
    upgrade(url)
    given = {"database_url": url, "rpc_url": "http://127.0.0.1:1", "state_dir": folder / "state"}

    def ask(verbs: Mapping[str, list[str]]) -> dict[str, Answer]:
        asked = [["compliance", *(str(half) if part == "HALF" else part for part in verb)] for verb in verbs.values()]
        return dict(zip(verbs, several_in(folder, asked, **given), strict=True))

    answered = ask(BEFORE)
    asyncio.run(found_somebody(url, folder))
    return answered | ask(AFTER)


def test_without_a_list_nobody_is_screened(answers: Mapping[str, Answer]) -> None:
    assert answers["no lists"].code == 1
    assert "refi compliance lists update" in answers["no lists"].err
    assert answers["nobody"].is_one_line(3, "no list is loaded")


def test_a_list_comes_in_with_its_version(answers: Mapping[str, Answer]) -> None:
    assert answers["update"].code == 0
    assert answers["update"].out.startswith("ofac-sdn: 4 entries (new), version ")
    assert "(as before)" in answers["again"].out
    told = json.loads(answers["json"].out)
    assert (told["loaded"]["name"], told["loaded"]["entries"], len(told["job"])) == ("un", 3, 32)


def test_a_wrong_file_is_told_in_one_line(answers: Mapping[str, Answer]) -> None:
    assert answers["wrong kind"].is_one_line(2, "unknown kind 'csv'")
    assert answers["wrong file"].is_one_line(2, "not a <export>")
    assert answers["no file"].is_one_line(2, "nothing.xml cannot be read")


def test_a_list_that_lost_half_its_entries_needs_force(answers: Mapping[str, Answer]) -> None:
    assert answers["halved"].is_one_line(1, "is it the right file", "--force")
    assert answers["forced"].code == 0


def test_the_lists_in_force_are_shown(answers: Mapping[str, Answer]) -> None:
    assert answers["lists"].code == 0
    assert [line.split()[0] for line in answers["lists"].out.splitlines()] == ["ofac-sdn", "un"]
    assert [known["entries"] for known in json.loads(answers["lists json"].out)] == [4, 1]


def test_whom_the_lists_name_is_found_and_others_are_clear(answers: Mapping[str, Answer]) -> None:
    assert answers["found"].code == 1
    assert "ofac-sdn 90004" in answers["found"].out
    assert json.loads(answers["wallet"].out)["decided"] == "blocked"
    assert answers["company"].code == 1
    assert answers["clear"].code == 0
    assert answers["clear"].out.startswith("clear against ofac-sdn, un")


def test_a_question_that_names_nobody_is_refused(answers: Mapping[str, Answer]) -> None:
    assert answers["no name"].is_one_line(2, "--name or --wallet")
    assert answers["bad date"].is_one_line(2, "is no birth date")


def test_looking_somebody_up_leaves_no_hit(answers: Mapping[str, Answer]) -> None:
    assert answers["no hits"].out == "no hit waits\n"


def test_a_hit_is_shown_and_decided_once(answers: Mapping[str, Answer]) -> None:
    (hit,) = json.loads(answers["hits"].out)["items"]
    assert (hit["reference"], hit["entry_id"], hit["state"]) == ("case:1", "90004", "open")
    assert "TAMRIKO" in answers["hits in words"].out.upper()
    assert answers["bad decision"].is_one_line(2, "unknown decision")
    assert answers["no reason"].is_one_line(2, "say why")
    assert answers["cleared"].out == "hit 1: cleared\n"
    assert answers["twice"].is_one_line(1, "the hit is cleared")
    assert answers["unknown"].is_one_line(1, "no such hit")
    assert answers["none open"].out == "no hit waits\n"
