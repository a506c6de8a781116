"""Models that the DAO decides about, and the proposals with which it does."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from backend.ports.governance import ModelState


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
