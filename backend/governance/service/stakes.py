"""What a wallet has locked of REFI, and the steps with which it locks more or takes some back."""

from collections.abc import Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from backend.governance.types import Act, StakePosition, StakeTerms
from backend.kernel.errors import Invalid
from backend.ports.chain import Chain

STAKING, TOKEN = "Staking", "RefiToken"
MOST = 2**128


class StakeService:
    """Stakes as the chain has them; every step is a wallet's own, the platform takes none."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def terms(self) -> StakeTerms:
        """Return the tiers, lowest first, and how long what is asked back waits; NotFound where there is no staking."""
        at = (await self._chain.block()).number
        tiers = await self._chain.call(STAKING, "getTiers", block=at)
        cooldown = await self._chain.call(STAKING, "COOLDOWN", block=at)
        return StakeTerms(tuple((int(threshold), int(bps)) for threshold, bps in tiers), int(cooldown), at)

    async def position(self, address: str) -> StakePosition:
        """Return how a wallet stands at the latest block."""
        at = await self._chain.block()

        async def of(contract: str, function: str, *arguments: Any) -> Any:
            return await self._chain.call(contract, function, *arguments, block=at.number)

        pending, available_at = await of(STAKING, "pendingOf", address)
        vault = str(await of(STAKING, "vaultOf", address)).lower()
        has_vault = int(vault, 16) != 0
        return StakePosition(
            address=address.lower(),
            staked=int(await of(STAKING, "stakedOf", address)),
            pending=int(pending),
            available_at=int(available_at),
            delegate=str(await of(TOKEN, "delegates", vault)).lower() if has_vault else vault,
            tier=int(await of(STAKING, "tierOf", address)),
            rebate_bps=int(await of(STAKING, "rebateOf", address)),
            balance=int(await of(TOKEN, "balanceOf", address)),
            now=at.timestamp,
            block_number=at.number,
        )

    async def stake(self, address: str, amount: int) -> Sequence[Act]:
        """Return the steps that lock REFI: one that lets the contract take exactly that much, where it may not yet."""
        _require(amount)
        held = await self._chain.call(TOKEN, "balanceOf", address)
        if held < amount:
            raise Invalid(f"{address} holds {held} of the {amount} (1e-18 REFI) that are to be staked")
        allowed = await self._chain.call(TOKEN, "allowance", address, self._chain.address(STAKING))
        approve = _act(TOKEN, "approve", to_checksum_address(self._chain.address(STAKING)), amount)
        return [*([approve] if allowed < amount else []), _act(STAKING, "stake", amount)]

    def unstake(self, amount: int) -> Act:
        """Return the step that asks a part of a stake back, which ends its rebate and starts the wait."""
        _require(amount)
        return _act(STAKING, "requestUnstake", amount)

    def withdraw(self) -> Act:
        """Return the step that takes back what has waited."""
        return _act(STAKING, "withdraw")

    def delegate(self, delegatee: str) -> Act:
        """Return the step that lets a stake vote through another wallet, or through its own again."""
        if int(delegatee, 16) == 0:
            raise Invalid("votes delegated to nobody count for nothing: name a wallet")
        return _act(STAKING, "delegateStake", to_checksum_address(delegatee))


def _act(contract: str, function: str, *arguments: Any) -> Act:
    # No event: the platform's own key takes none of these steps.
    return Act(contract, function, arguments, "", {})


def _require(amount: int) -> None:
    if not 0 < amount < MOST:
        raise Invalid("an amount of REFI is more than nothing and less than 2^128 of its smallest units")
