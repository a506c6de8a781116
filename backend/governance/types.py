"""Models that the DAO decides about, and the proposals with which it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from backend.ports.governance import Ballot, Call, Decoded, ModelState, Proposed


class ProposalState(IntEnum):
    """The states of OpenZeppelin's Governor."""

    PENDING = 0
    ACTIVE = 1
    CANCELED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A trained model as it is published.

    `weights` (safetensors) and `description` (canonical JSON) make the model's hash; the others accompany it.
    """

    weights: bytes
    description: bytes
    torchscript: bytes
    card: bytes
    report: bytes
    feature_schema_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelCids:
    """Where a model's files are pinned."""

    weights: str
    description: str
    torchscript: str
    card: str
    report: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a wallet signs to ask for a vote: addresses in EIP-55 form, values in wei."""

    governor: str
    targets: tuple[str, ...]
    values: tuple[int, ...]
    calldatas: tuple[bytes, ...]
    description: str


@dataclass(frozen=True, slots=True)
class GovernedModel:
    """A model that was submitted, with the state in which it was last seen on chain."""

    sha256: str
    cids: ModelCids
    feature_schema_sha256: str
    proposal: Proposal
    proposal_id: int
    state: ModelState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A call as a person writes it: function and arguments, or the whole data in 0x-hex; value in wei."""

    target: str
    function: str = ""
    arguments: tuple[Any, ...] = ()
    data: str = ""
    value: int = 0


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call of a proposal with what it does; decoded is None where the ABIs do not tell."""

    call: Call
    decoded: Decoded | None
    warnings: tuple[str, ...]
    inner: tuple["ShownCall", ...] = ()


@dataclass(frozen=True, slots=True)
class TextCheck:
    """Whether a proposal's calls are what its text says; None where the text says nothing that can be compared."""

    matches: bool | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes with 18 decimals; `needed` is the quorum, which for and abstain count towards."""

    against: int
    for_: int
    abstain: int
    needed: int

    @property
    def is_quorum_reached(self) -> bool:
        """Whether enough take part."""
        return self.for_ + self.abstain >= self.needed


@dataclass(frozen=True, slots=True)
class Timing:
    """Moments in seconds since 1970; zero where there is none. `now` is the latest block's."""

    now: int
    opens_at: int
    closes_at: int
    announced_close: int
    eta: int
    timelock_delay: int

    @property
    def is_extended(self) -> bool:
        """Whether a late quorum keeps the vote open for longer."""
        return self.closes_at > self.announced_close

    @property
    def timelock_percent(self) -> int:
        """How much of the timelock's wait is over."""
        if not self.eta:
            return 0
        left = max(0, self.eta - self.now)
        return 100 if left == 0 else max(0, 100 - 100 * left // max(1, self.timelock_delay))


@dataclass(frozen=True, slots=True)
class Motion:
    """A proposal as it stands on chain."""

    made: Proposed
    description: str
    state: ProposalState
    calls: tuple[ShownCall, ...]
    text: TextCheck
    warnings: tuple[str, ...]
    tally: Tally
    timing: Timing
    ballots: tuple[Ballot, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """How the DAO decides: seconds, votes with 18 decimals, addresses; quorum as a fraction of the supply."""

    governor: str
    timelock: str
    token: str
    guardian: str
    registry_guardian: str
    voting_delay: int
    voting_period: int
    late_extension: int
    timelock_delay: int
    threshold: int
    quorum: int
    quorum_numerator: int
    quorum_denominator: int
    supply: int
    clock_mode: str


@dataclass(frozen=True, slots=True)
class Power:
    """What a wallet can do now: its tokens, whom they vote through, and the votes that it casts (18 decimals).

    staked: tokens that lie in its vault, and vote through whom it named there.
    """

    address: str
    balance: int
    delegate: str
    votes: int
    is_able_to_propose: bool
    staked: int = 0


@dataclass(frozen=True, slots=True)
class StakeTerms:
    """The tiers, lowest first, as (smallest stake in 1e-18 REFI, share of the fees in 1/10,000), as of a block.

    cooldown: seconds that what is asked back waits.
    """

    tiers: tuple[tuple[int, int], ...]
    cooldown: int
    block_number: int


@dataclass(frozen=True, slots=True)
class StakePosition:
    """A wallet's stake, what it asked back and what it holds (1e-18 REFI); `now` is the block's time.

    tier: 0 for none. rebate_bps: what of its fees it gets back, 1/10,000. delegate: who votes with the stake.
    """

    address: str
    staked: int
    pending: int
    available_at: int
    delegate: str
    tier: int
    rebate_bps: int
    balance: int
    now: int
    block_number: int


@dataclass(frozen=True, slots=True)
class Act:
    """One step of the DAO as a transaction, and what is on record when the platform itself takes it."""

    contract: str
    function: str
    arguments: tuple[Any, ...]
    event: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction for a wallet to sign: nonce and fees are the wallet's to choose."""

    to: str
    data: bytes
    value: int
    chain_id: int
    sender: str
    gas: int
