"""What proposals say and do, as far as no chain is needed to know it."""

from backend.governance.engine.proposal import (
    FILE_NAMES,
    VOTES,
    described,
    description_hash,
    hashed,
    model_files,
    promotion,
    proposal_answer,
    proposal_from,
    proposal_id,
    propose_arguments,
    settle_arguments,
    vote_arguments,
)
from backend.governance.engine.text import compare, composed, rendered

__all__ = [
    "FILE_NAMES",
    "VOTES",
    "compare",
    "composed",
    "described",
    "description_hash",
    "hashed",
    "model_files",
    "promotion",
    "proposal_answer",
    "proposal_from",
    "proposal_id",
    "propose_arguments",
    "rendered",
    "settle_arguments",
    "vote_arguments",
]
