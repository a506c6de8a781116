"""What the compliance gate gives to the risk gate, and nobody else can make."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from backend.decisions.types import Decision
from backend.ports.policy import OrderCheck, Verdict

Word = Literal["allowed", "refused", "grace"]


@dataclass(frozen=True, slots=True)
class ClearedDecision:
    """A decision that the on-chain rules allow; only the compliance gate builds it.

    price is the close in USD that the rules were asked with, notional = quantity x price in USD, cut to six decimals.
    rules_version is the version of the rules that the verdict stands on; model_state see `model_state_of`.
    """

    decision: Decision
    account_id: int
    subject: str
    price: Decimal
    notional: Decimal
    receipt_id: int
    receipt_sha256: str
    rules_version: int = 0
    verdict: str = "allowed"
    model_state: str = ""


@dataclass(frozen=True, slots=True)
class GateTerms:
    """How long a verdict counts for the same question, a grace for reductions, and a watcher's last look (wall clock).

    paper: models that are not in production trade, marked as such; only where the venue has no money.
    """

    cache_lifetime: timedelta = timedelta(0)
    grace: timedelta = timedelta(0)
    watched_within: timedelta = timedelta(0)
    paper: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What the rules are asked about a decision, and the price in USD that its notional comes from."""

    order: OrderCheck
    price: Decimal


@dataclass(frozen=True, slots=True)
class Ruling:
    """The rules' word on a question, when they gave it (wall clock), and their version before they were asked."""

    word: Word
    verdict: Verdict
    version: int
    at: datetime


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


@dataclass(frozen=True, slots=True)
class CapOnChain:
    """An account's cap for one order, USD x 1e6; opened_at None before it counts; review's hash, "" for none."""

    cap: int
    opened_at: datetime | None
    review: str


@dataclass(frozen=True, slots=True)
class Watching:
    """The rules' version, the block up to which they were watched, and how far behind that is.

    age is since the last look (None: never); lag is blocks between the look and the head, None where the chain is away.
    """

    version: int
    block_number: int
    seen_at: datetime | None
    age: timedelta | None
    lag: int | None


@dataclass(frozen=True, slots=True)
class HeldCredential:
    """A credential that a wallet has; expires_at None for never."""

    type: CredentialType
    expires_at: datetime | None
    is_expired: bool


@dataclass(frozen=True, slots=True)
class VolumeOnChain:
    """What counts towards the limit in its window, USD x 1e6: recorded on chain, and traded but not settled yet."""

    recorded: int
    unsettled: int
    limit: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rules on chain hold about a wallet; None where a deployment has no such rule."""

    address: str
    ccid: str
    credentials: tuple[HeldCredential, ...]
    cap: CapOnChain | None
    volume: VolumeOnChain | None
    sanctions_list: str | None
    watching: Watching
