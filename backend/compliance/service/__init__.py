"""The compliance gate, and what is issued on chain."""

from backend.compliance.service.caps import CapService
from backend.compliance.service.credentials import CredentialService, type_id
from backend.compliance.service.gate import ComplianceGate
from backend.compliance.service.settlement import SettlementService
from backend.compliance.service.standing import StandingService
from backend.compliance.service.steward import StewardService
from backend.compliance.service.watching import RulesWatcher

__all__ = [
    "CapService",
    "ComplianceGate",
    "CredentialService",
    "RulesWatcher",
    "SettlementService",
    "StandingService",
    "StewardService",
    "type_id",
]
