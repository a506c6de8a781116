"""Hits before a person: who looks like an entry is that person, or is not."""

from collections.abc import Awaitable, Callable
from hashlib import sha256

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.kernel.errors import Conflict, Forbidden, NotFound
from backend.kit.pagination import Page, PageRequest, page_of
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import HitKind
from backend.screening import repository
from backend.screening.engine import outcome_of
from backend.screening.models import ScreeningHitRow, ScreeningRecord
from backend.screening.service.lists import POLICY
from backend.screening.service.screening import entry_of, judged, settle_later, still_confirmed, told
from backend.screening.types import Decision, Hit, HitState

# Whether a wallet belongs to what a reference names, e.g. to an organisation's case.
Concerns = Callable[[AsyncSession, str, str], Awaitable[bool]]


class ScreeningReviews:
    """The queue of hits."""

    def __init__(self, journal: Journal, clock: Clock, concerns: Concerns | None = None) -> None:
        self._journal = journal
        self._clock = clock
        self._concerns = concerns

    async def page(self, session: AsyncSession, state: HitState | None, request: PageRequest) -> Page[Hit]:
        """Return hits, newest first."""
        rows = await repository.page(session, state, request)
        return page_of([hit_of(row) for row in rows], request, lambda hit: hit.id)

    async def resolve(
        self, session: AsyncSession, hit_id: int, decision: Decision, reason: str, *, caller: Caller | None, actor: str
    ) -> Hit:
        """Decide on an open hit; Forbidden for the one it is about, Conflict where it is decided already.

        The reason stays with the hit; the log has its hash, as it may speak of a person.
        """
        # The record before its hits, as a search takes them: two that wait for each other would both fail.
        reference = await repository.reference_of(session, hit_id)
        record = await repository.record_of(session, reference) if reference is not None else None
        row = await repository.hit(session, hit_id)
        if row is None or record is None:
            raise NotFound("no such hit")
        if caller is not None and await self._own(session, record, caller):
            raise Forbidden("nobody decides on a hit of their own")
        if row.state != HitState.OPEN.value:
            raise Conflict(f"the hit is {row.state}")
        row.state, row.decided_at = decision.value, self._clock.wall()
        row.decided_by, row.reason = actor, reason
        fields = {**told(row), "decision": decision.value, "reason_sha256": sha256(reason.encode()).hexdigest()}
        await self._journal.record(session, SYSTEM_ACCOUNT, "screening.resolved", fields, actor=actor, policy=POLICY)
        rows = await repository.hits_of(session, row.reference)
        for other in rows:
            # What was confirmed of the entry as it was gives way to what is said of it now.
            if other is not row and still_confirmed(other) and entry_of(other) == entry_of(row):
                other.state = HitState.LAPSED.value
        was, record.outcome = record.outcome, outcome_of(judged(rows)).value
        # A review that ends is told on, even where a clear outcome moves nothing on chain.
        record.screened_at = self._clock.wall()
        await settle_later(session, row.reference, {was, record.outcome}, record)
        await session.flush()
        return hit_of(row)

    async def _own(self, session: AsyncSession, record: ScreeningRecord, caller: Caller) -> bool:
        wallet = caller.address.lower()
        concerned = self._concerns is not None and await self._concerns(session, record.reference, wallet)
        return concerned or wallet in record.wallets


def hit_of(row: ScreeningHitRow) -> Hit:
    """Return a hit as reviewers see it."""
    return Hit(
        row.id,
        row.reference,
        row.list_name,
        row.list_version,
        row.entry_id,
        row.matched_name,
        HitKind(row.kind),
        row.score,
        tuple(row.reasons),
        row.wallet,
        HitState(row.state),
        row.opened_at,
        row.decided_at,
        row.decided_by,
    )
