"""The table of log bundles."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime


class BundleRow(Base):
    """A bundle of the entries start <= index < end; the anchors below `anchor_end` are in it or in one before it."""

    __tablename__ = "log_bundles"

    # A bundle begins where the one before it ends: the key lets each be made once.
    start: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    end: Mapped[int] = mapped_column(BigInteger)
    anchor_end: Mapped[int] = mapped_column(BigInteger)
    cid: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
