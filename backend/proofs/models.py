"""The tables behind VaR attestations: secret salts, closed epochs, published returns, attestations."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class EpochRow(Base):
    """An account's positions at the end of an epoch, in universe order, and the record that commits to them.

    salt: this epoch's own; whoever has it can try position vectors against the public commitment.
    """

    __tablename__ = "epochs"
    __table_args__ = (UniqueConstraint("account", "epoch"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    account: Mapped[str] = mapped_column(String(43))
    subject: Mapped[str] = mapped_column(String(42), index=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    universe_id: Mapped[str] = mapped_column(String(66))
    positions: Mapped[list[int]] = mapped_column(JSON)
    salt: Mapped[str] = mapped_column(String(66))
    commitment: Mapped[str] = mapped_column(String(66))
    record_id: Mapped[int] = mapped_column(Identity)
    record_seq: Mapped[int] = mapped_column(BigInteger)


class RefusedEpochRow(Base):
    """Why an account's epoch was not committed to, as it was last recorded."""

    __tablename__ = "refused_epochs"

    account: Mapped[str] = mapped_column(String(43), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    reason: Mapped[str] = mapped_column(Text)


class ClosedDayRow(Base):
    """An epoch that was closed, which stays known when all that it said of accounts is erased."""

    __tablename__ = "closed_days"

    epoch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class PublicationRow(Base):
    """A matrix that the returns oracle holds; second: "agrees" or "differs", what a second publisher found."""

    __tablename__ = "returns_publications"

    universe_id: Mapped[str] = mapped_column(String(66), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    returns_id: Mapped[str] = mapped_column(String(66))
    cid: Mapped[str] = mapped_column(String(64))
    prices: Mapped[list[int]] = mapped_column(JSON)
    packed: Mapped[bytes] = mapped_column(LargeBinary)
    tx_hash: Mapped[str] = mapped_column(String(66))
    second: Mapped[str] = mapped_column(String(16))


class AttestationRow(Base):
    """What became of a claim: attested, proved but not yet on chain, or breached (then without a proof)."""

    __tablename__ = "attestations"
    __table_args__ = (UniqueConstraint("subject", "epoch", "policy_id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    account: Mapped[str] = mapped_column(String(43), index=True)
    subject: Mapped[str] = mapped_column(String(42))
    epoch: Mapped[int] = mapped_column(BigInteger)
    policy_id: Mapped[str] = mapped_column(String(66))
    state: Mapped[str] = mapped_column(String(8))
    var: Mapped[str] = mapped_column(String(64))
    limit: Mapped[str] = mapped_column(String(64))
    es: Mapped[str | None] = mapped_column(String(64))
    es_limit: Mapped[str | None] = mapped_column(String(64))
    proof: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    tx_hash: Mapped[str | None] = mapped_column(String(66))
    gas_used: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class FailureRow(Base):
    """Why the newest attempt to attest an epoch came to nothing: the kind of fault."""

    __tablename__ = "failed_attestations"

    subject: Mapped[str] = mapped_column(String(42), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    policy_id: Mapped[str] = mapped_column(String(66), primary_key=True)
    reason: Mapped[str] = mapped_column(String(64))
    failed_at: Mapped[datetime] = mapped_column(UtcDateTime)
