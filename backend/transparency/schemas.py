"""Erasures on the wire."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from backend.transparency.types import ACCOUNT_NAME

# Something to read, and nothing that a database cannot keep: PostgreSQL's texts hold no NUL.
Words = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class ErasureIn(BaseModel):
    """Whose records to erase (one's own unless named), up to which epoch, why, and on which legal ground."""

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(pattern=ACCOUNT_NAME)] = "me"
    before_epoch: Annotated[int | None, Field(ge=0, lt=2**31)] = None
    reason: Words
    legal_basis: Words


class ErasureOut(BaseModel):
    """What was erased, what the law keeps, what is left for another call, and the epoch up to which records may go."""

    erased: int
    kept: int
    left: int
    until: int
