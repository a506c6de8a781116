"""What the rules answered, which rules were in force, and what accounts have traded under them."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class ComplianceReceipt(Base):
    """A verdict as canonical JSON and its SHA-256 in hex."""

    __tablename__ = "compliance_receipts"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    json: Mapped[str] = mapped_column(Text)


class ComplianceRules(Base):
    """The one row that moves whenever anything on chain changes that a verdict may rest on.

    seen_at (wall clock) is when the watcher last saw the chain up to this block, None before it ever did.
    """

    __tablename__ = "compliance_rules"

    name: Mapped[str] = mapped_column(String(8), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_hash: Mapped[str] = mapped_column(String(66))
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, nullable=True)


class TradedVolume(Base):
    """What an account has traded in all and what of it was last seen settled on chain and where, USD x 1e6."""

    __tablename__ = "traded_volumes"

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(String(42), unique=True)
    cumulative_units: Mapped[int] = mapped_column(BigInteger)
    settled_units: Mapped[int] = mapped_column(BigInteger)
    settled_block: Mapped[int] = mapped_column(BigInteger)
