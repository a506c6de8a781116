"""Where the business clock stands."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

ONLY_ROW = 1


class BusinessClock(Base):
    """The one row that says which trading day is open."""

    __tablename__ = "business_clock"
    __table_args__ = (CheckConstraint(f"id = {ONLY_ROW}", name="only_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    now: Mapped[datetime] = mapped_column(UtcDateTime)
