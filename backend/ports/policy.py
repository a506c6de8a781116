"""The on-chain rules that clear an order before the risk gate sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from backend.kernel.errors import Unavailable


class Silent(Unavailable):
    """Nobody answers at all; an answer that makes no sense, or one of another contract, is not silence."""

    code = "silent"


@dataclass(frozen=True, slots=True)
class OrderCheck:
    """What the rules look at: the wallet, the instrument, the notional in USD, the model's sha256 (None: a person).

    cumulative is what the wallet has traded in all before this order, in USD: rules over volumes add what of it is not
    settled on chain yet. paper marks an order for a venue without money: it can be checked and never be submitted.
    """

    subject: str
    instrument: str
    notional: Decimal
    model_sha256: str | None
    cumulative: Decimal = Decimal(0)
    paper: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The engine's answer and all that is needed to ask it again: see evidence.md, section 8 `compliance`.

    context is what the order says beside its arguments, in 0x-hex.
    """

    allowed: bool
    engine: str
    target: str
    sender: str
    selector: str
    calldata_sha256: str
    block_number: int
    block_hash: str
    policy: str
    reason: str
    context: str = ""


class Policy(Protocol):
    """Asks the policy engine; raises Unavailable when there is no verdict, Silent when there is no answer at all."""

    async def check(self, order: OrderCheck) -> Verdict:
        """Return the verdict for one order at the latest block."""
        ...

    async def check_all(self, orders: Sequence[OrderCheck]) -> Sequence[Verdict]:
        """Return the verdicts for orders in their order, all at one block, each as `check` would give it."""
        ...

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Return a verdict on another order as if it had been on this one: this order's call, that one's block."""
        ...

    async def version(self) -> str:
        """Return what identifies the rules in force, e.g. "policy-engine:0xabc...@latest"."""
        ...

    async def close(self) -> None:
        """Give the connections back that are its own."""
        ...
