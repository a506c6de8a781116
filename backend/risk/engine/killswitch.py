"""The kill switch: ARMED -> TRIPPED -> REVIEW -> ARMED, and no other way."""

from backend.kernel.errors import Conflict, Invalid
from backend.risk.types import SwitchState

FOLLOWING = {
    SwitchState.ARMED: SwitchState.TRIPPED,
    SwitchState.TRIPPED: SwitchState.REVIEW,
    SwitchState.REVIEW: SwitchState.ARMED,
}
MAX_REASON = 500


def moved(state: SwitchState, to: SwitchState, reason: str) -> SwitchState:
    """Return the next state; raise Conflict for a step that there is not, Invalid without a reason."""
    if not 1 <= len(reason.strip()) <= MAX_REASON:
        raise Invalid(f"a reason has 1 to {MAX_REASON} characters")
    if FOLLOWING[state] is not to:
        raise Conflict(f"the switch is {state}: it cannot become {to}")
    return to


def stops(state: SwitchState) -> bool:
    """Return whether orders are refused in this state."""
    return state is not SwitchState.ARMED
