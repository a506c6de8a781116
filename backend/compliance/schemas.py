"""Credentials and a wallet's standing on the wire."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backend.compliance.types import CredentialType, Standing, Watching
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class CredentialIn(BaseModel):
    """A credential to issue; without an end it holds until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    address: Address
    type: CredentialType
    expires_at: AwareDatetime | None = None


class HeldCredentialOut(BaseModel):
    """A credential that the caller has; expires_at null for never."""

    type: CredentialType
    expires_at: datetime | None
    is_expired: bool


class CapOut(BaseModel):
    """What bounds one order on chain, in USD; opened_at null before the first credential."""

    cap: Decimal
    opened_at: datetime | None
    review: str


class VolumeOut(BaseModel):
    """What counts towards the limit on chain, in USD."""

    recorded: Decimal
    unsettled: Decimal
    limit: Decimal
    window_seconds: int


class WatchingOut(BaseModel):
    """The rules' version, and when and up to which block the chain was last looked at."""

    version: int
    block_number: int
    seen_at: datetime | None
    age_seconds: float | None
    lag_blocks: int | None

    @classmethod
    def of(cls, watching: Watching) -> Self:
        """Return it as the API shows it."""
        age = None if watching.age is None else watching.age.total_seconds()
        return cls(
            version=watching.version,
            block_number=watching.block_number,
            seen_at=watching.seen_at,
            age_seconds=age,
            lag_blocks=watching.lag,
        )


class StandingOut(BaseModel):
    """Where a wallet stands with the rules on chain; null where the deployment has no such rule."""

    address: str
    ccid: str
    credentials: list[HeldCredentialOut]
    cap: CapOut | None
    volume: VolumeOut | None
    sanctions_list: str | None
    rules: WatchingOut

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """Return it as the API shows it, amounts in USD."""
        cap, volume = standing.cap, standing.volume
        return cls(
            address=standing.address,
            ccid=standing.ccid,
            credentials=[HeldCredentialOut(**asdict(credential)) for credential in standing.credentials],
            cap=None if cap is None else CapOut(cap=_usd(cap.cap), opened_at=cap.opened_at, review=cap.review),
            volume=None
            if volume is None
            else VolumeOut(
                recorded=_usd(volume.recorded),
                unsettled=_usd(volume.unsettled),
                limit=_usd(volume.limit),
                window_seconds=int(volume.window.total_seconds()),
            ),
            sanctions_list=standing.sanctions_list,
            rules=WatchingOut.of(standing.watching),
        )


def _usd(units: int) -> Decimal:
    return from_units(units, NOTIONAL_DECIMALS)


class CredentialOut(BaseModel):
    """A credential on chain, and the transaction that put it there or took it."""

    address: str
    type: CredentialType
    ccid: str
    expires_at: datetime | None
    tx_hash: str
    block_number: int
