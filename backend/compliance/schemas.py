"""Credentials on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backend.compliance.types import CredentialType

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class CredentialIn(BaseModel):
    """A credential to issue; without an end it holds until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    type: CredentialType
    expires_at: AwareDatetime | None = None


class CredentialOut(BaseModel):
    """A credential on chain, and the transaction that put it there or took it."""

    address: str
    type: CredentialType
    ccid: str
    expires_at: datetime | None
    tx_hash: str
    block_number: int
