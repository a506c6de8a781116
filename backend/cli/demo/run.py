"""What a run of the demo is asked for, and what its stages hand to each other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from backend.cli.services import Services
from backend.cli.wallets import Problem, Wallet
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict
from backend.settings import Settings

Tell = Callable[[str], None]
# Governance waits 1 h + 3 d + 1 d before the first replayed day; the chain's clock only moves forward.
GOVERNANCE_LEAD = timedelta(days=10)
CHAIN_ID = 42069
VAR_LIMIT_USD = 900
ES_LIMIT_USD = 1_350


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is asked for."""

    days: int = 42
    seed: int = 7
    keep: bool = False
    attest: Literal["asked", "closed"] = "asked"


@dataclass(slots=True)
class Run:
    """What the stages hand to each other."""

    plan: Plan
    settings: Settings
    services: Services
    summary: dict[str, Any]
    wallets: dict[str, Wallet] = field(default_factory=dict)
    rpc_url: str = ""
    api_url: str = ""
    eve: date = date.min
    replayed: list[date] = field(default_factory=list)
    model_dir: Path = Path()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """The folder that holds everything of this run."""
        return self.services.state_dir

    def agent_order(self, instrument: str) -> dict[str, Any]:
        """Return the body of an order that the agent decides."""
        return {"decision": {"kind": "agent", "model": self.summary["model"]["sha256"], "instrument": instrument}}


def person_order(instrument: str, side: str, quantity: str) -> dict[str, Any]:
    """Return the body of an order that a person decides."""
    return {"decision": {"kind": "person", "instrument": instrument, "side": side, "quantity": quantity}}


def refusal(action: Callable[[], object]) -> dict[str, Any]:
    """Return the problem document of something that must be refused."""
    try:
        done = action()
    except Problem as problem:
        return problem.document
    raise Conflict(f"this should have been refused: {done}")


def expect_rule(problem: dict[str, Any], rule: str) -> None:
    """Insist that a refusal names the rule."""
    if problem.get("rule") != rule:
        raise Conflict(f"expected a refusal by {rule}, got {problem}")


def give_credential(run: Run) -> dict[str, Any]:
    """Let the operator give the trader a KYC credential that outlasts the replayed days by a year."""
    end = close_of(run.replayed[-1]) + timedelta(days=365)
    body = {"address": run.wallets["trader"].address, "type": "common.kyc", "expires_at": end.isoformat()}
    return run.wallets["operator"].post("/compliance/credentials", body)
