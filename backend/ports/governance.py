"""What the DAO has decided, as far as trading must know it."""

from enum import IntEnum
from typing import Protocol


class ModelState(IntEnum):
    """The states of ModelRegistry."""

    NONE = 0
    PROPOSED = 1
    APPROVED = 2
    PRODUCTION = 3
    RETIRED = 4
    REVOKED = 5


class Governance(Protocol):
    """Reads the model registry."""

    async def model_state(self, model_sha256: str) -> ModelState:
        """Return the on-chain state of a model."""
        ...
