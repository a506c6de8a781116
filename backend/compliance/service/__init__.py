"""The compliance gate, and what is issued on chain."""

from backend.compliance.service.credentials import CredentialService, type_id
from backend.compliance.service.gate import ComplianceGate
from backend.compliance.service.settlement import SettlementService
from backend.compliance.service.watching import RulesWatcher

__all__ = ["ComplianceGate", "CredentialService", "RulesWatcher", "SettlementService", "type_id"]
