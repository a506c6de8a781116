"""What a wallet has locked of REFI, as far as fees depend on it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StakeTier:
    """A wallet's stake (1e-18 REFI), its tier (0: none), what of its fees it gets back (1/10,000), as of a block."""

    staked: int
    tier: int
    rebate_bps: int
    block_number: int


class Staking(Protocol):
    """Reads stakes; raises Unavailable when the chain does not answer, NotFound where there is no staking."""

    async def tier(self, address: str) -> StakeTier:
        """Return how a wallet stands at the latest block."""
        ...
