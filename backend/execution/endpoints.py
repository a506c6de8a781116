"""Routes of the reconciliation with the venue, and of fees."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends

from backend.accounts.endpoints import SignedIn, requires
from backend.accounts.types import Caller, Role
from backend.execution.schemas import (
    AccountOutcomeOut,
    DayOutcomesOut,
    FeesOut,
    ReconcileIn,
    SummariesOut,
    SummaryOut,
)
from backend.execution.service import Rebates, ReconciliationService
from backend.execution.types import DaySummary
from backend.kit.deps import Reading, Transaction, provided
from backend.kit.pagination import Paging
from backend.market.service import MarketService

router = APIRouter(prefix="/reconciliations", tags=["reconciliation"])
fees = APIRouter(prefix="/fees", tags=["orders"])

Reconciliations = Annotated[ReconciliationService, Depends(provided(ReconciliationService))]
Market = Annotated[MarketService, Depends(provided(MarketService))]
RebatesService = Annotated[Rebates, Depends(provided(Rebates))]
Operator = Annotated[Caller, Depends(requires(Role.OPERATOR))]


@router.post("", status_code=201)
async def reconcile(
    body: ReconcileIn, reconciliations: Reconciliations, market: Market, caller: Operator, session: Transaction
) -> SummaryOut:
    """Compare a business day's fills with the venue's books now; differences halt the accounts they are about."""
    return _summary(await reconciliations.run(session, body.day or market.today(), caller.pseudonym))


@router.get("")
async def list_days(reconciliations: Reconciliations, session: Reading, paging: Paging) -> SummariesOut:
    """List reconciled days, newest first: counts only."""
    page = await reconciliations.page(session, paging)
    return SummariesOut(items=[_summary(summary) for summary in page.items], next_before=page.next_before)


@router.get("/{day}", dependencies=[Depends(requires(Role.OPERATOR, Role.REGULATOR))])
async def one_day(day: date, reconciliations: Reconciliations, session: Reading) -> DayOutcomesOut:
    """Return how each account's day compared, with order ids, to operators and regulators."""
    outcomes = await reconciliations.outcomes(session, day)
    return DayOutcomesOut(day=day, accounts=[AccountOutcomeOut(**outcome) for outcome in outcomes])


@fees.get("/me")
async def my_fees(rebates: RebatesService, session: Reading, caller: SignedIn) -> FeesOut:
    """Return the caller's stake and tier on chain, and what of its fees it was given back."""
    stake, rebated = await rebates.standing(session, caller)
    return FeesOut(
        staked=str(stake.staked),
        tier=stake.tier,
        rebate_bps=stake.rebate_bps,
        block_number=stake.block_number,
        rebated=rebated,
    )


def _summary(summary: DaySummary) -> SummaryOut:
    return SummaryOut(
        day=summary.day,
        venue=summary.venue,
        accounts=summary.accounts,
        ours=summary.ours,
        theirs=summary.theirs,
        matched=summary.matched,
        differences=summary.differences,
        unresolved=summary.unresolved,
        reconciled_at=summary.reconciled_at,
    )
