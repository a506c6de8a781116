"""Cases, the wallets that organisations name, and the webhooks that were heard."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.kit.db import Base, UtcDateTime

Identity = BigInteger().with_variant(Integer, "sqlite")


class OnboardingCase(Base):
    """A wallet's way to its credentials; `sealed` is all that is known of the applicant, empty once it is erased.

    open_for is the account while the case is not over: one an account. review_key names the round's review to the
    provider. provider_at (wall clock) is when the newest finding was made. standing is what the chain holds or is to
    hold because of this case; retry_at (wall clock) is when chain or provider are asked again.
    """

    __tablename__ = "onboarding_cases"

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger, index=True)
    open_for: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    account: Mapped[str] = mapped_column(String(43))
    address: Mapped[str] = mapped_column(String(42))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), index=True)
    round: Mapped[int]
    provider: Mapped[str] = mapped_column(String(16))
    review_key: Mapped[str] = mapped_column(String(32))
    reference_sha256: Mapped[str | None] = mapped_column(String(64), unique=True)
    finding: Mapped[str] = mapped_column(String(16))
    provider_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    screening: Mapped[str] = mapped_column(String(16))
    screening_reference: Mapped[str] = mapped_column(String(64))
    screened_lists: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str] = mapped_column(String(32))
    first_approval_by: Mapped[str] = mapped_column(String(64))
    renewal_due: Mapped[bool]
    ccid: Mapped[str] = mapped_column(String(66))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    standing: Mapped[str] = mapped_column(String(8), index=True)
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class OnboardingMember(Base):
    """A further wallet of an organisation: it is one of one organisation's at most."""

    __tablename__ = "onboarding_members"

    address: Mapped[str] = mapped_column(String(42), primary_key=True)
    case_id: Mapped[int] = mapped_column(Identity, ForeignKey("onboarding_cases.id"), index=True)
    signatory: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16), index=True)


class ProviderEventRow(Base):
    """A webhook that was heard; each has one effect."""

    __tablename__ = "onboarding_provider_events"

    provider: Mapped[str] = mapped_column(String(16), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    case_id: Mapped[int] = mapped_column(Identity, ForeignKey("onboarding_cases.id"), index=True)
    heard_at: Mapped[datetime] = mapped_column(UtcDateTime)
