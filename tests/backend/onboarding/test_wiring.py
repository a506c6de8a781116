"""Settings choose the provider and the keys; what does not fit is refused without being quoted."""

import stat
from pathlib import Path

import pytest

from backend.adapters.identity_provider.reviewer import ReviewerProvider
from backend.adapters.identity_provider.webhook import WebhookProvider
from backend.bootstrap.identities import make_identity_provider, sealing_keys
from backend.bootstrap.screening import of_a_case
from backend.kernel.errors import Forbidden, Invalid
from backend.kit.db import Database
from backend.onboarding.types import Personal
from backend.screening.service import ScreeningReviews
from backend.screening.types import Decision
from tests.backend.accounts.site import local_settings
from tests.backend.onboarding.desk import COMPANY, FIRM, OPERATOR, Desk
from tests.backend.screening.room import OSKAR, REVIEWER, Room, person

SOMEBODY = Personal("Wilhelmina Quarterbridge", None, "NL")
CANARY = "canary-77-" * 4


def test_the_embedded_provider_is_a_reviewer(tmp_path: Path) -> None:
    assert isinstance(make_identity_provider(local_settings(tmp_path)), ReviewerProvider)


def test_an_outside_provider_needs_its_url_key_and_secrets(tmp_path: Path) -> None:
    given = {
        "identity_provider": "webhook",
        "identity_provider_url": "https://id.example/v1",
        "identity_provider_api_key": CANARY,
        "identity_provider_secrets": f"{CANARY}, {CANARY}2",
    }
    assert isinstance(make_identity_provider(local_settings(tmp_path, **given)), WebhookProvider)
    for name in list(given)[1:]:
        with pytest.raises(Invalid) as refused:
            make_identity_provider(local_settings(tmp_path, **given | {name: ""}))
        assert CANARY not in str(refused.value)


def test_a_local_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    settings = local_settings(tmp_path)
    sealed = sealing_keys(settings).seal(1, SOMEBODY)
    assert sealing_keys(settings).open(1, sealed) == SOMEBODY
    assert stat.S_IMODE((tmp_path / "onboarding_key").stat().st_mode) == 0o600


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        sealing_keys(local_settings(tmp_path, onboarding_key=CANARY))
    assert CANARY not in str(refused.value)


async def test_a_deployment_without_lists_and_cases_asks_nobody(database: Database) -> None:
    desk = Desk(database)
    desk.screening.down = True
    assert await desk.job.run_once() == []


async def test_nobody_of_an_organisation_decides_on_its_hits(database: Database, tmp_path: Path) -> None:
    desk, room = Desk(database), Room(database, tmp_path)
    case_id = await desk.approved(FIRM, COMPANY)
    async with database.transaction() as session:
        await desk.organisations.invite(session, FIRM, REVIEWER.address, signatory=False)
    await room.load(OSKAR)
    await room.screening.screen(f"case:{case_id}", person("Oskar Drenovic", FIRM.address))
    reviews = ScreeningReviews(room.journal, room.clock, of_a_case)
    async with database.transaction() as session:
        with pytest.raises(Forbidden):
            await reviews.resolve(session, 1, Decision.CLEARED, "not us", caller=REVIEWER, actor="reviewer")
        await reviews.resolve(session, 1, Decision.CLEARED, "not them", caller=OPERATOR, actor="operator")
