"""`refi onboarding`: the queue, who an applicant is, decisions that are committed before the chain is asked."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from backend.accounts.models import Account
from backend.kit.db import Database
from backend.migrations import upgrade
from backend.onboarding.engine.sealing import SealingKeys
from backend.onboarding.models import OnboardingCase
from backend.onboarding.types import Personal
from tests.backend.cli.conftest import Answer, several_in

OLD, NEW = b"o" * 32, b"n" * 32
OPENED = datetime(2016, 1, 4, tzinfo=UTC)
VERBS: Mapping[str, list[str]] = {
    "queue": ["queue"],
    "queue json": ["queue", "--json"],
    "show": ["show", "1"],
    "who": ["who", "1"],
    "nobody": ["who", "9"],
    "approve": ["approve", "1"],
    "no reason": ["reject", "1", "--reason", "because"],
    "reseal": ["reseal", "--json"],
    "reseal again": ["reseal", "--json"],
    "reject": ["reject", "1", "--reason", "documents_invalid"],
    "again": ["reject", "1", "--reason", "documents_invalid"],
    "forgotten": ["who", "1"],
    "empty": ["queue"],
}


async def wait(url: str) -> None:
    """Write a case that waits for an operator."""
    database, keys = Database(url), SealingKeys([OLD])
    async with database.transaction() as session:
        session.add(Account(id=1, address="0x" + "01" * 20, pseudonym="A" * 43, opened_at=OPENED, roles=[]))
        await session.flush()
        sealed = keys.seal(1, Personal("Wilhelmina Quarterbridge", date(1980, 5, 17), "NL", "review-1"))
        session.add(
            OnboardingCase(
                id=1, account_id=1, open_for=1, account="A" * 43, address="0x" + "01" * 20, kind="person",
                state="needs_review", round=1, provider="reviewer", review_key="5" * 32, reference_sha256="a" * 64,
                finding="referred", screening="clear", screening_reference="b" * 64, screened_lists="c" * 64,
                sealed=sealed, reason="", first_approval_by="", renewal_due=False, ccid="", opened_at=OPENED,
                standing="none",
            )
        )  # fmt: skip
    await database.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """Ask every verb once, one after the other, on a deployment whose chain does not answer."""
    folder = tmp_path_factory.mktemp("onboarding")
    url = f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}"
    upgrade(url)
    asyncio.run(wait(url))
    keys = ",".join(base64.urlsafe_b64encode(key).decode() for key in (NEW, OLD))
    answered = several_in(
        folder,
        [["onboarding", *arguments] for arguments in VERBS.values()],
        database_url=url,
        onboarding_key=keys,
        rpc_url="http://127.0.0.1:1",
        first_business_day="2016-08-01",
    )
    return dict(zip(VERBS, answered, strict=True))


def test_the_queue_shows_cases_and_nobodys_name(answers: Mapping[str, Answer]) -> None:
    assert "provider says referred, lists say clear" in answers["queue"].out
    (case,) = json.loads(answers["queue json"].out)
    assert case == json.loads(answers["show"].out)
    assert not any("Quarterbridge" in answers[name].out for name in ("queue", "queue json", "show"))


def test_who_an_applicant_is_is_told_when_asked_for(answers: Mapping[str, Answer]) -> None:
    told = json.loads(answers["who"].out)
    assert (told["name"], told["birth_date"]) == ("Wilhelmina Quarterbridge", "1980-05-17")
    assert answers["nobody"].is_one_line(1, "no such case")


def test_nobody_is_approved_while_no_list_is_in_force(answers: Mapping[str, Answer]) -> None:
    assert answers["approve"].is_one_line(3, "list")


def test_a_reason_is_a_code(answers: Mapping[str, Answer]) -> None:
    assert answers["no reason"].is_one_line(2, "documents_invalid")


def test_a_rotation_of_keys_seals_everybody_anew_once(answers: Mapping[str, Answer]) -> None:
    assert [json.loads(answers[name].out) for name in ("reseal", "reseal again")] == [{"resealed": 1}, {"resealed": 0}]


def test_a_rejection_stands_and_forgets_who_it_was(answers: Mapping[str, Answer]) -> None:
    assert answers["reject"].code == 0
    assert "case 1: rejected" in answers["reject"].out
    assert answers["again"].is_one_line(1, "rejected does not reject")
    assert answers["forgotten"].is_one_line(1, "nothing is kept")
    assert answers["empty"].out == "nobody waits\n"
