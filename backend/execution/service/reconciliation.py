"""Compares our fills with the venue's books, day by day, and settles what was left open."""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.types import Caller
from backend.execution import repository
from backend.execution.engine import bookable, compare
from backend.execution.repository import EVERY_ACCOUNT
from backend.execution.service.orders import POLICY, ExecutionService
from backend.execution.types import DaySummary, Order, Reconciled
from backend.kernel.clock import epoch_of
from backend.kernel.errors import Conflict, NotFound
from backend.kernel.refusal import Refused
from backend.kit.pagination import Page, PageRequest, page_of
from backend.market.repository import lock_clock
from backend.ports.broker import Accepted, Broker, Execution, Rejected, Unknown
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.risk.service import KillSwitch

log = structlog.get_logger(__name__)

# A pseudonym, or what a venue may call an account that is none of ours.
PSEUDONYM = re.compile(r"[A-Za-z0-9_-]{43}")
PLAIN_NAME = re.compile(r"[!-~]{1,43}")
NOT_EXECUTED = Refused("execution", "not_executed", "the venue has no fill of this order and will not make one")


class Directory(Protocol):
    """Knows accounts by their names in the log."""

    async def find(self, session: AsyncSession, *, pseudonym: str) -> Caller:
        """Return an account; raise NotFound."""
        ...


class ReconciliationService:
    """Compares a business day's fills with the venue's; a difference halts the account that it is about.

    `compare` works on the accounts' chains and `conclude` on the system's: a transaction takes them in that order.
    """

    def __init__(
        self,
        broker: Broker,
        execution: ExecutionService,
        accounts: Directory,
        switch: KillSwitch,
        journal: Journal,
        clock: Clock,
        *,
        retention: timedelta,
    ) -> None:
        self._broker = broker
        self._execution = execution
        self._accounts = accounts
        self._switch = switch
        self._journal = journal
        self._clock = clock
        self._retention = retention

    async def run(self, session: AsyncSession, day: date, actor: str) -> DaySummary:
        """Compare a business day as far as it has come, halt where the books differ, and return the summary."""
        if day > self._clock.business().date():
            raise Conflict(f"{day} has not begun on the business clock")
        if epoch_of(day) < epoch_of(self._clock.business() - self._retention):
            # What the venue still lists of erased orders would look like a difference, and be recorded anew.
            raise Conflict(f"orders of {day} may be erased: the venue's books have nothing to be compared with")
        # One at a time, and never beside the close of a day.
        await lock_clock(session, self._clock.business())
        return await self.conclude(session, day, await self.compare(session, day), actor)

    async def compare(self, session: AsyncSession, day: date, *, closing: bool = False) -> Sequence[Reconciled]:
        """Settle orders of unknown fate and record each account's comparison.

        At the close, what the venue does not list is withdrawn there. Raises Unavailable when the venue is silent.
        """
        owners, executions = await self._held(session, day)
        theirs: dict[str, list[Execution]] = {}
        for execution in executions:
            theirs.setdefault(execution.account, []).append(execution)
        found = [
            await self._account(session, day, owner, theirs.get(name, []), closing)
            for name, owner in owners.items()
            if owner is not None
        ]
        return found + [
            await self._kept(session, Reconciled(day, _foreign(name), None, "", compare([], theirs.get(name, []))))
            for name, owner in owners.items()
            if owner is None
        ]

    async def conclude(
        self, session: AsyncSession, day: date, found: Sequence[Reconciled], actor: str = SYSTEM_ACCOUNT
    ) -> DaySummary:
        """Halt every account whose books differ, everybody for a fill that is nobody's, and record the summary."""
        summary = _summary(day, self._broker.venue, found, self._clock.business())
        known = await repository.known_outcome(session, day, EVERY_ACCOUNT)
        if known == _counts(summary) and not any(one.fresh for one in found):
            return summary
        for one in found:
            if one.fresh and not one.agrees():
                await self._halt(session, one)
        await repository.keep_outcome(
            session, day, EVERY_ACCOUNT, summary.venue, _counts(summary), summary.reconciled_at
        )
        fields = {"day": day.isoformat(), "epoch": epoch_of(day), "venue": summary.venue, **_counts(summary)}
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "reconciliation.summarised", fields, actor=actor, policy=POLICY
        )
        return summary

    async def page(self, session: AsyncSession, request: PageRequest) -> Page[DaySummary]:
        """Return days newest first."""
        return page_of(await repository.summaries(session, request), request, lambda summary: summary.id)

    async def outcomes(self, session: AsyncSession, day: date) -> Sequence[Mapping[str, Any]]:
        """Return how each account's day compared, those that differ first; raise NotFound for a day without one."""
        if await repository.known_outcome(session, day, EVERY_ACCOUNT) is None:
            raise NotFound("this day was not reconciled")
        return await repository.outcomes_of(session, day)

    async def _held(self, session: AsyncSession, day: date) -> tuple[Mapping[str, Caller | None], Sequence[Execution]]:
        """Return who has anything to compare, their orders held up, and the venue's books as of then."""
        owners: dict[str, Caller | None] = {}
        executions = await self._broker.executions(day)
        ours = await repository.accounts_to_reconcile(session, day)
        # An order that fills between our look at the venue and our look at the books must be in both.
        while names := {*ours, *(execution.account for execution in executions)} - owners.keys():
            found = {name: await self._owner(session, name) for name in sorted(names)}
            # In the order in which epochs are closed: two transactions never wait for each other.
            for name, owner in sorted(found.items(), key=lambda item: -(item[1].account_id if item[1] else 0)):
                owners[name] = owner
                if owner is not None:
                    await self._execution.lock(session, owner.account_id)
            executions = await self._broker.executions(day)
        return owners, executions

    async def _owner(self, session: AsyncSession, name: str) -> Caller | None:
        if not PSEUDONYM.fullmatch(name):
            return None
        try:
            return await self._accounts.find(session, pseudonym=name)
        except NotFound:
            return None

    async def _account(
        self, session: AsyncSession, day: date, owner: Caller, executions: Sequence[Execution], closing: bool
    ) -> Reconciled:
        reconciliation = secrets.token_hex(16)
        held = await self._execution.lock(session, owner.account_id)
        listed = {execution.client_order_id: execution for execution in executions}
        resolved, unresolved = [], []
        for order in held.unknown:
            answer = await self._answer(order, listed.get(order.order_id), closing)
            if answer is None:
                unresolved.append(order.order_id)
                continue
            await self._execution.settle(session, owner, order, answer, reconciliation)
            resolved.append(order.order_id)
        comparison = compare(await repository.filled_on(session, owner.account_id, day), executions)
        # Before the close, an order may still be on its way.
        open_orders = tuple(unresolved) if closing else ()
        outcome = Reconciled(
            day, owner.pseudonym, owner.account_id, owner.address, comparison, tuple(resolved), open_orders
        )
        return await self._recorded(session, outcome, reconciliation)

    async def _answer(self, order: Order, execution: Execution | None, closing: bool) -> Accepted | Refused | None:
        """Return what became of an order, None while nobody knows or when the venue filled something else."""
        if execution is None and not closing:
            return None
        answer = execution.fill if execution is not None else await self._broker.cancel(order.order_id)
        match answer:
            case Accepted():
                same = execution is None or (execution.instrument, execution.side) == (order.instrument, order.side)
                return answer if same and bookable(answer, order.quantity) else None
            case Rejected():
                return NOT_EXECUTED
            case Unknown():
                return None

    async def _recorded(self, session: AsyncSession, outcome: Reconciled, reconciliation: str) -> Reconciled:
        kept = await self._kept(session, outcome)
        if kept.fresh:
            fields = {
                "reconciliation": reconciliation,
                "day": outcome.day.isoformat(),
                "epoch": epoch_of(outcome.day),
                "venue": self._broker.venue,
                **repository.outcome_of(outcome),
            }
            await self._journal.record(
                session, outcome.account, "reconciliation.completed", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
            )
        return kept

    async def _kept(self, session: AsyncSession, outcome: Reconciled) -> Reconciled:
        told = repository.outcome_of(outcome)
        known = await repository.known_outcome(session, outcome.day, outcome.account)
        # A later look finds no order left to settle: that alone is nothing new.
        if known is not None and {**told, "resolved": known["resolved"]} == known and not outcome.resolved:
            return replace(outcome, fresh=False)
        venue, now = self._broker.venue, self._clock.business()
        await repository.keep_outcome(session, outcome.day, outcome.account, venue, told, now)
        return outcome

    async def _halt(self, session: AsyncSession, outcome: Reconciled) -> None:
        reason = f"reconciliation of {outcome.day}: {_told(outcome)}"
        log.error("reconciliation.differs", day=str(outcome.day), account=outcome.account, found=_told(outcome))
        if outcome.account_id is None:
            await self._switch.trip_platform(session, f"{reason}, of an account that is not known here")
        else:
            await self._switch.trip_account(session, outcome.account_id, outcome.subject, reason)


def _foreign(name: str) -> str:
    # A venue's word: none may pass for EVERY_ACCOUNT, or for another that begins alike.
    if PLAIN_NAME.fullmatch(name):
        return name
    return "unknown:" + hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:32]


def _told(outcome: Reconciled) -> str:
    found = outcome.comparison
    counts = {
        "fills of the venue missing here": len(found.missing_here),
        "fills of ours missing at the venue": len(found.missing_there),
        "fills that differ": len(found.differing),
        "orders filled more than once": len(found.repeated),
        "orders of unknown fate": len(outcome.unresolved),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _summary(day: date, venue: str, found: Sequence[Reconciled], now: datetime) -> DaySummary:
    comparisons = [one.comparison for one in found]
    return DaySummary(
        day,
        venue,
        accounts=len(found),
        ours=sum(one.ours for one in comparisons),
        theirs=sum(one.theirs for one in comparisons),
        matched=sum(one.matched for one in comparisons),
        differences=sum(one.differences() for one in comparisons),
        unresolved=sum(len(one.unresolved) for one in found),
        reconciled_at=now,
    )


def _counts(summary: DaySummary) -> dict[str, int]:
    return {
        "accounts": summary.accounts,
        "ours": summary.ours,
        "theirs": summary.theirs,
        "matched": summary.matched,
        "differences": summary.differences,
        "unresolved": summary.unresolved,
    }
