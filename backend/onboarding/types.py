"""A case: who asks to be identified, how far that is, and what stands on chain because of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from backend.ports.identity_provider import CaseKind, Finding
from backend.ports.screening import Outcome, ScreeningSubject


class CaseState(StrEnum):
    """How far a case is."""

    STARTED = "started"
    PENDING = "pending"
    NEEDS_REVIEW = "needs_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Standing(StrEnum):
    """What the chain holds because of a case: nothing, or what is to be put there or taken from there."""

    NONE = "none"
    DUE = "due"
    ISSUED = "issued"
    LEAVING = "leaving"


class MemberState(StrEnum):
    """How far a further wallet of an organisation is."""

    INVITED = "invited"
    ACCEPTED = "accepted"
    REGISTERED = "registered"
    LEAVING = "leaving"


class Act(StrEnum):
    """What moves a case: accept is a provider's yes that needs nobody, approve an operator's."""

    SUBMIT = "submit"
    REFER = "refer"
    ACCEPT = "accept"
    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    RENEW = "renew"
    WITHDRAW = "withdraw"


class Verdict(StrEnum):
    """What an operator decides."""

    APPROVE = "approve"
    REJECT = "reject"


class Reason(StrEnum):
    """Why a case was decided, as a code: words could hold what must not be recorded."""

    DOCUMENTS_VERIFIED = "documents_verified"
    DOCUMENTS_INVALID = "documents_invalid"
    DATA_MISMATCH = "data_mismatch"
    SANCTIONS_HIT = "sanctions_hit"
    POLITICALLY_EXPOSED = "politically_exposed"
    JURISDICTION = "jurisdiction"
    SUSPECTED_FRAUD = "suspected_fraud"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Personal:
    """What is known of an applicant; it stands encrypted in the case and nowhere else.

    redirect_url and reference are the provider's: where the applicant goes on, and the review's name there.
    """

    name: str
    birth_date: date | None
    country: str
    reference: str = ""
    redirect_url: str = ""


@dataclass(frozen=True, slots=True)
class Screened:
    """What a screening said: its outcome, and a hash that names the result (with the lists' versions) in the log."""

    outcome: Outcome
    reference: str


@dataclass(frozen=True, slots=True)
class Terms:
    """How long credentials hold, how long before their end a renewal is due, who decides on organisations.

    Durations are of the business clock; four_eyes: an organisation needs two operators.
    """

    lifetime: timedelta
    notice: timedelta
    four_eyes: bool


class SubjectScreening(Protocol):
    """Compares a case's subject with the lists in force, and knows what reviewers decided of its hits."""

    async def screen(self, case_id: int, subject: ScreeningSubject) -> Screened:
        """Return what is found now; Unavailable where no list is in force."""
        ...

    async def forget(self, session: Any, case_id: int) -> None:
        """Let go of what tells who a case's subject was, in the caller's transaction."""
        ...

    async def erase(self, session: Any, case_id: int) -> None:
        """Delete what is kept of a case's screening, all but what blocks, in the caller's transaction."""
        ...

    async def lists(self) -> str:
        """Return a hash of the lists in force: another one means that every case is screened again."""
        ...

    async def names(self, wallet: str) -> bool:
        """Return whether a list in force names a wallet; where none is in force none does."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A case as its owner and operators see it: nothing of who the applicant is.

    expires_at, opened_at and decided_at are business times; issued says that what was decided stands on chain; seconded
    that one of two operators has approved.
    reference_sha256 names the provider's review, screening the newest screening's outcome ("" for none).
    """

    id: int
    address: str
    kind: CaseKind
    state: CaseState
    round: int
    provider: str
    reference_sha256: str
    finding: Finding | None
    screening: Outcome | None
    reason: str
    issued: bool
    renewal_due: bool
    seconded: bool
    opened_at: datetime
    decided_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
    """A further wallet of an organisation; a signatory may name and remove others."""

    address: str
    signatory: bool
    state: MemberState


@dataclass(frozen=True, slots=True)
class OwnCase:
    """A case as its owner sees it: where to go on, and an organisation's further wallets."""

    case: Case
    redirect_url: str
    members: Sequence[Member]
