"""Cases on the wire."""

import unicodedata
from datetime import date, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backend.onboarding.types import Case, CaseState, Member, MemberState, OwnCase, Personal, Reason, Verdict
from backend.ports.identity_provider import CaseKind, Finding
from backend.ports.screening import Outcome

# Letters of these are drawn alike: a word that mixes them is a disguise.
ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN", "COPTIC", "LISU", "GEORGIAN"})
# Letters and signs that are printed as nothing.
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _written(text: str) -> str:
    """Return a name without what cannot be seen; refuse one that has no letter."""
    kept = " ".join(unicodedata.normalize("NFC", text).split())
    if not kept.isprintable() or not any(character.isalpha() for character in kept):
        raise ValueError("a name has letters and nothing that cannot be seen")
    if BLANKS & set(kept) or any(len(_scripts(word)) > 1 for word in kept.split()):
        raise ValueError("a word of a name has letters of one alphabet, and none that looks like nothing")
    return kept


def _scripts(word: str) -> set[str]:
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()} & ALPHABETS


Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_written)]


class CaseIn(BaseModel):
    """Who asks to be identified: a person has a birth date, an organisation none."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: CaseKind
    name: Name
    birth_date: date | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind is CaseKind.PERSON) != (self.birth_date is not None):
            raise ValueError("a person has a birth date, an organisation none")
        if self.birth_date is not None and not date(1880, 1, 1) <= self.birth_date <= date(2200, 1, 1):
            raise ValueError("the birth date is nobody's")
        return self

    def personal(self) -> Personal:
        """Return what is sealed in the case."""
        return Personal(self.name, self.birth_date, self.country)


class CaseOut(BaseModel):
    """A case; nothing of who the applicant is."""

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

    @classmethod
    def of(cls, case: Case) -> Self:
        """Return a case for the wire."""
        return cls.model_validate(case, from_attributes=True)


class MemberOut(BaseModel):
    """A further wallet of an organisation."""

    address: str
    signatory: bool
    state: MemberState

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return a member for the wire."""
        return cls.model_validate(member, from_attributes=True)


class OwnCaseOut(CaseOut):
    """A case as its owner sees it: where to go on at the provider, and an organisation's further wallets."""

    redirect_url: str = ""
    members: list[MemberOut] = []

    @classmethod
    def of_own(cls, own: OwnCase) -> Self:
        """Return one's own case for the wire."""
        shown = cls.of(own.case)
        return shown.model_copy(
            update={"redirect_url": own.redirect_url, "members": [MemberOut.of(one) for one in own.members]}
        )


class QueueOut(BaseModel):
    """Cases that wait for an operator, newest first."""

    items: list[CaseOut]
    next_before: int | None


class PersonalOut(BaseModel):
    """Who the applicant is; that it was asked for is recorded."""

    name: str
    birth_date: date | None
    country: str
    reference: str


class DecisionIn(BaseModel):
    """A decision and why, as a code."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    reason: Reason


class MemberIn(BaseModel):
    """A wallet to name; a signatory may name and remove others."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    signatory: bool = False


class AcceptIn(BaseModel):
    """The organisation whose invitation is taken up."""

    model_config = ConfigDict(extra="forbid")

    case_id: Annotated[int, Field(ge=1, lt=2**63)]


class HeardOut(BaseModel):
    """What became of a webhook: taken up, or known already."""

    taken_up: bool
