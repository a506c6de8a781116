"""Which act moves a case from which state to which; everything else is refused by name."""

from collections.abc import Mapping
from typing import Final

from backend.kernel.errors import Conflict
from backend.onboarding.types import Act, CaseState
from backend.ports.identity_provider import CaseKind, Finding
from backend.ports.screening import Outcome

MOVES: Final[Mapping[CaseState, Mapping[Act, CaseState]]] = {
    CaseState.STARTED: {
        Act.SUBMIT: CaseState.PENDING,
        Act.WITHDRAW: CaseState.WITHDRAWN,
    },
    CaseState.PENDING: {
        Act.REFER: CaseState.NEEDS_REVIEW,
        Act.ACCEPT: CaseState.APPROVED,
        Act.WITHDRAW: CaseState.WITHDRAWN,
    },
    CaseState.NEEDS_REVIEW: {
        Act.APPROVE: CaseState.APPROVED,
        Act.REJECT: CaseState.REJECTED,
        Act.WITHDRAW: CaseState.WITHDRAWN,
    },
    CaseState.APPROVED: {
        # What was found since: the credentials stand until somebody has decided.
        Act.REFER: CaseState.NEEDS_REVIEW,
        Act.RENEW: CaseState.STARTED,
        Act.EXPIRE: CaseState.EXPIRED,
        Act.WITHDRAW: CaseState.WITHDRAWN,
    },
    CaseState.EXPIRED: {
        Act.RENEW: CaseState.STARTED,
        Act.WITHDRAW: CaseState.WITHDRAWN,
    },
    CaseState.REJECTED: {},
    CaseState.WITHDRAWN: {},
}
# A wallet whose case is over may open another one.
OVER: Final = frozenset({CaseState.REJECTED, CaseState.WITHDRAWN})


def allowed(state: CaseState, act: Act) -> bool:
    """Return whether an act moves a case that is in this state."""
    return act in MOVES[state]


def after(state: CaseState, act: Act) -> CaseState:
    """Return the state that an act leads to; raise Conflict naming both where it leads nowhere."""
    try:
        return MOVES[state][act]
    except KeyError:
        raise Conflict(f"a case that is {state} does not {act}") from None


def act_of(state: CaseState, kind: CaseKind, finding: Finding, screening: Outcome | None) -> Act | None:
    """Return what a provider's newest finding does to a case, None for nothing.

    No machine rejects: what failed is put before a person. Only a person's case that passed and whose screening found
    nothing is approved without one; an organisation's is always looked at.
    """
    match state, finding:
        case CaseState.PENDING, Finding.PASSED if kind is CaseKind.PERSON and screening is Outcome.CLEAR:
            return Act.ACCEPT
        case CaseState.PENDING, Finding.PASSED | Finding.FAILED | Finding.REFERRED:
            return Act.REFER
        case CaseState.APPROVED, Finding.FAILED | Finding.REFERRED:
            return Act.REFER
        case _:
            return None
