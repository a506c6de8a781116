"""The gate in front of risk: the DAO's models only, and only what the on-chain rules allow."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.compliance.engine import receipt_of, sealed
from backend.compliance.repository import receipts
from backend.compliance.types import ClearedDecision
from backend.decisions.types import Decision
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import Conflict, NotFound, Unavailable
from backend.kernel.fixed import NOTIONAL_DECIMALS, round_down
from backend.kernel.refusal import Refused
from backend.ports.governance import Governance, ModelState
from backend.ports.policy import OrderCheck, Policy, Verdict

log = structlog.get_logger(__name__)

POLICY = "compliance:1"
SILENCE = (Unavailable, NotFound, Conflict)
NO_IDENTITY = bytes(32)


class ComplianceGate:
    """Clears decisions; a part that does not answer keeps the gate closed."""

    def __init__(self, policy: Policy, governance: Governance, price: Callable[[str], Decimal | None]) -> None:
        self._policy = policy
        self._governance = governance
        self._price = price

    async def clear(self, session: AsyncSession, decision: Decision, account: Caller) -> ClearedDecision | Refused:
        """Ask whether the account may do this; the verdict is kept whatever it says."""
        price = self._price(decision.instrument)
        if price is None:
            return Refused("compliance", "no_price", f"{decision.instrument} has no price yet")
        notional = round_down(decision.quantity * price, NOTIONAL_DECIMALS)
        known = {"notional": decimal_string(notional)}
        asked = OrderCheck(account.address, decision.instrument, notional, decision.model_sha256)
        try:
            state = await self._model_state(decision)
            verdict = None if state is not None else await self._policy.check(asked)
        except SILENCE as error:
            log.warning("compliance.unavailable", error=str(error))
            return Refused("compliance", "policy_unavailable", "the on-chain rules do not answer", known)
        if verdict is None:
            return Refused("compliance", "model_not_in_production", f"the model is in state {state}", known)
        receipt_sha256, text = sealed(receipt_of(verdict))
        receipt_id = await receipts.add_receipt(session, receipt_sha256, text)
        if not verdict.allowed:
            return _refusal(verdict, known | {"policy": verdict.policy, "compliance_receipt": receipt_sha256})
        return ClearedDecision(
            decision, account.account_id, account.address, price, notional, receipt_id, receipt_sha256
        )

    async def rules(self) -> str:
        """Return what identifies the rules in force, for the record."""
        try:
            return await self._policy.version()
        except SILENCE:
            return "policy-engine:unavailable"

    async def receipt(self, session: AsyncSession, sha256: str) -> Mapping[str, Any]:
        """Return a kept verdict by its hash; raise NotFound."""
        text = await receipts.receipt_json(session, sha256)
        if text is None:
            raise NotFound("no such compliance receipt")
        found: Mapping[str, Any] = json.loads(text)
        return found

    async def _model_state(self, decision: Decision) -> str | None:
        """Return the state of a model that may not trade; None for one that may, and for a person."""
        if decision.model_sha256 is None:
            return None
        state = await self._governance.model_state(decision.model_sha256)
        return None if state is ModelState.PRODUCTION else state.name.lower()


def _refusal(verdict: Verdict, detail: Mapping[str, str]) -> Refused:
    return Refused("compliance", verdict.policy or "policy_engine", verdict.reason or "refused", detail)
