"""Models on their way into production, and proposals of any kind."""

from backend.governance.service.models import ModelService
from backend.governance.service.proposals import ProposalService
from backend.governance.service.stakes import StakeService

__all__ = ["ModelService", "ProposalService", "StakeService"]
