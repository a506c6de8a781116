"""Who compares people, organisations and wallets with sanctions lists and lists of politically exposed persons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class SubjectKind(StrEnum):
    """What is screened; entries of the other kind are not compared by name."""

    PERSON = "person"
    ORGANISATION = "organisation"


class HitKind(StrEnum):
    """Why an entry stands on a list."""

    SANCTION = "sanction"
    PEP = "pep"


class Outcome(StrEnum):
    """What a screening says: nothing found, a person must look, or a sanctioned wallet (or a confirmed sanction)."""

    CLEAR = "clear"
    REVIEW = "review"
    BLOCKED = "blocked"


class ListFormat(StrEnum):
    """The public formats that list files come in."""

    OFAC_SDN_XML = "ofac-sdn-xml"
    OFAC_SDN_CSV = "ofac-sdn-csv"
    UN_XML = "un-xml"
    EU_XML = "eu-xml"
    OPENSANCTIONS_JSON = "opensanctions-json"


@dataclass(frozen=True, slots=True)
class ScreeningSubject:
    """Who is screened: every known name, the birth date or only its year, an ISO 3166 alpha-2 country or nothing."""

    kind: SubjectKind
    names: tuple[str, ...]
    birth_date: date | int | None = None
    country: str = ""
    wallets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScreeningList:
    """A list file as it was taken in: the version is the SHA-256 of its bytes in hex."""

    name: str
    format: ListFormat
    version: str
    entries: int


@dataclass(frozen=True, slots=True)
class ScreeningHit:
    """An entry that looks like the subject; score 0 to 100, reasons in words that hold nothing of the subject.

    content_sha256 is the hash of the entry's content: a person's decision on a hit holds for that content only.
    """

    list_name: str
    list_version: str
    entry_id: str
    matched_name: str
    kind: HitKind
    score: int
    reasons: tuple[str, ...]
    wallet: bool = False
    content_sha256: str = ""


@dataclass(frozen=True, slots=True)
class ScreeningResult:
    """What was found, wallets and then the best first, and every list version that was looked at."""

    hits: tuple[ScreeningHit, ...]
    lists: tuple[ScreeningList, ...]
    decided: Outcome


class Screening(Protocol):
    """Keeps list files by their hash and compares subjects with them; it knows nothing of who asks.

    Domains above ask `backend.screening.service.ScreeningService.screen`, which names the lists in force, keeps what
    was found and puts hits before a reviewer.
    """

    async def take_in(self, file: Path, form: ListFormat) -> ScreeningList:
        """Read a whole list and keep its bytes by their hash; Invalid names the line or entry that is malformed."""
        ...

    async def screen(
        self, subjects: Sequence[ScreeningSubject], lists: Sequence[ScreeningList]
    ) -> Sequence[ScreeningResult]:
        """Compare each subject with every entry of the lists; Unavailable where none is given or one is not kept.

        The outcome is of this comparison alone: it knows of no reviewer's decision.
        """
        ...
