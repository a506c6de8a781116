"""Lists, screenings, their review, and what follows from them."""

from backend.screening.service.blocking import SETTLE_JOB, WalletBlocks
from backend.screening.service.lists import SWEEP_JOB, ScreeningLists
from backend.screening.service.reviews import ScreeningReviews
from backend.screening.service.screening import ScreeningService
from backend.screening.service.sweeping import AccountWallets, ScreeningSweep

__all__ = [
    "SETTLE_JOB",
    "SWEEP_JOB",
    "AccountWallets",
    "ScreeningLists",
    "ScreeningReviews",
    "ScreeningService",
    "ScreeningSweep",
    "WalletBlocks",
]
