"""Artifacts on the wire."""

from datetime import datetime

from pydantic import BaseModel

from backend.artifacts.types import PinState


class ArtifactOut(BaseModel):
    """A published artifact: `profile` says how its CID was made, `attempts` how often the store did not take it."""

    cid: str
    kind: str
    size: int
    sha256: str
    state: PinState
    profile: str
    created_at: datetime
    attempts: int


class ArtifactsOut(BaseModel):
    """A page of artifacts."""

    items: list[ArtifactOut]
    next_before: int | None
