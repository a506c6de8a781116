"""Sign-in and accounts on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.accounts.types import Role


class NonceOut(BaseModel):
    """What the message to sign must say."""

    nonce: str
    domain: str
    uri: str
    version: Literal["1"] = "1"
    chain_id: int
    statement: str
    issued_at: datetime
    expiration_time: datetime


class LoginIn(BaseModel):
    """A signed EIP-4361 message."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(min_length=1)]
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{130}$")]


class UserOut(BaseModel):
    """The signed-in account as its owner sees it."""

    account_id: int
    address: str
    pseudonym: str
    roles: list[Role]


class SessionOut(BaseModel):
    """An access token for the Authorization header; the refresh token is a cookie."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    user: UserOut


class MeOut(BaseModel):
    """The caller, null for a stranger."""

    user: UserOut | None


class RolesIn(BaseModel):
    """The roles that an account shall have; trader stays."""

    model_config = ConfigDict(extra="forbid")

    roles: Annotated[list[Role], Field(max_length=len(Role))]


class RoleIn(BaseModel):
    """One more role for an account."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class AccountOut(BaseModel):
    """An account as an administrator sees it."""

    account_id: int
    address: str
    opened_at: datetime
    roles: list[Role]


class AccountsOut(BaseModel):
    """A page of accounts."""

    items: list[AccountOut]
    next_before: int | None
