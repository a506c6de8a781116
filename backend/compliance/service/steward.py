"""Limits that an operator may move by small steps, as the LimitSteward's rules bound them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units
from backend.ports.chain import Chain, Reverted
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

POLICY = "compliance:1"
STEWARD = "LimitSteward"
# The limit of each policy that may move: its getter and its setter.
LIMITS = {"VolumePolicy": ("getMax", "setMax"), "SlidingVolumePolicy": ("getLimit", "setLimit")}
WHOLE_BPS = 10_000


@dataclass(frozen=True, slots=True)
class LimitRule:
    """A limit now and where it may move at once, all USD x 1e6; not_before: the chain's time from which it may."""

    policy: str
    value: int
    lowest: int
    highest: int
    not_before: datetime
    is_open: bool

    @property
    def allowed(self) -> str:
        """What may be done now, or when, in words."""
        low, high, value = (
            decimal_string(from_units(v, NOTIONAL_DECIMALS)) for v in (self.lowest, self.highest, self.value)
        )
        when = "now" if self.is_open else f"from {self.not_before:%Y-%m-%d %H:%M:%S} UTC on"
        return f"{self.policy} stands at {value} USD and may move to {low} to {high} USD {when}"


@dataclass(frozen=True, slots=True)
class LimitMove:
    """A limit that moved, USD x 1e6."""

    policy: str
    before: int
    value: int
    tx_hash: str
    block_number: int


class StewardService:
    """Moves limits within their rules; everything else is the timelock's."""

    def __init__(self, chain: Chain, journal: Journal) -> None:
        self._chain = chain
        self._journal = journal

    async def rule_of(self, policy: str) -> LimitRule:
        """Return what a policy's limit may become; NotFound for one that only a vote moves."""
        getter, setter = _names(policy)
        value = int(await self._chain.call(policy, getter))
        rule = await self._chain.call(STEWARD, "ruleOf", self._chain.address(policy), self._selector(policy, setter))
        _, bps, delay, changed_at = (int.from_bytes(part) if isinstance(part, bytes) else int(part) for part in rule)
        if delay == 0:
            raise NotFound(f"the limit of {policy} moves by a vote only")
        now, step = (await self._chain.block()).timestamp, value * bps // WHOLE_BPS
        ready = datetime.fromtimestamp(changed_at + delay, UTC)
        return LimitRule(policy, value, value - step, value + step, ready, now >= changed_at + delay)

    async def move(self, session: AsyncSession, policy: str, value: int, *, actor: str) -> LimitMove:
        """Move a policy's limit; Conflict names what is allowed, and when."""
        rule = await self.rule_of(policy)
        if not (rule.is_open and rule.lowest <= value <= rule.highest):
            raise Conflict(rule.allowed)
        setter = self._selector(policy, _names(policy)[1])
        try:
            receipt = await self._chain.send(
                KeyRole.OPERATOR, STEWARD, "change", self._chain.address(policy), setter, value
            )
        except Reverted as error:
            if error.name not in {"TooSoon", "ChangeTooLarge"}:
                raise
            # Somebody else moved it meanwhile.
            raise Conflict((await self.rule_of(policy)).allowed) from error
        moved = LimitMove(policy, rule.value, value, receipt.tx_hash, receipt.block_number)
        fields = {
            "limit_of": policy,
            "limit_before": decimal_string(from_units(moved.before, NOTIONAL_DECIMALS)),
            "limit": decimal_string(from_units(moved.value, NOTIONAL_DECIMALS)),
            "tx_hash": moved.tx_hash,
            "block_number": moved.block_number,
        }
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "compliance.limit_moved", fields, actor=actor, policy=POLICY
        )
        return moved

    def _selector(self, policy: str, setter: str) -> bytes:
        return self._chain.calldata(policy, setter, 0)[:4]


def _names(policy: str) -> tuple[str, str]:
    if policy not in LIMITS:
        raise Invalid(f"{policy} has no limit that moves: one of {', '.join(LIMITS)}")
    return LIMITS[policy]
