"""What the risk gate looks at, and the token that it alone makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from enum import StrEnum

from backend.compliance.types import ClearedDecision
from backend.kernel.fixed import PRECISION
from backend.market.types import DataBounds


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """A cleared decision within every limit; only the risk gate builds it, and it is executed once.

    figures: what the gate looked at, as plain decimals.
    """

    cleared: ClearedDecision
    risk_decision: str
    figures: Mapping[str, str]
    account_switch: int
    platform_switch: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What an account has: cash in USD, holdings in shares.

    Orders of unknown fate may have spent `reserved` USD (without costs), bought shares and sold shares.
    """

    cash: Decimal
    holdings: Mapping[str, Decimal] = field(default_factory=dict)
    reserved: Decimal = Decimal(0)
    maybe_bought: Mapping[str, Decimal] = field(default_factory=dict)
    maybe_sold: Mapping[str, Decimal] = field(default_factory=dict)

    def worst(self, cost_rate: Decimal) -> "Portfolio":
        """Return what is sure to be left when every order of unknown fate is one that raises the exposure.

        cost_rate: what slippage and fee may take, a share of the notional. Maybe-bought shares count as held, and
        maybe-sold ones too; neither can be sold.
        """
        with localcontext(prec=PRECISION):
            return Portfolio(
                self.cash - self.reserved * (1 + cost_rate),
                _sum(self.holdings, self.maybe_bought),
                maybe_sold=_sum(self.maybe_sold, self.maybe_bought),
            )

    def sellable(self, instrument: str) -> Decimal:
        """Return the shares that are sure to be there."""
        nothing = Decimal(0)
        return self.holdings.get(instrument, nothing) - self.maybe_sold.get(instrument, nothing)


def _sum(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: first.get(name, Decimal(0)) + second.get(name, Decimal(0)) for name in {**first, **second}}


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The platform's limits; rates are shares of the notional, money in USD, window in trading days.

    cost_rate: the worst that slippage and fee may take. var_limit holds where an account has none of its own; es_limit
    is None where no expected shortfall is attested.
    """

    max_order_notional: Decimal
    var_limit: Decimal
    drawdown_trip_share: Decimal
    cost_rate: Decimal
    confidence: Decimal = Decimal("0.95")
    window: int = 90
    es_limit: Decimal | None = None
    data: DataBounds = field(default_factory=DataBounds)


@dataclass(frozen=True, slots=True)
class RiskState:
    """Where an account stands; USD, None where the market has no price; es_limit None where there is none."""

    cap: Decimal
    exposure: Decimal | None
    var: Decimal | None
    var_limit: Decimal
    es: Decimal | None
    es_limit: Decimal | None
    halted: bool
    halts: tuple["Halt", ...] = ()


class HaltScope(StrEnum):
    """Whose orders a halt stops."""

    ACCOUNT = "account"
    PLATFORM = "platform"


class SwitchState(StrEnum):
    """ARMED lets orders pass; TRIPPED and REVIEW do not. REVIEW comes before ARMED again."""

    ARMED = "armed"
    TRIPPED = "tripped"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Halt:
    """One trip of a switch and what became of it; subject is the wallet, empty for the platform.

    by_system: the platform tripped it, not a person.
    """

    id: int
    scope: HaltScope
    subject: str
    state: SwitchState
    reason: str
    by_system: bool
    tripped_at: datetime
