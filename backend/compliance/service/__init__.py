"""The compliance gate, and what is issued on chain."""

from backend.compliance.service.credentials import CredentialService, type_id
from backend.compliance.service.gate import ComplianceGate

__all__ = ["ComplianceGate", "CredentialService", "type_id"]
