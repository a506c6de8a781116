"""Accounts, sign-in nonces and sessions."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class Account(Base):
    """A wallet that has signed in; the pseudonym is what the log calls it."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    address: Mapped[str] = mapped_column(String(42), unique=True)
    pseudonym: Mapped[str] = mapped_column(String(43), unique=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    roles: Mapped[list[str]] = mapped_column(JSON)


class Nonce(Base):
    """A challenge that one browser may answer once."""

    __tablename__ = "sign_in_nonces"

    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    cookie_sha256: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RefreshFamily(Base):
    """A session: all refresh tokens that descend from one sign-in."""

    __tablename__ = "refresh_families"

    id: Mapped[str] = mapped_column(String(43), primary_key=True)
    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), index=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_because: Mapped[str | None] = mapped_column(String(32))


class RefreshToken(Base):
    """One link of a session's chain: good once; a second use kills the family."""

    __tablename__ = "refresh_tokens"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    family_id: Mapped[str] = mapped_column(String(43), ForeignKey("refresh_families.id"), index=True)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
