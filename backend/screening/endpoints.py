"""Routes of screening: the lists in force and the queue of hits, for operators."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from backend.accounts.endpoints import requires
from backend.accounts.types import Caller, Role
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.pagination import Paging
from backend.screening.schemas import DecisionIn, HitOut, HitsOut, ListOut, ListsOut
from backend.screening.service import ScreeningLists, ScreeningReviews
from backend.screening.types import HitState

router = APIRouter(prefix="/compliance/screening", tags=["screening"])

Lists = Annotated[ScreeningLists, Depends(provided(ScreeningLists))]
Reviews = Annotated[ScreeningReviews, Depends(provided(ScreeningReviews))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]


@router.get("/lists")
async def lists(known: Lists, _caller: Operator, session: Reading) -> ListsOut:
    """Show the lists in force, with their versions and whether they are too old."""
    return ListsOut(items=[ListOut(**asdict(loaded)) for loaded in await known.loaded(session)])


@router.get("/hits")
async def hits(
    reviews: Reviews,
    _caller: Operator,
    session: Reading,
    paging: Paging,
    state: Annotated[HitState | None, Query()] = HitState.OPEN,
) -> HitsOut:
    """Show hits, newest first; those that wait unless another state is asked for."""
    page = await reviews.page(session, state, paging)
    return HitsOut(items=[HitOut(**asdict(hit)) for hit in page.items], next_before=page.next_before)


@router.post("/hits/{hit_id}/resolve")
async def resolve(
    hit_id: Annotated[int, Path(ge=1, lt=2**63)],
    body: DecisionIn,
    reviews: Reviews,
    caller: Operator,
    session: Transaction,
) -> HitOut:
    """Decide on an open hit: another person (cleared), or the one on the list (confirmed)."""
    decided = await reviews.resolve(session, hit_id, body.decision, body.reason, caller=caller, actor=caller.pseudonym)
    return HitOut(**asdict(decided))
