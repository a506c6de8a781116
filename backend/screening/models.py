"""Lists in force, the newest screening of everybody, and hits with what was decided on them."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Boolean, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class ScreeningListRow(Base):
    """A list in force, replaced as a whole; its file is kept by the version."""

    __tablename__ = "screening_lists"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    format: Mapped[str] = mapped_column(String(24))
    version: Mapped[str] = mapped_column(String(64))
    entries: Mapped[int]
    loaded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScreeningRecord(Base):
    """The newest screening of a subject; lists_key names all list versions that it looked at.

    listed: the wallets that stand on the chain's list because of it; unsettled: what follows from the outcome is not
    carried out yet.
    """

    __tablename__ = "screening_records"

    reference: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(8), index=True)
    lists_key: Mapped[str] = mapped_column(String(64), index=True)
    wallets: Mapped[list[str]] = mapped_column(JSON)
    listed: Mapped[list[str]] = mapped_column(JSON)
    unsettled: Mapped[bool] = mapped_column(Boolean, index=True)
    screened_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScreeningHitRow(Base):
    """A subject and an entry that look alike; a decision holds as long as neither changes.

    fingerprint: the subject as it was, under a key that is not in the database; none once the subject is forgotten.
    """

    __tablename__ = "screening_hits"
    __table_args__ = (
        UniqueConstraint(
            "reference", "fingerprint", "list_name", "entry_id", "content_sha256", name="uq_screening_hits_pair"
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    reference: Mapped[str] = mapped_column(String(64), index=True)
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    list_name: Mapped[str] = mapped_column(String(40))
    list_version: Mapped[str] = mapped_column(String(64))
    entry_id: Mapped[str] = mapped_column(String(200))
    content_sha256: Mapped[str] = mapped_column(String(64))
    matched_name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(8))
    score: Mapped[int]
    reasons: Mapped[list[str]] = mapped_column(JSON)
    wallet: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(10), index=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
