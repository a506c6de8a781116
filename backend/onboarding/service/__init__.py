"""Cases, organisations' wallets, and the job that carries out what was decided."""

from backend.onboarding.service.carrying import OnboardingJob
from backend.onboarding.service.cases import CARRY_JOB, Onboarding
from backend.onboarding.service.members import Organisations

__all__ = ["CARRY_JOB", "Onboarding", "OnboardingJob", "Organisations"]
