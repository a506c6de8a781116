"""What an order comes to."""

from dataclasses import dataclass
from typing import Literal

from backend.decisions.types import Decision
from backend.execution.types import Order
from backend.kernel.refusal import Refused
from backend.ports.journal import Recorded


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a decision ended and the record of it; a held decision has no order, only a refused one a refusal."""

    state: Literal["filled", "refused", "unknown", "held"]
    decision: Decision
    recorded: Recorded
    order: Order | None = None
    refused: Refused | None = None
