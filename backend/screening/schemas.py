"""Lists and hits on the wire."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from backend.ports.screening import HitKind, ListFormat
from backend.screening.types import Decision, HitState


class ListOut(BaseModel):
    """A list in force."""

    name: str
    format: ListFormat
    version: str
    entries: int
    loaded_at: datetime
    stale: bool


class ListsOut(BaseModel):
    """Every list in force; without any nobody can be screened."""

    items: list[ListOut]


class HitOut(BaseModel):
    """An entry that a subject looks like; the subject is a reference only."""

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


class HitsOut(BaseModel):
    """A page of hits, newest first."""

    items: list[HitOut]
    next_before: int | None


class DecisionIn(BaseModel):
    """What a reviewer decides and why."""

    model_config = ConfigDict(extra="forbid")

    decision: Decision
    reason: str = Field(min_length=3, max_length=2_000)
