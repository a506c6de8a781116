"""The table of submitted models."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime


class ModelRow(Base):
    """A model, the proposal to promote it and its state as last seen on chain."""

    __tablename__ = "models"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    weights_cid: Mapped[str] = mapped_column(String(64))
    description_cid: Mapped[str] = mapped_column(String(64))
    torchscript_cid: Mapped[str] = mapped_column(String(64))
    card_cid: Mapped[str] = mapped_column(String(64))
    report_cid: Mapped[str] = mapped_column(String(64))
    feature_schema_sha256: Mapped[str] = mapped_column(String(64))
    proposal: Mapped[dict[str, Any]] = mapped_column(JSON)
    proposal_id: Mapped[str] = mapped_column(String(78), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    proposal_state: Mapped[str] = mapped_column(String(16), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
