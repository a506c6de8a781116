"""Orders, positions and cash in exact integers, and how they compared with the venue's books."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")
# Text, so that queries say it word by word: a planner uses the index where a query repeats its condition.
OPEN_FEES = text("rebate_units IS NULL AND fee_units > 0")


class CashRow(Base):
    """An account's cash, 1e-10 USD: a quantity unit times a price unit. Its lock orders the account's orders."""

    __tablename__ = "cash"

    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), primary_key=True)
    units: Mapped[int] = mapped_column(BigInteger)


class PositionRow(Base):
    """An account's shares of an instrument (1e-6) and what was paid for them without fees (1e-10 USD)."""

    __tablename__ = "positions"

    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), primary_key=True)
    instrument: Mapped[str] = mapped_column(String(32), primary_key=True)
    quantity_units: Mapped[int] = mapped_column(BigInteger)
    cost_units: Mapped[int] = mapped_column(BigInteger)


class OrderRow(Base):
    """An order and what became of it: quantity 1e-6 shares, price 1e-4 USD, notional, fee and rebate 1e-6 USD.

    rebate None: the fee is not settled.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "client_key"),
        Index(None, "state", "account_id"),
        Index("ix_orders_open_fees", "ordered_at", "account_id", sqlite_where=OPEN_FEES, postgresql_where=OPEN_FEES),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    order_id: Mapped[str] = mapped_column(String(32), unique=True)
    account_id: Mapped[int] = mapped_column(Identity, ForeignKey("accounts.id"), index=True)
    client_key: Mapped[str] = mapped_column(String(160))
    instrument: Mapped[str] = mapped_column(String(32))
    side: Mapped[str] = mapped_column(String(4))
    quantity_units: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    gate: Mapped[str] = mapped_column(String(16))
    rule: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(500))
    decision_id: Mapped[str] = mapped_column(String(32), unique=True)
    model: Mapped[str] = mapped_column(String(64))
    compliance_receipt: Mapped[str] = mapped_column(String(64))
    risk_decision: Mapped[str] = mapped_column(String(32))
    venue_order_id: Mapped[str] = mapped_column(String(64))
    price_units: Mapped[int | None] = mapped_column(BigInteger)
    notional_units: Mapped[int | None] = mapped_column(BigInteger)
    fee_units: Mapped[int | None] = mapped_column(BigInteger)
    rebate_units: Mapped[int | None] = mapped_column(BigInteger)
    ordered_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    record_account: Mapped[str] = mapped_column(String(43))
    record_seq: Mapped[int] = mapped_column(BigInteger)
    record_commitment: Mapped[str] = mapped_column(String(43))
    record_id: Mapped[int] = mapped_column(BigInteger)


class ReconciliationRow(Base):
    """How an account's fills of a business day compared with the venue's at the last look; "" is every account."""

    __tablename__ = "reconciliations"
    __table_args__ = (UniqueConstraint("day", "account"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    account: Mapped[str] = mapped_column(String(43), index=True)
    venue: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[dict[str, Any]] = mapped_column(JSON)
    differences: Mapped[int] = mapped_column(Integer)
    reconciled_at: Mapped[datetime] = mapped_column(UtcDateTime)
