"""Every service, put together once a process."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.service import Accounts, access_tokens
from backend.anchoring.service import AnchorService
from backend.artifacts.service import ArtifactService
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.audit.service.erasure import ErasureService, Forget
from backend.bootstrap.adapters import Outside, make_governance, make_jobs, make_l1, make_outside
from backend.bootstrap.deployment import CIRCUIT, WINDOW, constraints, var_limits, var_policy_id
from backend.bootstrap.identities import forgetting
from backend.bootstrap.rules import rule_services
from backend.bootstrap.screening import people
from backend.compliance.service import CapService, ComplianceGate
from backend.compliance.types import GateTerms
from backend.decisions.service import DecisionService, ModelStore
from backend.execution.service import ExecutionService, Rebates, ReconciliationService
from backend.governance.service import ModelService, ProposalService, StakeService
from backend.kernel.clock import epoch_of
from backend.kit.db import Database
from backend.kit.queue import Chore, Handler, Handlers, JobBoard, Jobs, WorkerRuntime
from backend.market.service import AdvanceHook, MarketService
from backend.market.types import DataBounds
from backend.onboarding.service import OnboardingJob
from backend.pipeline.parts import TradeParts
from backend.pipeline.service import OrderService
from backend.pipeline.stages import Stages
from backend.ports.broker import Broker
from backend.ports.journal import Journal
from backend.ports.signer import KeyRole
from backend.proofs.engine.kept import Attestation, Closing
from backend.proofs.engine.returns import universe_id
from backend.proofs.service import (
    AttestationService,
    AttestingJob,
    CloseDay,
    ClosingJob,
    CountersignService,
    EpochService,
    Hold,
    OnBreach,
    ReturnsService,
)
from backend.proofs.tasks import handlers as proof_handlers
from backend.risk.service import KillSwitch, RiskGate
from backend.risk.types import RiskLimits
from backend.screening.service import ScreeningSweep
from backend.settings import Settings
from backend.transparency.service import AccountExports, LogBundles, PackBuilder, forget

CONFIDENCE = Decimal("0.95")


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything that runs, by type; built once a process."""

    settings: Settings
    database: Database
    outside: Outside
    services: Mapping[type, object]
    sequencer: Sequencer
    handlers: Handlers
    jobs: Jobs
    closers: Sequence[Callable[[], Awaitable[None]]]

    def service(self, kind: type[Any]) -> Any:
        """Return the one instance of a service."""
        return self.services[kind]

    async def load(self) -> None:
        """Take up the business clock where the database left it."""
        async with self.database.reading() as session:
            await self.service(MarketService).load(session)

    async def close(self) -> None:
        """Give everything back."""
        for close in self.closers:
            await close()


def risk_limits(settings: Settings) -> RiskLimits:
    """Return what the risk gate judges by."""
    return RiskLimits(
        max_order_notional=settings.max_order_notional_usd,
        var_limit=settings.var_limit_usd,
        drawdown_trip_share=settings.drawdown_trip_share,
        cost_rate=(1 + settings.slippage_rate) * (1 + settings.fee_rate) - 1,
        confidence=CONFIDENCE,
        window=WINDOW,
        es_limit=settings.es_limit_usd,
        data=DataBounds(settings.returns_jump_bound, settings.returns_stale_days),
    )


async def require_var_policy(platform: Platform) -> None:
    """Raise Conflict or NotFound where the policy on chain is not the one that the settings describe."""
    attestations: AttestationService = platform.service(AttestationService)
    universe = universe_id(platform.outside.market_data.universe())
    await attestations.require_policy(var_limits(platform.settings), universe)


def halting(accounts: Accounts, switch: KillSwitch) -> OnBreach:
    """Return what a breach does: the wallet's orders stop, for the limits that it broke."""
    names = {"var": "VaR", "es": "expected shortfall"}

    async def on_breach(session: AsyncSession, breach: Attestation) -> None:
        holder = await accounts.find(session, address=breach.subject)
        broken = " and ".join(names[limit] for limit in breach.broken)
        await switch.trip_account(session, holder.account_id, breach.subject, f"{broken} above the policy's limit")

    return on_breach


def holding(accounts: Accounts, execution: ExecutionService) -> Hold:
    """Return what keeps a wallet's orders waiting until the transaction ends."""

    async def hold(session: AsyncSession, subject: str) -> None:
        holder = await accounts.find(session, address=subject)
        await execution.lock(session, holder.account_id)

    return hold


def gate_terms(settings: Settings, broker: Broker) -> GateTerms:
    """Return the terms of the compliance gate: a watcher that missed three looks is gone."""
    return GateTerms(
        cache_lifetime=settings.policy_cache_lifetime,
        grace=settings.policy_grace,
        watched_within=3 * settings.watch_interval,
        paper=settings.unapproved_models == "paper" and not broker.live,
    )


def before_the_next(close_day: CloseDay) -> AdvanceHook:
    """Return what closes a replayed day with the opening of the next."""

    async def hook(session: AsyncSession, ending: date, _next: date) -> None:
        await close_day(session, ending)

    return hook


def build(settings: Settings) -> Platform:
    """Build the platform from its settings."""
    from backend.adapters.broker.paper import PaperBroker, PaperRates
    from backend.adapters.governance.registry import RegistryGovernance
    from backend.adapters.staking.contract import ContractStaking

    outside = make_outside(settings)
    clock, chain, market_data = outside.clock, outside.chain, outside.market_data
    database = Database(settings.database)
    journal = AuditJournal(clock)
    public_key = outside.signer.log_public_key()
    reader = LogReader()
    l1 = make_l1(settings, outside.signer)
    anchoring = AnchorService(
        database, chain, reader, journal, clock,
        origin=settings.origin, public_key=public_key, chain_id=settings.chain_id, l1=l1,
    )  # fmt: skip

    market = MarketService(market_data, clock, chain, journal)
    store = ModelStore(settings.state_dir / "models")
    governance = RegistryGovernance(chain)
    artifacts = ArtifactService(outside.content_store, journal, clock)
    models = ModelService(chain, governance, artifacts, store, journal, clock)
    contracts, votes = make_governance(settings)
    stakes = StakeService(chain)
    proposals = ProposalService(chain, contracts, votes, journal)
    decisions = DecisionService(market, market_data, store)
    rates = PaperRates(settings.fee_rate, settings.slippage_rate)
    broker = PaperBroker(market.price, rates, clock, settings.state_dir / "paper_venue.sqlite3")
    compliance = ComplianceGate(outside.policy, governance, market.price, clock, gate_terms(settings, broker))
    switch = KillSwitch(market, journal)
    limits = risk_limits(settings)
    risk = RiskGate(market, market_data, journal, switch, limits, CapService(chain).record_review)
    execution = ExecutionService(broker, compliance, risk, decisions, journal, settings.initial_cash_usd)
    stages = Stages(decisions, compliance, risk, execution, journal, len(market_data.universe()))

    async def open_account(_session: AsyncSession, account: Any) -> Mapping[str, str | int]:
        return await epochs.open_account_fields(account)

    accounts = Accounts(settings, clock, journal, outside.limiter, access_tokens(settings), open_account)
    epochs = EpochService(journal, clock, accounts, execution, market_data.universe())

    reconciliations = ReconciliationService(
        broker, execution, accounts, switch, journal, clock, retention=settings.retention
    )

    rebates = Rebates(database, ContractStaking(chain), journal, clock)

    async def close_day(session: AsyncSession, ending: date) -> Closing:
        # Orders of unknown fate are settled before positions are committed to; the system's chain comes last.
        found = await reconciliations.compare(session, ending, closing=True)
        closed = await epochs.close(session, epoch_of(ending))
        await reconciliations.conclude(session, ending, found)
        return closed

    # A replayed day is closed with the opening of the next; the job closes what a running clock has passed.
    market.before_advance.append(before_the_next(close_day))
    closing = ClosingJob(database, epochs, market_data, clock, close_day, market.load)
    returns = ReturnsService(chain, market_data, artifacts, journal, clock, window=WINDOW, bounds=limits.data)
    countersigning = CountersignService(
        chain, market_data, journal, outside.signer.address(KeyRole.COUNTERSIGNER), window=WINDOW, bounds=limits.data
    )

    attestations = AttestationService(
        database, chain, outside.prover, reader, anchoring, journal, clock,
        circuit=CIRCUIT, constraints=constraints(settings), policy_id=var_policy_id(settings),
        on_breach=halting(accounts, switch), hold=holding(accounts, execution),
        pinner=artifacts,
    )  # fmt: skip

    handlers: dict[str, Handler] = dict(proof_handlers(attestations))
    jobs = make_jobs(settings, database, handlers)
    screening, onboarding = people(settings, outside, database, journal, jobs, handlers)
    disclosures = _disclosures(
        settings, outside, database, reader, anchoring, journal, accounts, artifacts,
        TradeParts(decisions, models, compliance, attestations),
        [forget, forgetting(onboarding.cases)],
    )  # fmt: skip
    services: dict[type, object] = {
        type(service): service
        for service in (
            settings, database, accounts, market, decisions, compliance, risk, switch, execution, reconciliations,
            rebates, artifacts, models, proposals, stakes, epochs, closing, returns, countersigning, attestations,
            anchoring, reader, *screening.services(), *onboarding.services(), *disclosures,
        )
    }  # fmt: skip
    services |= {
        AttestingJob: AttestingJob(database, chain, reader, anchoring, clock, jobs, policy_id=attestations.policy_id),
        OrderService: OrderService(stages),
        **rule_services(database, chain, journal, clock),
        Journal: journal,
        Jobs: jobs,
        JobBoard: JobBoard(),
    }
    sequencer = Sequencer(database, outside.signer, clock, settings.origin, interval=settings.checkpoint_interval)
    return Platform(
        settings, database, outside, services, sequencer, handlers, jobs,
        [
            onboarding.provider.close, outside.limiter.close, outside.policy.close, chain.close, votes.close,
            *([l1.close] if l1 else []), database.close,
        ],
    )  # fmt: skip


def _disclosures(
    settings: Settings,
    outside: Outside,
    database: Database,
    reader: LogReader,
    anchoring: AnchorService,
    journal: AuditJournal,
    accounts: Accounts,
    artifacts: ArtifactService,
    parts: TradeParts,
    forgets: Sequence[Forget],
) -> tuple[object, ...]:
    """Return the services that show what the log holds, and the one that forgets."""
    named: dict[str, Any] = {"origin": settings.origin, "public_key": outside.signer.log_public_key()}
    return (
        PackBuilder(database, reader, anchoring, journal, parts, **named),
        AccountExports(database, reader, anchoring, journal, accounts, **named),
        LogBundles(database, reader, anchoring, artifacts, outside.clock, **named),
        ErasureService(database, journal, outside.clock, retention=settings.retention, forget=forgets),
    )


@asynccontextmanager
async def worker_runtime(settings: Settings) -> AsyncIterator[WorkerRuntime]:
    """Yield what a Celery task works with."""
    platform = build(settings)
    try:
        await platform.load()
        artifacts, bundles = platform.service(ArtifactService), platform.service(LogBundles)
        closing = platform.service(ClosingJob)
        rebates: Rebates = platform.service(Rebates)
        onboarding: OnboardingJob = platform.service(OnboardingJob)
        chores: list[Chore] = [
            closing.run_once, onboarding.run_once, platform.service(ScreeningSweep).run_once, rebates.run_once,
            bundles.try_build,
            partial(artifacts.retry_pending, platform.database),
        ]  # fmt: skip
        if settings.attest == "closed":
            chores.append(platform.service(AttestingJob).run_once)
        yield WorkerRuntime(platform.database, platform.handlers, chores=chores)
    finally:
        await platform.close()
