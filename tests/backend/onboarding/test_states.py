"""The states of a case: what may follow what, whoever acts in whatever order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backend.kernel.errors import Conflict
from backend.onboarding.engine.states import MOVES, OVER, act_of, after, allowed
from backend.onboarding.types import Act, CaseState
from backend.ports.identity_provider import CaseKind, Finding
from backend.ports.screening import Outcome

ACTS = some.lists(some.sampled_from(Act), max_size=30)


def walked(acts: list[Act]) -> list[CaseState]:
    """Return the states of a case that meets these acts; those that are refused change nothing."""
    states = [CaseState.STARTED]
    for act in acts:
        if allowed(states[-1], act):
            states.append(after(states[-1], act))
    return states


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(MOVES) == set(CaseState)
    assert {state for moves in MOVES.values() for state in moves.values()} == set(CaseState)


@pytest.mark.parametrize("state", CaseState)
@pytest.mark.parametrize("act", Act)
def test_an_act_that_is_not_allowed_is_refused_by_name(state: CaseState, act: Act) -> None:
    if allowed(state, act):
        assert after(state, act) is MOVES[state][act]
        return
    with pytest.raises(Conflict, match=f"a case that is {state} does not {act}"):
        after(state, act)


@given(ACTS)
def test_what_is_over_stays_over(acts: list[Act]) -> None:
    states = walked(acts)
    assert all(state not in OVER for state in states[:-1])


@given(ACTS)
def test_nobody_is_approved_whom_no_provider_has_seen_in_that_round(acts: list[Act]) -> None:
    states = walked(acts)
    for place, state in enumerate(states):
        if state is CaseState.APPROVED:
            begun = max(at for at in range(place) if states[at] is CaseState.STARTED)
            assert CaseState.PENDING in states[begun:place]


@given(ACTS)
def test_only_what_a_person_looked_at_is_rejected(acts: list[Act]) -> None:
    states = walked(acts)
    for before, state in pairwise(states):
        assert state is not CaseState.REJECTED or before is CaseState.NEEDS_REVIEW


@given(ACTS)
def test_whoever_is_not_over_may_withdraw(acts: list[Act]) -> None:
    last = walked(acts)[-1]
    assert allowed(last, Act.WITHDRAW) is (last not in OVER)


@given(
    some.sampled_from(CaseState),
    some.sampled_from(CaseKind),
    some.sampled_from(Finding),
    some.sampled_from([None, *Outcome]),
)
def test_a_finding_only_does_what_the_state_allows_and_never_rejects(
    state: CaseState, kind: CaseKind, finding: Finding, screening: Outcome | None
) -> None:
    act = act_of(state, kind, finding, screening)
    assert act is None or allowed(state, act)
    assert act is not Act.REJECT
    if act is Act.ACCEPT:
        assert (kind, finding, screening) == (CaseKind.PERSON, Finding.PASSED, Outcome.CLEAR)
