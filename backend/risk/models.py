"""Limits, switches, and what the risk gate decided."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class AccountLimits(Base):
    """What is special about an account: its own VaR limit, its review, the highest equity seen (1e-10 USD)."""

    __tablename__ = "risk_accounts"

    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), primary_key=True)
    var_limit_units: Mapped[int | None] = mapped_column(BigInteger)
    reviewed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    peak_equity_units: Mapped[int | None] = mapped_column(BigInteger)


class Switch(Base):
    """A kill switch: "platform" or an account's; each move raises the version."""

    __tablename__ = "kill_switches"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(8))
    version: Mapped[int] = mapped_column(Integer)
    halt_id: Mapped[int | None] = mapped_column(BigInteger)


class HaltRow(Base):
    """One trip of a switch."""

    __tablename__ = "halts"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    scope: Mapped[str] = mapped_column(String(8))
    account_id: Mapped[int | None] = mapped_column(Identity, ForeignKey("accounts.id"), index=True)
    subject: Mapped[str] = mapped_column(String(42))
    state: Mapped[str] = mapped_column(String(8), index=True)
    reason: Mapped[str] = mapped_column(String(500))
    by_system: Mapped[bool] = mapped_column(Boolean)
    tripped_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RiskDecision(Base):
    """The gate's answer to one decision, with the figures that it looked at; an approval is used once."""

    __tablename__ = "risk_decisions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(32), unique=True)
    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), index=True)
    rule: Mapped[str] = mapped_column(String(32))
    figures: Mapped[dict[str, str]] = mapped_column(JSON)
    used: Mapped[bool] = mapped_column(Boolean, default=False)
