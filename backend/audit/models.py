"""The tables of the audit log."""

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base

# SQLite numbers rows by itself only in a column of type INTEGER, and keeps such a table in key order.
BigKey = BigInteger().with_variant(Integer, "sqlite")


class AccountRow(Base):
    """The end of an account's chain; the row that every record of the account locks."""

    __tablename__ = "audit_accounts"

    account: Mapped[str] = mapped_column(String(43), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[bytes] = mapped_column(LargeBinary(32))
    ts_recorded: Mapped[str] = mapped_column(String(27))


class RecordRow(Base):
    """A record with everything that is private about it."""

    __tablename__ = "audit_records"
    __table_args__ = (UniqueConstraint("account", "seq"), Index(None, "account", "entry_index"))

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    account: Mapped[str] = mapped_column(String(43), ForeignKey(AccountRow.account))
    seq: Mapped[int] = mapped_column(BigInteger)
    event: Mapped[str] = mapped_column(String(100))
    commitment: Mapped[bytes] = mapped_column(LargeBinary(32))
    prev: Mapped[bytes] = mapped_column(LargeBinary(32))
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))
    fields: Mapped[str] = mapped_column(Text)
    ts_recorded: Mapped[str] = mapped_column(String(27))
    epoch: Mapped[int] = mapped_column(BigInteger)
    erased: Mapped[bool] = mapped_column(Boolean, default=False)
    retained: Mapped[str | None] = mapped_column(Text)
    entry_index: Mapped[int | None] = mapped_column(BigInteger, unique=True)


class EntryRow(Base):
    """A public entry of the log."""

    __tablename__ = "audit_entries"

    index: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    entry: Mapped[str] = mapped_column(String(512))
    record_id: Mapped[int] = mapped_column(BigKey)


class TileRow(Base):
    """256 neighbours of one level and the complete subtrees on them, as `backend.audit.engine.nodes` lays them out."""

    __tablename__ = "audit_tiles"

    tile: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    width: Mapped[int]
    hashes: Mapped[bytes] = mapped_column(LargeBinary)


class CheckpointRow(Base):
    """A signed checkpoint."""

    __tablename__ = "audit_checkpoints"

    size: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    note: Mapped[str] = mapped_column(Text)
    signed_at: Mapped[str] = mapped_column(String(27))


class LogStateRow(Base):
    """The one row of a deployment: the system account, the tree that the sequencer extends, and who is elected."""

    __tablename__ = "audit_state"

    name: Mapped[str] = mapped_column(String(8), primary_key=True)
    system_account: Mapped[str] = mapped_column(String(43))
    size: Mapped[int] = mapped_column(BigInteger)
    frontier: Mapped[bytes] = mapped_column(LargeBinary)
    holder: Mapped[str] = mapped_column(String(64))
    lease_until: Mapped[str] = mapped_column(String(27))
