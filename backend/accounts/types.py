"""Who is calling, and what signing in can answer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What an account may do."""

    TRADER = "trader"
    REGULATOR = "regulator"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in account: database id, wallet in lower case, pseudonym in the log, roles, session."""

    account_id: int
    address: str
    pseudonym: str
    roles: frozenset[Role]
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """What a client needs to write the message that its wallet signs."""

    nonce: str
    domain: str
    uri: str
    chain_id: int
    statement: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """A message that is well-formed, fresh, meant for this site and signed by the address."""

    address: str
    nonce: str


@dataclass(frozen=True, slots=True)
class SignInFailed:
    """Why a message was not accepted: a word for the log, and its nonce when it could be read."""

    reason: str
    nonce: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in caller with its tokens; the refresh token goes into a cookie only."""

    caller: Caller
    access_token: str
    refresh_token: str
    refresh_seconds: int
    expires_in: int
