"""The gate in front of execution, and the kill switch."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.repository import account_by_id
from backend.accounts.types import Caller, Role
from backend.compliance.types import ClearedDecision
from backend.kernel.canonical import decimal_string
from backend.kernel.clock import close_of
from backend.kernel.errors import Forbidden, Invalid, NotFound
from backend.kernel.fixed import NOTIONAL_DECIMALS, PRICE_DECIMALS, QUANTITY_DECIMALS, from_units, to_units
from backend.kernel.refusal import Refused
from backend.market.engine import returns_window
from backend.market.service import MarketService
from backend.market.types import ReturnsWindow
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.market_data import MarketData
from backend.risk import repository
from backend.risk.engine.check import Situation, book_of, exposure_of, judge
from backend.risk.engine.killswitch import moved, stops
from backend.risk.engine.limits import cap_of
from backend.risk.models import AccountLimits, HaltRow
from backend.risk.types import ApprovedOrder, Halt, HaltScope, Portfolio, RiskLimits, RiskState, SwitchState

POLICY = "risk:1"
# Told of a review: the wallet, and the commitment of the record that says so.
OnReview = Callable[[str, bytes], Awaitable[object]]
EQUITY_DECIMALS = QUANTITY_DECIMALS + PRICE_DECIMALS
PLATFORM_ROLES = frozenset({Role.OPERATOR, Role.ADMIN})


class KillSwitch:
    """Stops an account's orders or everybody's, until somebody has looked and says so."""

    def __init__(self, market: MarketService, journal: Journal) -> None:
        self._market = market
        self._journal = journal

    async def trip(self, session: AsyncSession, scope: HaltScope, reason: str, caller: Caller) -> Halt:
        """Stop the caller's own orders, or the platform's (operators and admins)."""
        if scope is HaltScope.PLATFORM and PLATFORM_ROLES.isdisjoint(caller.roles):
            raise Forbidden("only operators and admins stop the platform")
        account_id = None if scope is HaltScope.PLATFORM else caller.account_id
        subject = "" if account_id is None else caller.address
        return await self._trip(session, account_id, subject, reason, caller.pseudonym, by_system=False)

    async def trip_account(self, session: AsyncSession, account_id: int, subject: str, reason: str) -> Halt:
        """Stop an account because the platform saw something; a halt of its owner's becomes the platform's."""
        # Nobody else trips or rearms from here on.
        await repository.lock_switch(session, repository.account_switch(account_id))
        open_halts = await repository.open_halts(session, account_id)
        if mine := [row for row in open_halts if row.account_id == account_id]:
            return await self._taken_over(session, mine[0], reason)
        return await self._trip(session, account_id, subject, reason, SYSTEM_ACCOUNT, by_system=True)

    async def trip_platform(self, session: AsyncSession, reason: str) -> Halt:
        """Stop everybody because the platform saw something; a halt that a person made becomes the platform's."""
        await repository.lock_switch(session, repository.PLATFORM)
        if row := await repository.open_platform_halt(session):
            return await self._taken_over(session, row, reason)
        return await self._trip(session, None, "", reason, SYSTEM_ACCOUNT, by_system=True)

    async def review(self, session: AsyncSession, halt_id: int, reason: str, caller: Caller) -> Halt:
        """Say that somebody is looking."""
        return await self._move(session, halt_id, SwitchState.REVIEW, reason, caller)

    async def rearm(self, session: AsyncSession, halt_id: int, reason: str, caller: Caller) -> Halt:
        """Let orders pass again; only after a review, with a reason."""
        return await self._move(session, halt_id, SwitchState.ARMED, reason, caller)

    async def versions(self, session: AsyncSession, account_id: int) -> tuple[int, int] | None:
        """Return the versions of the account's and the platform's switch, None while one of them stops orders."""
        mine, mine_version = await repository.switch_state(session, repository.account_switch(account_id))
        everyone, everyone_version = await repository.switch_state(session, repository.PLATFORM)
        return None if stops(mine) or stops(everyone) else (mine_version, everyone_version)

    async def held_versions(self, session: AsyncSession, account_id: int) -> tuple[int, int] | None:
        """Return what `versions` does; a trip waits until the transaction ends, so that none is told before a fill."""
        mine, mine_version = await repository.hold_switch(session, repository.account_switch(account_id))
        everyone, everyone_version = await repository.hold_switch(session, repository.PLATFORM)
        return None if stops(mine) or stops(everyone) else (mine_version, everyone_version)

    async def halts(self, session: AsyncSession, account_id: int) -> tuple[Halt, ...]:
        """Return what stops an account now."""
        return tuple(repository.halt_of(row) for row in await repository.open_halts(session, account_id))

    async def _trip(
        self, session: AsyncSession, account_id: int | None, subject: str, reason: str, actor: str, *, by_system: bool
    ) -> Halt:
        name = repository.PLATFORM if account_id is None else repository.account_switch(account_id)
        switch = await repository.lock_switch(session, name)
        switch.state = moved(SwitchState(switch.state), SwitchState.TRIPPED, reason).value
        row = await repository.add_halt(session, account_id, subject, reason, by_system, self._market.now())
        switch.version, switch.halt_id = switch.version + 1, row.id
        await session.flush()
        await self._record(session, "halt.tripped", row, reason, actor)
        return repository.halt_of(row)

    async def _taken_over(self, session: AsyncSession, row: HaltRow, reason: str) -> Halt:
        if not row.by_system:
            row.by_system, row.reason = True, reason
            await session.flush()
            await self._record(session, "halt.taken_over", row, reason, SYSTEM_ACCOUNT)
        return repository.halt_of(row)

    async def _move(self, session: AsyncSession, halt_id: int, to: SwitchState, reason: str, caller: Caller) -> Halt:
        row = await repository.halt_row(session, halt_id)
        if row is None or not (row.account_id == caller.account_id or PLATFORM_ROLES & caller.roles):
            raise NotFound("no such halt")
        name = repository.PLATFORM if row.account_id is None else repository.account_switch(row.account_id)
        # Limits before switches, as an order takes them.
        limits = None if row.account_id is None else await repository.lock_limits(session, row.account_id)
        switch = await repository.lock_switch(session, name)
        await session.refresh(row)
        self._require_right(row, caller)
        state = moved(SwitchState(row.state), to, reason)
        switch.state, switch.version, row.state = state.value, switch.version + 1, state.value
        if state is SwitchState.ARMED and limits is not None and row.by_system:
            # The drawdown is measured afresh, or the switch would trip again at once; never on its owner's word.
            limits.peak_equity_units = None
        await session.flush()
        event = "halt.reviewed" if to is SwitchState.REVIEW else "halt.rearmed"
        await self._record(session, event, row, reason, caller.pseudonym)
        return repository.halt_of(row)

    @staticmethod
    def _require_right(row: HaltRow, caller: Caller) -> None:
        if (row.account_id is None or row.by_system) and PLATFORM_ROLES.isdisjoint(caller.roles):
            raise Forbidden("only operators and admins may do this")
        if row.by_system and row.account_id == caller.account_id:
            raise Forbidden("somebody else looks at what the platform stopped")

    async def _record(self, session: AsyncSession, event: str, row: HaltRow, reason: str, actor: str) -> None:
        fields = {"halt": str(row.id), "scope": row.scope, "subject": row.subject, "reason": reason}
        await self._journal.record(session, SYSTEM_ACCOUNT, event, fields, actor=actor, policy=POLICY)


class RiskGate:
    """Approves cleared decisions; without a price or a history it stays closed."""

    def __init__(
        self,
        market: MarketService,
        market_data: MarketData,
        journal: Journal,
        switch: KillSwitch,
        limits: RiskLimits,
        on_review: OnReview | None = None,
    ) -> None:
        self._market = market
        self._market_data = market_data
        self._journal = journal
        self._switch = switch
        self._limits = limits
        self._on_review = on_review
        self._windows: dict[date, ReturnsWindow] = {}

    async def approve(
        self, session: AsyncSession, cleared: ClearedDecision, portfolio: Portfolio
    ) -> ApprovedOrder | Refused:
        """Judge one cleared decision against the account's limits; every answer is kept."""
        versions = await self._switch.versions(session, cleared.account_id)
        if versions is None:
            return await self._refused(session, cleared, Refused("halted", "kill_switch", "trading is halted"))
        own = await repository.lock_limits(session, cleared.account_id)
        window, portfolio = self._window(), portfolio.worst(self._limits.cost_rate)
        if window is not None and await self._drawn_down(session, cleared, portfolio, own, window):
            refusal = Refused("halted", "drawdown", "the account fell too far below its highest equity: halted")
            return await self._refused(session, cleared, refusal)
        situation = Situation(
            portfolio,
            self._limits,
            await self._cap(session, cleared.account_id, own),
            self._var_limit(own),
            self._market.today(),
            self._price_day(cleared.decision.instrument),
            window,
        )
        figures = judge(cleared, situation)
        if isinstance(figures, Refused):
            return await self._refused(session, cleared, figures)
        risk_decision, recorded = secrets.token_hex(16), situation.recorded() | figures.recorded()
        if not await repository.add_decision(
            session, risk_decision, cleared.decision.decision_id, cleared.account_id, "", recorded
        ):
            return Refused("risk", "token_used", "this decision was judged before")
        return ApprovedOrder(cleared, risk_decision, recorded, *versions)

    async def figures(self, session: AsyncSession, risk_decision: str) -> Mapping[str, str]:
        """Return what the gate looked at for a decision."""
        return await repository.figures_of(session, risk_decision)

    async def consume(self, session: AsyncSession, approved: ApprovedOrder) -> Refused | None:
        """Use an approval up: None the first time, while the switches are as they were; else why not."""
        versions = await self._switch.held_versions(session, approved.cleared.account_id)
        if versions != (approved.account_switch, approved.platform_switch):
            return Refused("halted", "kill_switch", "trading was halted meanwhile")
        if not await repository.use_decision(session, approved.risk_decision):
            return Refused("execution", "token_used", "this approval was used before")
        return None

    async def cap(self, session: AsyncSession, account_id: int) -> Decimal:
        """Return an account's progressive cap in USD."""
        return await self._cap(session, account_id, await repository.limits_of(session, account_id))

    async def state(self, session: AsyncSession, account_id: int, portfolio: Portfolio) -> RiskState:
        """Return where an account stands."""
        own, window = await repository.limits_of(session, account_id), self._window()
        halts = await self._switch.halts(session, account_id)
        book = None if window is None else book_of(portfolio.holdings, window)
        return RiskState(
            cap=await self._cap(session, account_id, own),
            exposure=None if window is None else exposure_of(portfolio.holdings, window),
            var=None if book is None else book.var(self._limits.confidence),
            var_limit=self._var_limit(own),
            es=None if book is None else book.es(self._limits.confidence),
            es_limit=self._limits.es_limit,
            halted=bool(halts),
            halts=halts,
        )

    async def record_review(self, session: AsyncSession, subject: Caller, note: str, *, actor: str) -> None:
        """Record that an operator looked at another's performance, which opens the last cap."""
        _require_another(subject, actor)
        own = await repository.lock_limits(session, subject.account_id)
        own.reviewed_at = self._market.now()
        await session.flush()
        fields = {"subject": subject.address, "note": note}
        recorded = await self._journal.record(
            session, SYSTEM_ACCOUNT, "risk.performance_reviewed", fields, actor=actor, policy=POLICY
        )
        if self._on_review is not None:
            await self._on_review(subject.address, recorded.commitment)

    async def set_var_limit(self, session: AsyncSession, subject: Caller, limit: Decimal, *, actor: str) -> None:
        """Give an account a VaR limit of its own, in USD: never above the policy's, for no proof could keep it."""
        if not 0 <= limit <= self._limits.var_limit:
            raise Invalid(f"an account's VaR limit is 0 to {decimal_string(self._limits.var_limit)} USD, the policy's")
        _require_another(subject, actor)
        own = await repository.lock_limits(session, subject.account_id)
        before = self._var_limit(own)
        if own.var_limit_units == to_units(limit, NOTIONAL_DECIMALS):
            return
        own.var_limit_units = to_units(limit, NOTIONAL_DECIMALS)
        await session.flush()
        fields = {
            "subject": subject.address,
            "var_limit_before": decimal_string(before),
            "var_limit": decimal_string(limit),
        }
        await self._journal.record(session, SYSTEM_ACCOUNT, "risk.limit_changed", fields, actor=actor, policy=POLICY)

    async def _refused(self, session: AsyncSession, cleared: ClearedDecision, refused: Refused) -> Refused:
        risk_decision = secrets.token_hex(16)
        decision_id = cleared.decision.decision_id
        kept = await repository.add_decision(
            session, risk_decision, decision_id, cleared.account_id, refused.rule, refused.detail
        )
        detail = {**refused.detail, "compliance_receipt": cleared.receipt_sha256}
        if kept:
            detail["risk_decision"] = risk_decision
        return Refused(refused.gate, refused.rule, refused.reason, detail)

    async def _drawn_down(
        self,
        session: AsyncSession,
        cleared: ClearedDecision,
        portfolio: Portfolio,
        own: AccountLimits,
        window: ReturnsWindow,
    ) -> bool:
        """Keep the highest equity; trip the account's switch when a book that holds something fell too far."""
        exposure = exposure_of(portfolio.holdings, window)
        equity = portfolio.cash + exposure
        peak = from_units(own.peak_equity_units, EQUITY_DECIMALS) if own.peak_equity_units is not None else equity
        own.peak_equity_units = to_units(max(peak, equity), EQUITY_DECIMALS)
        await session.flush()
        if not exposure or equity > peak * (1 - self._limits.drawdown_trip_share):
            return False
        reason = f"equity {decimal_string(equity)} USD after a peak of {decimal_string(peak)} USD"
        await self._switch.trip_account(session, cleared.account_id, cleared.subject, reason)
        return True

    def _window(self) -> ReturnsWindow | None:
        """Return today's closes and returns, None when there are too few days or none today."""
        today = self._market.today()
        if today in self._windows:
            return self._windows[today]
        if self._market.now() < close_of(today):
            return None
        try:
            window = returns_window(self._market_data, today, self._limits.window, self._limits.data)
        except (NotFound, Invalid):
            return None
        self._windows = {today: window}
        return window

    def _price_day(self, instrument: str) -> date | None:
        quote = self._market.quote(instrument)
        return None if quote is None else quote.day

    def _var_limit(self, own: AccountLimits | None) -> Decimal:
        if own is None or own.var_limit_units is None:
            return self._limits.var_limit
        # The policy may have become tighter since
        return min(self._limits.var_limit, from_units(own.var_limit_units, NOTIONAL_DECIMALS))

    async def _cap(self, session: AsyncSession, account_id: int, own: AccountLimits | None) -> Decimal:
        account = await account_by_id(session, account_id)
        if account is None:
            raise NotFound("no such account")
        reviewed = own is not None and own.reviewed_at is not None
        return cap_of(account.opened_at.date(), self._market.today(), reviewed)


def _require_another(subject: Caller, actor: str) -> None:
    if subject.pseudonym == actor:
        raise Forbidden("nobody sets the limits of their own account")
