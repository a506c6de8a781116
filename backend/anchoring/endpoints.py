"""Anchors: anybody reads them, an operator may ask for one now."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Response

from backend.accounts.endpoints import requires
from backend.accounts.types import Caller
from backend.anchoring.schemas import AnchorOut, AnchorsOut, EntryStateOut
from backend.anchoring.service import AnchorService
from backend.kernel.merkle import MAX_SIZE
from backend.kit.deps import Reading, Transaction, provided

router = APIRouter(tags=["anchoring"])

Anchoring = Annotated[AnchorService, Depends(provided(AnchorService))]
Operator = Annotated[Caller, Depends(requires("operator"))]


@router.get("/log/anchors")
async def anchors(session: Reading, anchoring: Anchoring) -> AnchorsOut:
    """Return every anchor of the log."""
    found = await anchoring.anchors(session)
    return AnchorsOut(
        chain_id=anchoring.chain_id, contract=anchoring.contract, anchors=[AnchorOut.of(one) for one in found]
    )


@router.get("/log/entries/{index}/state")
async def entry_state(
    index: Annotated[int, Path(ge=0, lt=MAX_SIZE)], session: Reading, anchoring: Anchoring
) -> EntryStateOut:
    """Return how far an entry has come, from recorded to l1_proven."""
    return EntryStateOut.of(await anchoring.state_of(session, index))


@router.post("/anchors", status_code=202)
async def anchor(caller: Operator, session: Transaction, anchoring: Anchoring, background: BackgroundTasks) -> Response:
    """Ask for an anchor now; it appears among the log's anchors once it is mined."""
    await anchoring.request(session, caller.pseudonym)
    # After the response: the request's transaction must be over before anchoring opens its own.
    background.add_task(anchoring.try_anchor)
    return Response(status_code=202, headers={"Location": "log/anchors"})
