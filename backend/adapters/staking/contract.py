"""Stakes, read from Staking on the L2."""

from backend.kernel.errors import Unavailable
from backend.ports.chain import Chain
from backend.ports.staking import StakeTier

CONTRACT = "Staking"
WHOLE_BPS = 10_000


class ContractStaking:
    """Reads Staking at one block."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def tier(self, address: str) -> StakeTier:
        """Return how a wallet stands at the latest block."""
        block = (await self._chain.block()).number
        staked, tier, rebate_bps = [
            await self._chain.call(CONTRACT, function, address, block=block)
            for function in ("stakedOf", "tierOf", "rebateOf")
        ]
        if not 0 <= rebate_bps <= WHOLE_BPS:
            raise Unavailable(f"{CONTRACT} answers a rebate beyond the whole fee: {rebate_bps}")
        return StakeTier(int(staked), int(tier), int(rebate_bps), block)
