"""Onboarding over HTTP with the webhook adapter and a provider on loopback: nothing of the applicant gets out."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from backend.adapters.identity_provider.webhook import WebhookProvider, signature_of
from backend.kit.db import Database
from backend.kit.logging import configure_logging
from backend.onboarding.service import Onboarding, OnboardingJob, Organisations
from tests.backend.accounts.site import Site, local_settings, wallet
from tests.backend.onboarding.desk import Desk
from tests.backend.onboarding.provider_server import API_KEY, Provider, serving

SECRET = "s" * 32
NAME, BORN = "Wilhelmina Quarterbridge", "1980-05-17"
PERSON = {"kind": "person", "name": NAME, "birth_date": BORN, "country": "NL"}
URL = "/api/v1/onboarding"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Yield what is logged, at every level."""
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    stream, level = io.StringIO(), root.level
    configure_logging("debug", stream)
    yield stream
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def stored(folder: Path) -> list[bytes]:
    """Return what the database's files hold."""
    return [path.read_bytes() for path in folder.glob("refi.sqlite3*")]


class Office:
    """A deployment with an outside provider, an applicant and an operator."""

    def __init__(self, desk: Desk, site: Site, server: Provider, clients: dict[str, httpx.AsyncClient]) -> None:
        self.desk = desk
        self.site = site
        self.server = server
        self.clients = clients

    async def tell(self, finding: str, event_id: str = "evt-1", secret: str = SECRET, **changes: Any) -> httpx.Response:
        """Send a webhook about the only review."""
        now = self.site.clock.wall()
        told = {"id": event_id, "reference": next(iter(self.server.reviews.values()), "rev-none"), "finding": finding}
        body = json.dumps(told | {"occurred_at": now.isoformat()} | changes).encode()
        stamp = str(int(now.timestamp()))
        headers = {"Webhook-Timestamp": stamp, "Webhook-Signature": signature_of(secret, stamp, body)}
        return await self.clients["provider"].post(f"{URL}/webhook", content=body, headers=headers)


@pytest.fixture
async def office(database: Database, tmp_path: Path) -> AsyncIterator[Office]:
    with serving() as server:
        provider = WebhookProvider(server.url, API_KEY, [SECRET], timeout=timedelta(seconds=2))
        desk = Desk(database, provider=provider)
        services: dict[type, object] = {
            Onboarding: desk.cases, Organisations: desk.organisations, OnboardingJob: desk.job,
        }  # fmt: skip
        settings = local_settings(tmp_path, first_admin=wallet("admin").address, webhooks_per_minute=20)
        site = Site(database, settings, desk.clock, desk.journal, services=services)
        async with site.browser() as admin, site.browser() as operator, site.browser() as one, site.browser() as other:
            clients = {"admin": admin, "operator": operator, "applicant": one, "provider": other}
            for name in ("admin", "operator", "applicant"):
                (await site.sign_in(clients[name], wallet(name))).raise_for_status()
            roles = f"/api/v1/accounts/{wallet('operator').address}/roles"
            (await admin.put(roles, json={"roles": ["operator"]})).raise_for_status()
            yield Office(desk, site, server, clients)
        await provider.close()


async def test_a_person_goes_from_the_form_to_the_chain_without_an_operator(office: Office) -> None:
    applicant = office.clients["applicant"]
    started = await applicant.post(URL, json=PERSON)
    assert (started.status_code, started.json()["state"]) == (201, "started")
    await office.desk.job.run_once()
    mine = (await applicant.get(f"{URL}/me")).json()
    assert (mine["state"], mine["provider"]) == ("pending", "webhook")
    assert mine["redirect_url"].startswith("https://id.example/rev-0-")
    assert (await office.tell("passed")).json() == {"taken_up": True}
    await office.desk.job.run_once()
    mine = (await applicant.get(f"{URL}/me")).json()
    assert (mine["state"], mine["issued"], mine["redirect_url"]) == ("approved", True, "")
    assert "common.kyc" in office.desk.registries.held(wallet("applicant").address.lower())


async def test_a_replayed_a_forged_a_late_and_a_strangers_webhook_change_nothing(office: Office) -> None:
    await office.clients["applicant"].post(URL, json=PERSON)
    await office.desk.job.run_once()
    assert (await office.tell("referred")).json() == {"taken_up": True}
    for told, answer in (
        (await office.tell("passed"), (200, {"taken_up": False})),  # the same event id again
        (await office.tell("passed", "evt-0", occurred_at="2026-11-20T09:00:00Z"), (200, {"taken_up": False})),
    ):
        assert (told.status_code, told.json()) == answer
    forged = await office.tell("passed", "evt-2", secret="x" * 32)
    unknown = await office.tell("passed", "evt-3", reference="rev-of-nobody")
    assert (forged.status_code, unknown.status_code) == (401, 404)
    assert unknown.json()["detail"] == "no such review"
    late_body = b"{}"
    stamp = str(int(office.site.clock.wall().timestamp()) - 301)
    late = {"Webhook-Timestamp": stamp, "Webhook-Signature": signature_of(SECRET, stamp, late_body)}
    assert (await office.clients["provider"].post(f"{URL}/webhook", content=late_body, headers=late)).status_code == 401
    assert (await office.clients["applicant"].get(f"{URL}/me")).json()["state"] == "needs_review"


async def test_a_body_that_is_too_long_is_not_read(office: Office) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000

    for content in (b"x" * 16_385, endless()):
        answer = await office.clients["provider"].post(f"{URL}/webhook", content=content)
        assert answer.status_code == 413


async def test_webhooks_and_starts_are_counted(office: Office) -> None:
    answers = [(await office.tell("passed", f"evt-{number}")).status_code for number in range(21)]
    assert answers[:20] == [404] * 20
    assert answers[20] == 429


async def test_the_operators_queue_shows_cases_and_a_person_only_on_record(office: Office) -> None:
    await office.clients["applicant"].post(URL, json=PERSON)
    await office.desk.job.run_once()
    await office.tell("failed")
    operator = office.clients["operator"]
    (case,) = (await operator.get(f"{URL}/queue")).json()["items"]
    viewed = await operator.get(f"{URL}/{case['id']}")
    assert viewed.json() == case
    assert NAME not in viewed.text
    known = len(office.desk.journal.records)
    shown = (await operator.post(f"{URL}/{case['id']}/disclosure")).json()
    assert (shown["name"], shown["birth_date"]) == (NAME, BORN)
    assert [record.event for record in office.desk.journal.records[known:]] == ["onboarding.disclosed"]
    decision = {"verdict": "reject", "reason": "documents_invalid"}
    rejected = await operator.post(f"{URL}/{case['id']}/decision", json=decision)
    assert (rejected.json()["state"], rejected.json()["reason"]) == ("rejected", "documents_invalid")
    assert (await operator.get(f"{URL}/queue")).json()["items"] == []
    # Rejected is over: whoever has better documents may ask again.
    assert (await office.clients["applicant"].post(URL, json=PERSON)).status_code == 201


async def test_an_operator_does_not_decide_their_own_case(office: Office) -> None:
    operator = office.clients["operator"]
    case_id = (await operator.post(URL, json=PERSON)).json()["id"]
    await office.desk.job.run_once()
    await office.tell("referred")
    decision = {"verdict": "approve", "reason": "documents_verified"}
    answer = await operator.post(f"{URL}/{case_id}/decision", json=decision)
    assert answer.status_code == 403
    assert (await operator.get(f"{URL}/me")).json()["state"] == "needs_review"


async def test_nothing_of_a_person_is_in_the_log_the_records_or_the_database(
    office: Office, log: io.StringIO, tmp_path: Path
) -> None:
    applicant, operator = office.clients["applicant"], office.clients["operator"]
    await applicant.post(URL, json=PERSON)
    # What goes wrong says nothing either.
    await applicant.post(URL, json=PERSON)
    await applicant.post(URL, json=PERSON | {"kind": "organisation"})
    await applicant.post(URL, json=PERSON | {"birth_date": f"{NAME}"})
    office.server.mode = "malformed"
    await office.desk.job.run_once()
    office.server.mode = "honest"
    office.desk.clock.advance(wall=timedelta(minutes=2))
    await office.desk.job.run_once()
    reference = next(iter(office.server.reviews.values()))
    await office.tell("failed", reference="rev-of-nobody")
    await office.tell("referred")
    case_id = (await operator.get(f"{URL}/queue")).json()["items"][0]["id"]
    await operator.post(f"{URL}/{case_id}/disclosure")
    sealed = (await office.desk.row(case_id)).sealed
    files = stored(tmp_path)
    assert any(sealed in content for content in files)
    told = log.getvalue() + repr(office.desk.journal.records)
    assert "onboarding.put_off" in told
    for secret in ("Wilhelmina", "Quarterbridge", BORN, reference, API_KEY, SECRET):
        assert secret not in told
        assert not any(secret.encode() in content for content in files), secret


async def test_who_withdraws_is_erased_and_nobody_can_read_it_any_more(office: Office, tmp_path: Path) -> None:
    applicant = office.clients["applicant"]
    await applicant.post(URL, json=PERSON)
    await office.desk.job.run_once()
    await office.tell("referred")
    case_id = (await applicant.get(f"{URL}/me")).json()["id"]
    sealed = (await office.desk.row(case_id)).sealed
    assert (await applicant.delete(f"{URL}/me")).json()["state"] == "withdrawn"
    assert (await office.desk.row(case_id)).sealed == b""
    answer = await office.clients["operator"].post(f"{URL}/{case_id}/disclosure")
    assert answer.status_code == 404
    await office.desk.database.close()
    # The write-ahead log is gone with its last connection; the pages were overwritten.
    assert all(sealed not in content for content in stored(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "   "}, {"name": "1234"}, {"name": "a\u202eb"}, {"name": "x" * 201},
        {"name": "Dr\u0435novic"}, {"name": "\u13be" + "skar"}, {"name": "A\u3164B"}, {"name": "A\u2060B"},
        {"birth_date": None}, {"birth_date": "1780-01-01"}, {"birth_date": "yesterday"}, {"country": "Netherlands"},
        {"country": "nl"}, {"kind": "robot"}, {"kind": "organisation"}, {"passport": "NX123"},
    ],
)  # fmt: skip
async def test_a_form_that_does_not_fit_is_refused_without_being_quoted(
    office: Office, change: dict[str, object]
) -> None:
    answer = await office.clients["applicant"].post(URL, json=PERSON | change)
    assert answer.status_code == 422
    assert "Quarterbridge" not in answer.text
    assert "NX123" not in answer.text
