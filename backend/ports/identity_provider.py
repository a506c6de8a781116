"""Who looks at identity documents (KYC of people, KYB of organisations); the documents never come here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol


class CaseKind(StrEnum):
    """What is identified: a person (KYC) or an organisation (KYB)."""

    PERSON = "person"
    ORGANISATION = "organisation"


class Finding(StrEnum):
    """What a provider says about a review; `referred` means that a person here must look."""

    PENDING = "pending"
    REFERRED = "referred"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Applicant:
    """Whom a provider looks at; key is random, names one review and is safe to send again.

    birth_date is None for an organisation, country an ISO 3166 alpha-2 code.
    """

    key: str
    kind: CaseKind
    name: str
    birth_date: date | None
    country: str


@dataclass(frozen=True, slots=True)
class StartedReview:
    """A review at the provider: its reference, where the applicant goes on ("" for nowhere), what is found so far."""

    reference: str
    redirect_url: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider told by itself: verified, but perhaps old or told before; event_id is the provider's own."""

    event_id: str
    reference: str
    finding: Finding
    occurred_at: datetime


class IdentityProvider(Protocol):
    """Looks at people and organisations; raises Unavailable when it does not answer or answers nonsense."""

    @property
    def name(self) -> str:
        """What the records call it."""
        ...

    async def start(self, applicant: Applicant) -> StartedReview:
        """Begin a review; the same key gives the same review."""
        ...

    async def status(self, reference: str) -> Finding:
        """Return what was found so far; NotFound for a review that there is not."""
        ...

    def event(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderEvent:
        """Return what a callback says (names of headers in lower case, wall clock).

        Unauthorized unless it is signed and fresh, Invalid when it is malformed, NotFound when this provider has none.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
