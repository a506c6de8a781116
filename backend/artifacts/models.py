"""The table of published artifacts."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, deferred, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class PinRow(Base):
    """An artifact; `content` is held until the store keeps it."""

    __tablename__ = "pins"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    cid: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(8), index=True)
    profile: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(BigInteger)
    # Megabytes that no listing needs: asked for by name only
    content: Mapped[bytes | None] = deferred(mapped_column(LargeBinary), raiseload=True)
