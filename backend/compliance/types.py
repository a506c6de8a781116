"""What the compliance gate gives to the risk gate, and nobody else can make."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from backend.decisions.types import Decision


@dataclass(frozen=True, slots=True)
class ClearedDecision:
    """A decision that the on-chain rules allow; only the compliance gate builds it.

    price is the close in USD that the rules were asked with, notional = quantity x price in USD, cut to six decimals.
    """

    decision: Decision
    account_id: int
    subject: str
    price: Decimal
    notional: Decimal
    receipt_id: int
    receipt_sha256: str


class CredentialType(StrEnum):
    """What an issuer may say about a person."""

    KYC = "common.kyc"
    KYB = "common.kyb"
    AML = "common.aml"
    ACCREDITED = "common.accredited"


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A credential as it stands on chain; expires_at None for never."""

    address: str
    type: CredentialType
    ccid: str
    expires_at: datetime | None
    tx_hash: str
    block_number: int
