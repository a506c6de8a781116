"""What the stages know about a record, for its evidence pack."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.compliance.service import ComplianceGate
from backend.decisions.service import DecisionService
from backend.governance.service import ModelService
from backend.kernel.canonical import JsonValue
from backend.proofs.service import AttestationService


class TradeParts:
    """Looks parts up by what the record says."""

    def __init__(
        self,
        decisions: DecisionService,
        models: ModelService,
        gate: ComplianceGate,
        attestations: AttestationService,
    ) -> None:
        self._decisions = decisions
        self._models = models
        self._gate = gate
        self._attestations = attestations

    async def model(self, session: AsyncSession, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the decision of a model with all that is needed to replay it."""
        if not fields.get("model"):
            return None
        decision = await self._decisions.find(session, fields["decision_id"])
        governed = await self._models.find(session, fields["model"])
        return {
            "sha256": governed.sha256,
            "cid": governed.cids.weights,
            "feature_schema_sha256": governed.feature_schema_sha256,
            "features": list(decision.features),
            "q_values": list(decision.q_values),
            "action": decision.action,
        }

    async def compliance(self, session: AsyncSession, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the receipt of the on-chain rules."""
        receipt = fields.get("compliance_receipt")
        return await self._gate.receipt(session, receipt) if receipt else None

    async def var(self, session: AsyncSession, fields: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
        """Return the attestation of a closed epoch."""
        return await self._attestations.pack_part(session, fields["account"], fields["epoch"])
