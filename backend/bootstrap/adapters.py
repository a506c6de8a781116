"""The adapter of every port: one match a setting, the import inside its case."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import assert_never

from backend.kernel.clock import close_of
from backend.kernel.errors import Invalid
from backend.kit.db import Database
from backend.kit.limits import Limiter, MemoryLimiter
from backend.kit.queue import EmbeddedJobs, Handlers, Jobs
from backend.market.service import ReplayedClock
from backend.ports.chain import Chain
from backend.ports.content_store import ContentStore
from backend.ports.governance import Contracts, Votes
from backend.ports.market_data import MarketData
from backend.ports.policy import Policy
from backend.ports.prover import Prover
from backend.ports.signer import KeyRole, Signer
from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


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


def make_governance(settings: Settings) -> tuple[Contracts, Votes]:
    """Return what reads and writes proposals: the deployment's ABIs, and the governor's events."""
    from backend.adapters.governance.contracts import ContractBook
    from backend.adapters.governance.votes import GovernorVotes

    folder = settings.deployment_dir
    return ContractBook(folder), GovernorVotes(settings.rpc_url, folder, timeout=settings.rpc_timeout)


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

            return EnginePolicy(chain, signer.address(KeyRole.ANCHORER), settings.policy_engine)
        case "ace":
            from backend.adapters.policy.ace_platform import AcePlatform, AcePlatformPolicy
            from backend.adapters.policy.engine import EnginePolicy

            if not (settings.ace_chain_selector and settings.ace_api_key.get_secret_value()):
                raise Invalid("REFI_POLICY=ace needs REFI_ACE_API_KEY and REFI_ACE_CHAIN_SELECTOR")
            relay = signer.address(KeyRole.ANCHORER)
            return AcePlatformPolicy(
                EnginePolicy(chain, relay, settings.policy_engine),
                AcePlatform(settings.ace_url, settings.ace_api_key.get_secret_value()),
                chain, relay, settings.ace_chain_selector, lambda: datetime.now(UTC).date(),
                patience=settings.ace_patience,
            )  # fmt: skip
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
