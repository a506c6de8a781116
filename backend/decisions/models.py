"""Decisions, kept with everything that replays them."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class DecisionRow(Base):
    """A decision; quantity in 1e-6 shares, features and values as the decimals that were recorded."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    decision_id: Mapped[str] = mapped_column(String(32), unique=True)
    account: Mapped[str] = mapped_column(String(43), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    instrument: Mapped[str] = mapped_column(String(32))
    side: Mapped[str] = mapped_column(String(4))
    quantity_units: Mapped[int] = mapped_column(BigInteger)
    model_sha256: Mapped[str | None] = mapped_column(String(64))
    features: Mapped[list[str]] = mapped_column(JSON)
    features_sha256: Mapped[str] = mapped_column(String(64))
    q_values: Mapped[list[str]] = mapped_column(JSON)
    action: Mapped[str] = mapped_column(String(32))
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
