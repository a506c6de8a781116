"""Every service behind the API as bootstrap wires them, over a real log, with fakes only where the outside begins."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.accounts.service import Accounts, access_tokens
from backend.adapters.broker.paper import PaperBroker, PaperRates
from backend.adapters.governance.contracts import ContractBook
from backend.adapters.screening.list_files import ListFiles
from backend.anchoring.service import AnchorService
from backend.artifacts.service import ArtifactService
from backend.audit.models import RecordRow
from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.audit.service.erasure import ErasureService
from backend.bootstrap import before_the_next
from backend.compliance.service import ComplianceGate, CredentialService
from backend.decisions.service import DecisionService, ModelStore
from backend.execution.service import ExecutionService, ReconciliationService
from backend.governance.service import ModelService, ProposalService
from backend.kernel.clock import close_of, epoch_of
from backend.kit.db import Database
from backend.kit.limits import MemoryLimiter
from backend.kit.queue import EmbeddedJobs, Jobs
from backend.market.service import MarketService
from backend.onboarding.service import Onboarding, OnboardingJob, Organisations
from backend.onboarding.service.ledger import CaseLedger
from backend.onboarding.types import Terms
from backend.pipeline.parts import TradeParts
from backend.pipeline.service import OrderService
from backend.pipeline.stages import Stages
from backend.ports.identity_provider import Finding
from backend.ports.journal import Journal
from backend.proofs.engine.kept import Closing
from backend.proofs.engine.returns import returns_id
from backend.proofs.repository import mark_closed
from backend.proofs.service import AttestationService, ClosingJob, EpochService, ReturnsService
from backend.proofs.types import Matrix
from backend.risk.service import KillSwitch, RiskGate
from backend.screening.service import ScreeningLists, ScreeningReviews, ScreeningService
from backend.transparency.service import AccountExports, PackBuilder, forget
from tests.backend.accounts.site import Site, local_settings, wallet
from tests.backend.artifacts.stores import FakeStore
from tests.backend.governance.dao import FakeVotes
from tests.backend.governance.test_service import Registry, SomeKeeper
from tests.backend.onboarding.desk import KEYS, FakeProvider, FakeScreening
from tests.backend.pipeline.rooms import FIRST_DAY, LIMITS, MARKET_DATA, FakePolicy, MoodyBroker
from tests.backend.screening.room import FINGERPRINTS
from tests.fakes import FakeChain, FakeClock, FakeSigner

API = "/api/v1"
ORIGIN = "refi.trading/test"
OPENED = datetime(2016, 1, 4, 21, tzinfo=UTC)
WALLETS = {name: wallet(name) for name in ("admin", "operator", "regulator", "trader")}
CCID = b"\x07" * 32
RETENTION = timedelta(days=1826)


class MovingClock(FakeClock):
    """A fake clock that the market moves."""

    def set(self, moment: datetime) -> None:
        """Move the business time."""
        self.business_time = moment


class Oracle:
    """ReturnsOracle as far as one publication goes."""

    def __init__(self, chain: FakeChain) -> None:
        self.published: dict[tuple[bytes, int], bytes] = {}
        chain.answer("ReturnsOracle", "returnsIdOf", lambda *key: self.published.get(key, bytes(32)))
        chain.answer("ReturnsOracle", "publish", self._publish)

    def _publish(self, universe: bytes, epoch: int, prices: list[int], packed: bytes) -> None:
        self.published[universe, epoch] = returns_id(Matrix(universe, epoch, tuple(prices), packed))


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as the tests look at it: whose chain it is on, what happened, and its fields' names."""

    who: str
    event: str
    fields: frozenset[str]


class Whole:
    """The platform behind HTTP, and its log."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.pseudonyms: dict[str, str] = {}
        self.clock = clock = MovingClock(business=OPENED)
        self.signer = FakeSigner()
        self.chain = chain = FakeChain(self.signer)
        self.chain.register_log(ORIGIN, self.signer.log_public_key())
        chain.answer("IdentityRegistry", "getIdentity", lambda _account: CCID)
        chain.answer("IdentityRegistry", "removeIdentity", lambda *_: None)
        for function in ("registerCredential", "renewCredential", "removeCredential"):
            chain.answer("CredentialRegistry", function, lambda *_: None)
        Oracle(chain)
        self.governance = Registry(chain)
        self.store = FakeStore()
        self.settings = local_settings(folder, first_admin=WALLETS["admin"].address)
        self.journal = journal = AuditJournal(clock)
        self.reader = LogReader()
        self.market = MarketService(MARKET_DATA, clock, chain, journal)
        self.policy = FakePolicy()
        models = ModelStore(folder / "models")
        self.decisions = DecisionService(self.market, MARKET_DATA, models)
        self.compliance = ComplianceGate(self.policy, self.governance, self.market.price, clock)
        self.switch = KillSwitch(self.market, journal)
        self.risk = RiskGate(self.market, MARKET_DATA, journal, self.switch, LIMITS)
        rates = PaperRates(Decimal("0.0002"), Decimal("0.0005"))
        self.broker = MoodyBroker(PaperBroker(self.market.price, rates, clock))
        self.execution = ExecutionService(
            self.broker, self.compliance, self.risk, self.decisions, journal, Decimal(100_000)
        )
        self.jobs = EmbeddedJobs(database, {})
        self.identity_provider = FakeProvider(finding=Finding.REFERRED)
        self.site = Site(database, self.settings, clock, services=self._services())

    def _services(self) -> dict[type, object]:
        database, journal, clock, chain = self.database, self.journal, self.clock, self.chain

        async def open_account(_session: AsyncSession, account: Any) -> Mapping[str, str | int]:
            return await epochs.open_account_fields(account)

        accounts = Accounts(self.settings, clock, journal, MemoryLimiter(), access_tokens(self.settings), open_account)
        epochs = EpochService(journal, clock, accounts, self.execution, MARKET_DATA.universe())
        reconciliations = ReconciliationService(
            self.broker, self.execution, accounts, self.switch, journal, clock, retention=RETENTION
        )

        async def close_day(session: AsyncSession, ending: date) -> Closing:
            found = await reconciliations.compare(session, ending, closing=True)
            closed = await epochs.close(session, epoch_of(ending))
            await reconciliations.conclude(session, ending, found)
            return closed

        async def on_breach(_session: AsyncSession, _breach: object) -> None:
            raise AssertionError("nothing is attested here")

        self.market.before_advance.append(before_the_next(close_day))
        closing = ClosingJob(database, epochs, MARKET_DATA, clock, close_day, self.market.load)
        self.artifacts = ArtifactService(self.store, journal, clock)
        governed = ModelService(chain, self.governance, self.artifacts, SomeKeeper(), journal, clock)
        public_key = self.signer.log_public_key()
        self.anchoring = AnchorService(
            database, chain, self.reader, journal, clock, origin=ORIGIN, public_key=public_key, chain_id=chain.id
        )
        attestations = AttestationService(
            database,
            chain,
            None,  # type: ignore[arg-type]
            self.reader,
            self.anchoring,
            journal,
            clock,
            circuit="none",
            constraints=1,
            policy_id=bytes(32),
            on_breach=on_breach,
        )
        parts = TradeParts(self.decisions, governed, self.compliance, attestations)
        stages = Stages(
            self.decisions, self.compliance, self.risk, self.execution, journal, len(MARKET_DATA.universe())
        )
        read = (database, self.reader, self.anchoring, journal)
        exports = AccountExports(*read, accounts, origin=ORIGIN, public_key=public_key)
        packs = PackBuilder(*read, parts, origin=ORIGIN, public_key=public_key)
        erasures = ErasureService(database, journal, clock, retention=RETENTION, forget=[forget])
        terms, screened = Terms(timedelta(days=365), timedelta(days=30), four_eyes=False), FakeScreening()
        ledger, credentials = CaseLedger(journal, clock, self.jobs, terms, screened), CredentialService(chain, journal)
        limiter, provider = MemoryLimiter(), self.identity_provider
        self.onboarding = OnboardingJob(database, ledger, provider, screened, credentials, KEYS, clock, terms)
        made: Sequence[object] = (
            Onboarding(ledger, provider, KEYS, journal, clock, limiter, terms), Organisations(ledger), self.onboarding,
            accounts, self.market, self.decisions, self.compliance, self.risk, self.switch, self.execution,
            reconciliations, self.artifacts, governed, closing, attestations, self.anchoring, self.reader, exports,
            packs, erasures, ReturnsService(chain, MARKET_DATA, self.artifacts, journal, clock, window=90),
        )  # fmt: skip
        listed = ListFiles(self.folder / "screening")
        lists = ScreeningLists(database, listed, journal, clock, RETENTION)
        self.screening = ScreeningService(database, listed, lists, journal, clock, FINGERPRINTS)
        made = (*made, lists, self.screening, ScreeningReviews(journal, clock))
        return {
            **{type(service): service for service in made},
            ProposalService: ProposalService(chain, ContractBook(self.folder), FakeVotes(), journal),
            OrderService: OrderService(stages),
            CredentialService: credentials,
            Jobs: self.jobs,
            Journal: journal,
        }

    async def anchor(self) -> None:
        """Bring every record into the log and anchor it."""
        await Sequencer(self.database, self.signer, self.clock, ORIGIN).integrate()
        await self.anchoring.anchor_now()

    async def entries(self, after: int = 0) -> list[Entry]:
        """Return the records behind a number of them, in order."""
        async with self.database.reading() as session:
            system = await self.journal.system_account(session)
            query = select(RecordRow).where(RecordRow.id > after).order_by(RecordRow.id)
            rows = (await session.scalars(query)).all()
        names = {pseudonym: name for name, pseudonym in self.pseudonyms.items()} | {system: "system"}
        return [Entry(names.get(row.account, "new"), row.event, frozenset(json.loads(row.fields))) for row in rows]

    async def count(self) -> int:
        """Return how many records there are."""
        return len(await self.entries())


@dataclass(frozen=True, slots=True)
class Floor:
    """The platform with somebody signed in a role, and a stranger."""

    whole: Whole
    clients: Mapping[str, httpx.AsyncClient]
    addresses: Mapping[str, str]

    def __getitem__(self, role: str) -> httpx.AsyncClient:
        return self.clients[role]


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[Floor]:
    """Yield the platform on its first trading day, with an account a role."""
    whole = Whole(database, folder)
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(whole.site.browser()) for name in (*WALLETS, "stranger")}
        for name, signer in WALLETS.items():
            made = await whole.site.sign_in(clients[name], signer)
            made.raise_for_status()
            whole.pseudonyms[name] = made.json()["user"]["pseudonym"]
        for role in ("operator", "regulator"):
            granted = await clients["admin"].put(
                f"{API}/accounts/{WALLETS[role].address}/roles", json={"roles": [role]}
            )
            granted.raise_for_status()
        whole.clock.set(close_of(FIRST_DAY))
        # Every day before the first has been closed.
        async with database.transaction() as session:
            await mark_closed(session, epoch_of(FIRST_DAY) - 1)
        yield Floor(whole, clients, {name: signer.address for name, signer in WALLETS.items()})
