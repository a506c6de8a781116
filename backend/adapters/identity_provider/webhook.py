"""An outside provider: reviews begin with a REST call, findings come as signed webhooks or are asked for."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from backend.adapters.rest import RestApi
from backend.kernel.canonical import require_shallow
from backend.kernel.errors import Invalid, NotFound, TooLarge, Unauthorized, Unavailable
from backend.ports.identity_provider import Applicant, Finding, ProviderEvent, StartedReview

SIGNATURE, TIMESTAMP = "webhook-signature", "webhook-timestamp"
MAX_EVENT_BYTES = 16_384
PROVIDER = "the identity provider"
NOT_FOUND, TAKEN = 404, {200, 201}
# An older webhook may be a recorded one; the same bound ahead, for clocks that differ.
TOLERANCE = timedelta(minutes=5)
MIN_SECRET_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
SIGNED = re.compile(r"[0-9a-f]{64}")
SECONDS = re.compile(r"[0-9]{1,12}")


class WebhookProvider:
    """Asks a provider's REST interface; believes webhooks that carry an HMAC-SHA256 of one of the shared secrets.

    Two secrets are valid while they are rotated. The provider's answers are bounded in time and size, and no redirect
    is followed.
    """

    name = "webhook"

    def __init__(
        self, url: str, api_key: str, secrets: Sequence[str], *, timeout: timedelta = timedelta(seconds=10)
    ) -> None:
        if not 1 <= len(secrets) <= 2 or any(len(secret) < MIN_SECRET_BYTES for secret in secrets):
            raise Invalid(f"one or two webhook secrets of at least {MIN_SECRET_BYTES} bytes are needed")
        if not api_key:
            raise Invalid("the identity provider needs an API key")
        self._secrets = [secret.encode() for secret in secrets]
        self._api = RestApi(PROVIDER, url, {"Authorization": f"Bearer {api_key}"}, timeout)

    async def start(self, applicant: Applicant) -> StartedReview:
        """Begin a review; the provider knows a repeat by its Idempotency-Key."""
        told = {
            "external_id": applicant.key,
            "kind": applicant.kind.value,
            "name": applicant.name,
            "country": applicant.country,
        }
        if applicant.birth_date is not None:
            told["birth_date"] = applicant.birth_date.isoformat()
        answer = await self._ask("POST", "/reviews", applicant.key, told)
        return StartedReview(_reference(answer), _redirect(answer), _finding(answer, Unavailable))

    async def status(self, reference: str) -> Finding:
        """Return what was found so far."""
        if NAME.fullmatch(reference) is None:
            raise NotFound("no such review")
        answer = await self._ask("GET", f"/reviews/{quote(reference, safe='')}")
        if _reference(answer) != reference:
            raise Unavailable("the identity provider answers about another review")
        return _finding(answer, Unavailable)

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Return what a webhook says; nothing of it is parsed before its signature is good."""
        if len(body) > MAX_EVENT_BYTES:
            raise TooLarge(f"a webhook has at most {MAX_EVENT_BYTES} bytes")
        stamp = headers.get(TIMESTAMP, "")
        signatures = headers.get(SIGNATURE, "").split(",")[:2]
        if not self._signed(stamp, body, signatures):
            raise Unauthorized("the webhook is not signed")
        if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
            raise Unauthorized("the webhook is not fresh")
        told = _object(body)
        event_id, occurred_at = told.get("id"), _moment(told.get("occurred_at"))
        if not isinstance(event_id, str) or NAME.fullmatch(event_id) is None:
            raise Invalid("the webhook has no id")
        # One that lies ahead would make every later one look old.
        if occurred_at > now + TOLERANCE:
            raise Invalid("the webhook is about the future")
        return ProviderEvent(event_id, _reference(told, Invalid), _finding(told, Invalid), occurred_at)

    async def close(self) -> None:
        """Give the connections back."""
        await self._api.close()

    def _signed(self, stamp: str, body: bytes, signatures: Sequence[str]) -> bool:
        if SECONDS.fullmatch(stamp) is None:
            return False
        good = False
        for secret in self._secrets:
            expected = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
            for signature in signatures:
                # compare_digest takes ASCII only; each pair is compared, so that time tells nothing.
                shaped = SIGNED.fullmatch(signature.strip()) is not None
                good |= shaped and hmac.compare_digest(expected, signature.strip())
        return good

    async def _ask(
        self, method: str, path: str, key: str = "", told: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        status, answer = await self._api.ask(method, path, told, {"Idempotency-Key": key} if key else None)
        if status == NOT_FOUND and told is None:
            raise NotFound("no such review")
        if status not in TAKEN:
            raise Unavailable(f"{PROVIDER} answers {status}")
        return answer


def signature_of(secret: str, stamp: str, body: bytes) -> str:
    """Return what a provider signs a webhook with: HMAC-SHA256 over `timestamp.body`, in hex."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _object(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
        require_shallow(text)
        found = json.loads(text)
    except ValueError:
        raise Invalid("the identity provider's words are not JSON") from None
    if not isinstance(found, dict):
        raise Invalid("the identity provider's words are no JSON object")
    return found


def _reference(told: Mapping[str, Any], error: type[Invalid | Unavailable] = Unavailable) -> str:
    reference = told.get("reference")
    if not isinstance(reference, str) or NAME.fullmatch(reference) is None:
        raise error("the identity provider names no review")
    return reference


def _finding(told: Mapping[str, Any], error: type[Invalid | Unavailable]) -> Finding:
    try:
        return Finding(str(told.get("finding")))
    except ValueError:
        raise error("the identity provider names no finding") from None


def _redirect(told: Mapping[str, Any]) -> str:
    url = told.get("redirect_url", "")
    if not isinstance(url, str) or len(url) > 2_000 or not url.isascii() or not url.isprintable():
        raise Unavailable("the identity provider sends the applicant to no address")
    # The applicant's browser goes there: nothing but a web page.
    if url and not _is_web_page(url):
        raise Unavailable("the identity provider sends the applicant to no web page")
    return url


def _is_web_page(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) and len(text) <= 40 else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid("the webhook says no time")
