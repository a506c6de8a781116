"""A decision: what an agent or a person wants done, before any gate has seen it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

DecisionKind = Literal["agent", "person"]
DecisionSide = Literal["buy", "sell", "hold"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold who wants what, and for an agent everything that replays why.

    quantity is in shares, six decimals, never negative. model_sha256 and action name the model and its choice;
    a person's decision has no model, no features and no q_values, and its action is its side.
    """

    decision_id: str
    account: str
    kind: DecisionKind
    instrument: str
    side: DecisionSide
    quantity: Decimal
    model_sha256: str | None
    features: tuple[str, ...]
    features_sha256: str
    q_values: tuple[str, ...]
    action: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold a model's answer to one feature vector: the chosen action, and every action's value as recorded."""

    action: str
    q_values: tuple[str, ...]
