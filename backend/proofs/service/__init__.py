"""The services of VaR proofs."""

from backend.proofs.service.anchored import Anchors, RecordChain
from backend.proofs.service.attestation import ATTEST_JOB, AttestationService, Hold, OnBreach
from backend.proofs.service.attesting import AttestingJob
from backend.proofs.service.closing import CloseDay, ClosingJob
from backend.proofs.service.countersigning import Countersigned, CountersignService, Disputed
from backend.proofs.service.epochs import Directory, EpochService, Holdings, TradingAccount
from backend.proofs.service.returns import Pinned, Pinner, ReturnsService

__all__ = [
    "ATTEST_JOB",
    "Anchors",
    "AttestationService",
    "AttestingJob",
    "CloseDay",
    "ClosingJob",
    "CountersignService",
    "Countersigned",
    "Directory",
    "Disputed",
    "EpochService",
    "Hold",
    "Holdings",
    "OnBreach",
    "Pinned",
    "Pinner",
    "RecordChain",
    "ReturnsService",
    "TradingAccount",
]
