"""The tables of anchoring."""

from sqlalchemy import BigInteger, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base


class AnchorRow(Base):
    """An anchor, written before it is sent so that a crash in between is found and finished."""

    __tablename__ = "anchors"

    log_id: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    heads_root: Mapped[bytes] = mapped_column(LargeBinary(32))
    state: Mapped[str] = mapped_column(String(16))
    recorded_at: Mapped[str] = mapped_column(String(27))
    tx_hash: Mapped[str | None] = mapped_column(String(66))
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    gas_used: Mapped[int | None] = mapped_column(BigInteger)
    eas_tx_hash: Mapped[str | None] = mapped_column(String(66))


class AnchorRequestRow(Base):
    """Somebody asked for an anchor now; served by the first one that holds the record of it."""

    __tablename__ = "anchor_requests"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    log_id: Mapped[bytes] = mapped_column(LargeBinary(32))
    actor: Mapped[str] = mapped_column(String(200))
    requested_at: Mapped[str] = mapped_column(String(27))
    record_id: Mapped[int] = mapped_column(BigInteger)
    served_by: Mapped[int | None] = mapped_column(BigInteger, index=True)
