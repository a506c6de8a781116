"""The place that picks implementations: one match a setting, the import inside its case."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.service import Accounts, access_tokens
from backend.anchoring.service import AnchorService
from backend.artifacts.service import ArtifactService
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.audit.service.erasure import ErasureService
from backend.compliance.service import ComplianceGate, CredentialService
from backend.decisions.service import DecisionService, ModelStore
from backend.execution.service import ExecutionService, ReconciliationService
from backend.governance.service import ModelService
from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Invalid, Unavailable
from backend.kernel.fixed import PNL_DECIMALS, to_units
from backend.kernel.keccak import keccak256
from backend.kit.db import Database
from backend.kit.limits import Limiter, MemoryLimiter
from backend.kit.queue import Chore, EmbeddedJobs, Handlers, JobBoard, Jobs, WorkerRuntime
from backend.market.service import AdvanceHook, MarketService, ReplayedClock
from backend.market.types import DataBounds
from backend.pipeline.parts import TradeParts
from backend.pipeline.service import OrderService
from backend.pipeline.stages import Stages
from backend.ports.chain import Chain
from backend.ports.content_store import ContentStore
from backend.ports.journal import Journal
from backend.ports.market_data import MarketData
from backend.ports.policy import Policy
from backend.ports.prover import Prover
from backend.ports.signer import KeyRole, Signer
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
from backend.proofs.types import Limits
from backend.risk.service import KillSwitch, RiskGate
from backend.risk.types import RiskLimits
from backend.settings import Settings
from backend.transparency.service import AccountExports, LogBundles, PackBuilder, forget

ROOT = Path(__file__).resolve().parents[1]
CIRCUIT = "var_16_90_es"
VERIFIER = "VarVerifier16x90Es"
CONFIDENCE = Decimal("0.95")
WINDOW = 90


@dataclass(frozen=True, slots=True)
class Outside:
    """The ports' adapters."""

    clock: ReplayedClock
    signer: Signer
    chain: Chain
    market_data: MarketData
    content_store: ContentStore
    prover: Prover
    limiter: Limiter
    policy: Policy


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


def make_signer(settings: Settings) -> Signer:
    """Return the keys' keeper."""
    match settings.signer:
        case "keystore":
            from backend.adapters.signer.keystore import KeystoreSigner

            password = settings.keystore_password.get_secret_value()
            return KeystoreSigner(settings.state_dir / "keys", password, local_chain=settings.is_local_chain)
        case _:
            assert_never(settings.signer)


def make_market_data(settings: Settings) -> MarketData:
    """Return the source of prices."""
    match settings.market_data:
        case "replay":
            from backend.adapters.market_data.replay import ReplayMarketData

            if settings.market_data_file is None:
                return ReplayMarketData()
            return ReplayMarketData(settings.market_data_file, str(settings.market_data_file), "as its owner says")
        case _:
            assert_never(settings.market_data)


def make_clock(settings: Settings, market_data: MarketData) -> ReplayedClock:
    """Return both clocks; a replay starts at the close of the first business day."""
    from backend.adapters.clock.replay import ReplayClock

    days = market_data.days()
    try:
        first = date.fromisoformat(settings.first_business_day) if settings.first_business_day else days[-1]
    except ValueError as malformed:
        raise Invalid(f"REFI_FIRST_BUSINESS_DAY={settings.first_business_day} is not a day (YYYY-MM-DD)") from malformed
    if first not in days:
        raise Invalid(f"REFI_FIRST_BUSINESS_DAY={first} is not a day of the market data ({days[0]} to {days[-1]})")
    return ReplayClock(close_of(first))


def make_chain(settings: Settings, signer: Signer) -> Chain:
    """Return the L2."""
    match settings.chain:
        case "rpc":
            from backend.adapters.chain.known import eas
            from backend.adapters.chain.rpc import RpcChain
            from backend.adapters.chain.submitter import Submission

            terms = Submission(settings.tx_patience, settings.tx_deadline, settings.tx_max_fee_gwei * 10**9)
            return RpcChain(
                settings.rpc_url, settings.deployment_dir, signer,
                timeout=settings.rpc_timeout, submission=terms, known={"EAS": eas()},
            )  # fmt: skip
        case _:
            assert_never(settings.chain)


def make_l1(settings: Settings, signer: Signer) -> Chain | None:
    """Return L1, where there is one to learn from which anchors were proven there."""
    if not (settings.l1_rpc_url and settings.l1_verifier):
        return None
    from backend.adapters.chain.known import l1_anchor_verifier
    from backend.adapters.chain.rpc import RpcChain

    known = {"L1AnchorVerifier": l1_anchor_verifier(settings.l1_verifier)}
    nowhere = settings.deployments_dir.absolute() / "l1"
    return RpcChain(settings.l1_rpc_url, nowhere, signer, timeout=settings.rpc_timeout, known=known)


def make_content_store(settings: Settings) -> ContentStore:
    """Return where artifacts are kept by content."""
    match settings.content_store:
        case "directory":
            from backend.adapters.content_store.directory import DirectoryStore

            return DirectoryStore(settings.state_dir / "content")
        case "kubo":
            from backend.adapters.content_store.kubo import KuboStore

            return KuboStore(settings.kubo_url)
        case _:
            assert_never(settings.content_store)


def make_prover(settings: Settings) -> Prover:
    """Return the maker of proofs."""
    match settings.prover:
        case "groth16":
            from backend.adapters.prover.groth16 import Groth16Process

            return Groth16Process(ROOT, settings.proving_keys_dir.absolute())
        case "snarkjs":
            from backend.adapters.prover.groth16 import Groth16Process

            return Groth16Process(ROOT, settings.proving_keys_dir.absolute(), engine="snarkjs")
        case _:
            assert_never(settings.prover)


def make_policy(settings: Settings, chain: Chain, signer: Signer) -> Policy:
    """Return who asks the on-chain rules; orders are checked as the anchorer's relay would send them."""
    match settings.policy:
        case "engine":
            from backend.adapters.policy.engine import EnginePolicy

            return EnginePolicy(chain, signer.address(KeyRole.ANCHORER))
        case _:
            assert_never(settings.policy)


def make_limiter(settings: Settings) -> Limiter:
    """Return who counts attempts: all processes together where there is a Redis."""
    if settings.redis_url is None:
        return MemoryLimiter()
    from backend.kit.limits import RedisLimiter

    return RedisLimiter(settings.redis_url.get_secret_value())


def make_jobs(settings: Settings, database: Database, handlers: Handlers) -> Jobs:
    """Return who takes background work."""
    match settings.jobs:
        case "embedded":
            return EmbeddedJobs(database, handlers)
        case "celery":
            from backend.kit.celery_jobs import CeleryJobs, celery_app

            if settings.redis_url is None:
                raise Invalid("REFI_JOBS=celery needs REFI_REDIS_URL")
            return CeleryJobs(database, celery_app(settings.redis_url.get_secret_value()))
        case _:
            assert_never(settings.jobs)


def make_outside(settings: Settings) -> Outside:
    """Return every adapter."""
    signer, market_data = make_signer(settings), make_market_data(settings)
    chain = make_chain(settings, signer)
    return Outside(
        clock=make_clock(settings, market_data),
        signer=signer,
        chain=chain,
        market_data=market_data,
        content_store=make_content_store(settings),
        prover=make_prover(settings),
        limiter=make_limiter(settings),
        policy=make_policy(settings, chain, signer),
    )


def var_limits(settings: Settings) -> Limits:
    """Return the limits of the VaR policy, 1e-16 USD."""
    return Limits(*(to_units(limit, PNL_DECIMALS) for limit in (settings.var_limit_usd, settings.es_limit_usd)))


def var_policy_id(settings: Settings) -> bytes:
    """Return the id of the VaR policy that a deployment is made with: it names all that the policy pins.

    A policy is immutable on chain: other limits or another key are another policy, with a chain of its own.
    """
    limits, key_hash = var_limits(settings), _beside_the_key(settings, "meta.json", "verification_key_hash")
    return keccak256(f"{settings.origin}/{CIRCUIT}/{key_hash}/{limits.var}/{limits.es}".encode())


def constraints(settings: Settings) -> int:
    """Return the circuit's number of constraints as the compiler counted them."""
    return int(_beside_the_key(settings, "counts.json", "non_linear_constraints"))


def _beside_the_key(settings: Settings, file: str, name: str) -> str | int:
    path = settings.proving_keys_dir / CIRCUIT / file
    try:
        found: str | int = json.loads(path.read_text())[name]
    except (OSError, ValueError, KeyError) as missing:
        raise Unavailable(f"{path} is missing: run `make build`") from missing
    return found


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


def before_the_next(close_day: CloseDay) -> AdvanceHook:
    """Return what closes a replayed day with the opening of the next."""

    async def hook(session: AsyncSession, ending: date, _next: date) -> None:
        await close_day(session, ending)

    return hook


def build(settings: Settings) -> Platform:
    """Build the platform from its settings."""
    from backend.adapters.broker.paper import PaperBroker, PaperRates
    from backend.adapters.governance.registry import RegistryGovernance

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
    decisions = DecisionService(market, market_data, store)
    compliance = ComplianceGate(outside.policy, governance, market.price)
    switch = KillSwitch(market, journal)
    bounds = DataBounds(settings.returns_jump_bound, settings.returns_stale_days)
    limits = RiskLimits(
        max_order_notional=settings.max_order_notional_usd,
        var_limit=settings.var_limit_usd,
        drawdown_trip_share=settings.drawdown_trip_share,
        cost_rate=(1 + settings.slippage_rate) * (1 + settings.fee_rate) - 1,
        confidence=CONFIDENCE,
        window=WINDOW,
        es_limit=settings.es_limit_usd,
        data=bounds,
    )
    risk = RiskGate(market, market_data, journal, switch, limits)
    rates = PaperRates(settings.fee_rate, settings.slippage_rate)
    broker = PaperBroker(market.price, rates, clock, settings.state_dir / "paper_venue.sqlite3")
    execution = ExecutionService(broker, risk, decisions, journal, settings.initial_cash_usd)
    stages = Stages(decisions, compliance, risk, execution, journal, len(market_data.universe()))

    async def open_account(_session: AsyncSession, account: Any) -> Mapping[str, str | int]:
        return await epochs.open_account_fields(account)

    accounts = Accounts(settings, clock, journal, outside.limiter, access_tokens(settings), open_account)
    epochs = EpochService(journal, clock, accounts, execution, market_data.universe())

    reconciliations = ReconciliationService(
        broker, execution, accounts, switch, journal, clock, retention=settings.retention
    )

    async def close_day(session: AsyncSession, ending: date) -> Closing:
        # Orders of unknown fate are settled before positions are committed to; the system's chain comes last.
        found = await reconciliations.compare(session, ending, closing=True)
        closed = await epochs.close(session, epoch_of(ending))
        await reconciliations.conclude(session, ending, found)
        return closed

    # A replayed day is closed with the opening of the next; the job closes what a running clock has passed.
    market.before_advance.append(before_the_next(close_day))
    closing = ClosingJob(database, epochs, market_data, clock, close_day, market.load)
    returns = ReturnsService(chain, market_data, artifacts, journal, clock, window=WINDOW, bounds=bounds)
    second = outside.signer.address(KeyRole.COUNTERSIGNER)
    countersigning = CountersignService(chain, market_data, journal, second, window=WINDOW, bounds=bounds)

    attestations = AttestationService(
        database, chain, outside.prover, reader, anchoring, journal, clock,
        circuit=CIRCUIT, constraints=constraints(settings), policy_id=var_policy_id(settings),
        on_breach=halting(accounts, switch), hold=holding(accounts, execution),
        pinner=artifacts,
    )  # fmt: skip
    packs = PackBuilder(
        database, reader, anchoring, journal, TradeParts(decisions, models, compliance, attestations),
        origin=settings.origin, public_key=public_key,
    )  # fmt: skip
    exports = AccountExports(
        database, reader, anchoring, journal, accounts, origin=settings.origin, public_key=public_key
    )
    bundles = LogBundles(database, reader, anchoring, artifacts, clock, origin=settings.origin, public_key=public_key)
    erasures = ErasureService(database, journal, clock, retention=settings.retention, forget=[forget])

    handlers: Handlers = dict(proof_handlers(attestations))
    jobs = make_jobs(settings, database, handlers)
    services: dict[type, object] = {
        type(service): service
        for service in (
            settings, database, accounts, market, decisions, compliance, risk, switch, execution, reconciliations,
            artifacts, models, epochs, closing, returns, countersigning, attestations, anchoring, reader, packs,
            exports, erasures, bundles,
        )
    }  # fmt: skip
    services |= {
        AttestingJob: AttestingJob(database, chain, reader, anchoring, clock, jobs, policy_id=attestations.policy_id),
        OrderService: OrderService(stages),
        CredentialService: CredentialService(chain, journal),
        Journal: journal,
        Jobs: jobs,
        JobBoard: JobBoard(),
    }
    sequencer = Sequencer(database, outside.signer, clock, settings.origin, interval=settings.checkpoint_interval)
    closers = [outside.limiter.close, chain.close, *([l1.close] if l1 else []), database.close]
    return Platform(settings, database, outside, services, sequencer, handlers, jobs, closers)


@asynccontextmanager
async def worker_runtime(settings: Settings) -> AsyncIterator[WorkerRuntime]:
    """Yield what a Celery task works with."""
    platform = build(settings)
    try:
        await platform.load()
        artifacts, bundles = platform.service(ArtifactService), platform.service(LogBundles)
        closing = platform.service(ClosingJob)
        chores: list[Chore] = [closing.run_once, bundles.try_build, partial(artifacts.retry_pending, platform.database)]
        if settings.attest == "closed":
            chores.append(platform.service(AttestingJob).run_once)
        yield WorkerRuntime(platform.database, platform.handlers, chores=chores)
    finally:
        await platform.close()


def deployment_plan(settings: Settings, voters: Sequence[str]) -> Mapping[str, object]:
    """Return what scripts/deploy is asked to do for these settings: roles, log, universe, key and VaR policy."""
    signer, limits = make_signer(settings), var_limits(settings)
    key = asyncio.run(make_prover(settings).key(CIRCUIT))
    roles = {role.value: signer.address(role) for role in KeyRole}
    return {
        "roles": roles | {"guardian": roles["operator"], "relay": roles["anchorer"]},
        "voters": list(voters),
        "log": {"origin": settings.origin, "public_key": signer.log_public_key().hex()},
        "universe": {"instruments": list(make_market_data(settings).universe()), "window": WINDOW},
        "verifiers": {VERIFIER: {"circuit": key.circuit, "key": key.verifying_key.hex(), "insecure": key.insecure}},
        "var_policies": [
            {
                "policy_id": var_policy_id(settings).hex(),
                "verifier": VERIFIER,
                "limit": str(limits.var),
                "es_limit": str(limits.es),
                "circuit_hash": key.circuit_hash.hex(),
            }
        ],
        "max_notional_usd": str(settings.max_order_notional_usd),
        "out": str(settings.deployment_dir),
    }
