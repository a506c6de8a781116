"""Every identity provider keeps the port's promises; the webhook adapter, against a real server that may lie."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backend.adapters.identity_provider.reviewer import ReviewerProvider
from backend.adapters.identity_provider.webhook import WebhookProvider, signature_of
from backend.kernel.errors import Invalid, NotFound, RefiError, TooLarge, Unauthorized, Unavailable
from backend.ports.identity_provider import Applicant, CaseKind, Finding, IdentityProvider
from tests.backend.onboarding.provider_server import API_KEY, Provider, serving

OLD, NEW = "o" * 32, "n" * 32
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
PERSON = Applicant("5" * 32, CaseKind.PERSON, "Wilhelmina Quarterbridge", date(1980, 5, 17), "NL")
COMPANY = Applicant("6" * 32, CaseKind.ORGANISATION, "Quarterbridge Holding", None, "NL")


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with serving() as provider:
        yield provider


@pytest.fixture
async def webhook(server: Provider) -> AsyncIterator[WebhookProvider]:
    server.mode, server.finding, server.hold = "honest", "pending", 0.0
    adapter = WebhookProvider(server.url, API_KEY, [NEW, OLD], timeout=timedelta(seconds=3))
    yield adapter
    await adapter.close()


@pytest.fixture(params=["reviewer", "webhook"])
def provider(request: pytest.FixtureRequest, webhook: WebhookProvider) -> IdentityProvider:
    return webhook if request.param == "webhook" else ReviewerProvider()


# What every provider promises


async def test_a_review_begins_once_for_a_key(provider: IdentityProvider) -> None:
    first, again, other = [await provider.start(one) for one in (PERSON, PERSON, COMPANY)]
    assert first == again
    assert first.reference != other.reference
    assert await provider.status(first.reference) is first.finding


async def test_a_reference_says_nothing_of_the_applicant(provider: IdentityProvider) -> None:
    reference = (await provider.start(PERSON)).reference
    assert not any(word.lower() in reference.lower() for word in ("Wilhelmina", "Quarterbridge", "1980"))


@pytest.mark.parametrize("reference", ["", "nobody's", "../reviews", "a b", "x" * 200, "\N{SNOWMAN}"])
async def test_there_is_no_status_of_a_review_that_there_is_not(provider: IdentityProvider, reference: str) -> None:
    with pytest.raises(NotFound):
        await provider.status(reference)


async def test_a_callback_that_nobody_signed_is_refused(provider: IdentityProvider) -> None:
    with pytest.raises((Unauthorized, NotFound)):
        provider.event({}, told(), NOW)


async def test_a_provider_can_be_closed_twice(provider: IdentityProvider) -> None:
    await provider.start(PERSON)
    await provider.close()
    await provider.close()


# What the outside provider is asked and may answer


async def test_the_provider_is_told_only_what_it_needs(server: Provider, webhook: WebhookProvider) -> None:
    server.asked.clear()
    started = await webhook.start(PERSON)
    assert started.redirect_url == f"https://id.example/{started.reference}"
    await webhook.start(COMPANY)
    assert server.asked == [
        {
            "external_id": PERSON.key,
            "kind": "person",
            "name": PERSON.name,
            "country": "NL",
            "birth_date": "1980-05-17",
        },
        {"external_id": COMPANY.key, "kind": "organisation", "name": COMPANY.name, "country": "NL"},
    ]


@pytest.mark.parametrize("finding", list(Finding))
async def test_the_finding_is_the_providers(server: Provider, webhook: WebhookProvider, finding: Finding) -> None:
    server.finding = finding.value
    assert await webhook.status((await webhook.start(PERSON)).reference) is finding


@pytest.mark.parametrize(
    "mode",
    ["malformed", "deep", "endless", "no review", "unknown finding", "error", "elsewhere", "slow", "trickle", "script"],
)
async def test_an_answer_that_is_none_is_unavailable(server: Provider, webhook: WebhookProvider, mode: str) -> None:
    server.mode, server.hold = mode, 3.5 if mode == "slow" else 0.2
    with pytest.raises(Unavailable) as refused:
        await webhook.start(PERSON)
    assert PERSON.name not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_an_answer_about_another_review_is_not_taken(server: Provider, webhook: WebhookProvider) -> None:
    reference = (await webhook.start(PERSON)).reference
    server.mode = "another review"
    with pytest.raises(Unavailable, match="another review"):
        await webhook.status(reference)


async def test_a_provider_that_is_gone_or_knows_another_key_is_unavailable(server: Provider) -> None:
    for adapter in (WebhookProvider("http://127.0.0.1:1", API_KEY, [NEW]), WebhookProvider(server.url, "other", [NEW])):
        with pytest.raises(Unavailable):
            await adapter.start(PERSON)
        await adapter.close()


@pytest.mark.parametrize(
    ("url", "key", "secrets"),
    [
        ("ftp://id.example", API_KEY, [NEW]),
        ("", API_KEY, [NEW]),
        ("https://id.example", "", [NEW]),
        ("https://id.example", API_KEY, []),
        ("https://id.example", API_KEY, ["short"]),
        ("https://id.example", API_KEY, [NEW, OLD, "t" * 32]),
    ],
)
def test_settings_that_do_not_fit_are_refused(url: str, key: str, secrets: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        WebhookProvider(url, key, secrets)
    assert "short" not in str(refused.value)


# Webhooks


def told(**changes: Any) -> bytes:
    event = {"id": "evt-1", "reference": "rev-1", "finding": "passed", "occurred_at": "2026-11-20T09:59:00Z"}
    return json.dumps(event | changes).encode()


def signed(body: bytes, secret: str = NEW, at: datetime = NOW) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    return {"webhook-timestamp": stamp, "webhook-signature": signature_of(secret, stamp, body)}


@pytest.mark.parametrize("secret", [NEW, OLD])
async def test_a_signed_webhook_is_heard_under_either_secret(webhook: WebhookProvider, secret: str) -> None:
    event = webhook.event(signed(told(), secret), told(), NOW)
    assert (event.event_id, event.reference, event.finding) == ("evt-1", "rev-1", Finding.PASSED)
    assert event.occurred_at == NOW - timedelta(minutes=1)


async def test_a_sender_that_rotates_may_sign_with_both(webhook: WebhookProvider) -> None:
    headers = signed(told())
    headers["webhook-signature"] = f"{'0' * 64}, {headers['webhook-signature']}"
    assert webhook.event(headers, told(), NOW).event_id == "evt-1"


FORGED = {
    "another secret": lambda: signed(told(), "x" * 32),
    "another body": lambda: signed(told(finding="failed")),
    "another time": lambda: signed(told()) | {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
    "no time": lambda: signed(told()) | {"webhook-timestamp": ""},
    "a time with a sign": lambda: signed(told()) | {"webhook-timestamp": f"+{int(NOW.timestamp())}"},
    "no signature": lambda: signed(told()) | {"webhook-signature": ""},
    "half a signature": lambda: signed(told()) | {"webhook-signature": signed(told())["webhook-signature"][:32]},
    "upper case": lambda: signed(told()) | {"webhook-signature": signed(told())["webhook-signature"].upper()},
    "not ASCII": lambda: signed(told()) | {"webhook-signature": "\N{SNOWMAN}" * 64},
    "the third of three": lambda: (
        signed(told()) | {"webhook-signature": ",".join(["0" * 64, "1" * 64, signed(told())["webhook-signature"]])}
    ),
}


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_webhook_is_refused_before_it_is_read(webhook: WebhookProvider, how: str) -> None:
    with pytest.raises(Unauthorized, match="not signed"):
        webhook.event(FORGED[how](), told(), NOW)


@pytest.mark.parametrize("minutes", [-5.1, 5.1, -1_000_000])
async def test_a_recorded_webhook_is_refused(webhook: WebhookProvider, minutes: float) -> None:
    headers = signed(told(), at=NOW + timedelta(minutes=minutes))
    with pytest.raises(Unauthorized, match="not fresh"):
        webhook.event(headers, told(), NOW)


@pytest.mark.parametrize("minutes", [-4.9, 4.9])
async def test_clocks_may_differ_a_little(webhook: WebhookProvider, minutes: float) -> None:
    assert webhook.event(signed(told(), at=NOW + timedelta(minutes=minutes)), told(), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 9_000, told(id=None), told(id=""), told(id="a b"), told(id="x" * 129),
        told(reference=7), told(reference="../x"), told(finding="perhaps"), told(finding=None), told(finding=[]),
        told(occurred_at=None), told(occurred_at="yesterday"), told(occurred_at="2026-11-20T09:59:00"),
        told(occurred_at="0001-01-01T00:00:00+05:00"), told(occurred_at="2026-11-20T10:06:00Z"),
    ],
)  # fmt: skip
async def test_a_signed_webhook_that_says_nonsense_is_invalid(webhook: WebhookProvider, body: bytes) -> None:
    with pytest.raises(Invalid):
        webhook.event(signed(body), body, NOW)


async def test_a_webhook_that_is_too_long_is_not_even_hashed(webhook: WebhookProvider) -> None:
    body = told(more="x" * 16_384)
    with pytest.raises(TooLarge):
        webhook.event(signed(body), body, NOW)


async def test_what_a_refusal_says_quotes_nothing(webhook: WebhookProvider) -> None:
    body = told(finding="canary-31c4")
    with pytest.raises(RefiError) as refused:
        webhook.event(signed(body), body, NOW)
    assert "canary" not in str(refused.value)
