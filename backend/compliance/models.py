"""What the rules answered, kept so that it can be asked again."""

from sqlalchemy import BigInteger, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base

Identity = BigInteger().with_variant(Integer, "sqlite")


class ComplianceReceipt(Base):
    """A verdict as canonical JSON and its SHA-256 in hex."""

    __tablename__ = "compliance_receipts"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    json: Mapped[str] = mapped_column(Text)
