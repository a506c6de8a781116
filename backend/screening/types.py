"""Who is screened again and again, what was found of them, and what a person decided on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from backend.ports.screening import HitKind, ListFormat, ScreeningSubject


class HitState(StrEnum):
    """How far a hit is; lapsed: neither the list nor the subject says so any more."""

    OPEN = "open"
    CLEARED = "cleared"
    CONFIRMED = "confirmed"
    LAPSED = "lapsed"


class Decision(StrEnum):
    """What a reviewer decides: another person, or the one on the list."""

    CLEARED = "cleared"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class KnownSubject:
    """Somebody to screen again when a list changes; the reference says nothing of who they are."""

    reference: str
    subject: ScreeningSubject


class Subjects(Protocol):
    """Hands out everybody who is known, a page at a time, in an order that stays."""

    async def count(self, session: Any, lists_key: str) -> int:
        """Return how many are not screened against these lists yet."""
        ...

    async def unscreened(self, session: Any, lists_key: str, after: str, limit: int) -> Sequence[KnownSubject]:
        """Return those who are not screened against these lists yet, behind a reference."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedList:
    """A list in force; stale: older than it may be."""

    name: str
    format: ListFormat
    version: str
    entries: int
    loaded_at: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class ListUpdate:
    """What a list file changed; job: what screens everybody again, empty where nothing changed."""

    loaded: LoadedList
    version_before: str
    entries_before: int
    job: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that somebody looks like, as a reviewer sees it."""

    id: int
    reference: str
    list_name: str
    list_version: str
    entry_id: str
    matched_name: str
    kind: HitKind
    score: int
    reasons: tuple[str, ...]
    wallet: bool
    state: HitState
    opened_at: datetime
    decided_at: datetime | None
    decided_by: str
