"""The stages of an order put together from real services and fake ports, for the tests of every stage."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import numpy as np
import torch
from sqlalchemy.ext.asyncio import AsyncSession

from agents.env import ACTIONS
from agents.export import save_model
from agents.features import FEATURE_SCHEMA, Normaliser
from agents.model import Model
from agents.networks import QNetwork
from backend.accounts.repository import account_by_pseudonym, open_account
from backend.accounts.types import Caller, Role
from backend.adapters.broker.paper import PaperBroker, PaperRates
from backend.adapters.clock.replay import ReplayClock
from backend.adapters.market_data.replay import ReplayMarketData
from backend.adapters.policy.engine import order_context
from backend.compliance.service import ComplianceGate
from backend.compliance.types import GateTerms
from backend.decisions.service import DecisionService, Intent, ModelStore, PersonIntent
from backend.execution.service import ExecutionService, ReconciliationService
from backend.kernel.clock import close_of
from backend.kernel.errors import NotFound, Unavailable
from backend.kit.db import Database
from backend.market.service import MarketService
from backend.pipeline.stages import Stages, Submission, run
from backend.pipeline.types import Outcome
from backend.ports.broker import Accepted, Execution, Rejected, Unknown, VenueOrder
from backend.ports.governance import ModelState
from backend.ports.market_data import MarketData
from backend.ports.policy import OrderCheck, Silent, Verdict
from backend.risk.service import KillSwitch, RiskGate
from backend.risk.types import RiskLimits
from tests.fakes import FakeChain, FakeClock, FakeJournal

FIRST_DAY = date(2016, 6, 1)
MARKET_DATA = ReplayMarketData()
LIMITS = RiskLimits(
    max_order_notional=Decimal(50_000),
    var_limit=Decimal(2_000),
    drawdown_trip_share=Decimal("0.15"),
    cost_rate=Decimal("0.0007"),
)
INITIAL_CASH = Decimal(100_000)
RETENTION = timedelta(days=1826)


class FakePolicy:
    """Allows what it is not told to refuse."""

    def __init__(self) -> None:
        self.refuses: dict[str, tuple[str, str]] = {}
        self.nameless = False
        self.asked: list[OrderCheck] = []
        self.down = False
        self.nonsense = False
        self.together: list[int] = []
        self.closed = 0
        # Of a wallet's orders in all, USD; None: no limit.
        self.limit: Decimal | None = None

    async def check(self, order: OrderCheck) -> Verdict:
        """Answer as told, by wallet."""
        if self.down:
            raise Silent("no answer")
        if self.nonsense:
            raise Unavailable("nonsense")
        self.asked.append(order)
        policy, reason = self.refuses.get(order.subject, ("", ""))
        if self.limit is not None and order.cumulative + order.notional > self.limit:
            policy, reason = "SlidingVolumePolicy", "too much"
        return Verdict(
            allowed=not policy and not self.nameless,
            engine="0x" + "aa" * 20,
            target="0x" + "bb" * 20,
            sender="0x" + "cc" * 20,
            selector="0x12345678",
            calldata_sha256="A" * 43,
            block_number=7,
            block_hash="0x" + "dd" * 32,
            policy=policy,
            reason=reason,
            context="0x" + order_context(order).hex(),
        )

    def restated(self, order: OrderCheck, verdict: Verdict) -> Verdict:
        """Say that another order was meant."""
        return replace(verdict, calldata_sha256="B" * 43, context="0x" + order_context(order).hex())

    async def check_all(self, orders: Sequence[OrderCheck]) -> list[Verdict]:
        """Answer each as told."""
        self.together.append(len(orders))
        return [await self.check(order) for order in orders]

    async def version(self) -> str:
        """Name the rules."""
        return "policy-engine:fake"

    async def close(self) -> None:
        """Count that it was asked to."""
        self.closed += 1


class FakeGovernance:
    """Knows the states that a test sets."""

    def __init__(self) -> None:
        self.states: dict[str, ModelState] = {}

    async def model_state(self, model_sha256: str) -> ModelState:
        """Return the state that was set."""
        return self.states.get(model_sha256, ModelState.NONE)


@dataclass
class MoodyBroker:
    """Fills on paper unless told to reject or to stay silent."""

    paper: PaperBroker
    answer: Rejected | Unknown | None = None
    seen: list[VenueOrder] = field(default_factory=list)
    arrives: bool = False
    cancels: Unknown | None = None
    silent: bool = False
    told: Callable[[list[Execution]], list[Execution]] = list

    venue = "PAPER"
    live = False

    async def submit(self, order: VenueOrder) -> Accepted | Rejected | Unknown:
        """Answer as told; the order that nobody hears of again may have arrived."""
        self.seen.append(order)
        if self.arrives:
            await self.paper.submit(order)
        return self.answer or await self.paper.submit(order)

    async def cancel(self, client_order_id: str) -> Accepted | Rejected | Unknown:
        """Withdraw, unless told to stay silent."""
        return self.cancels or await self.paper.cancel(client_order_id)

    async def executions(self, day: date) -> Sequence[Execution]:
        """Return the venue's books as they are told."""
        if self.silent:
            raise Unavailable("the venue does not answer")
        return self.told(list(await self.paper.executions(day)))


class Directory:
    """Finds accounts by their names in the log."""

    async def find(self, session: AsyncSession, *, pseudonym: str) -> Caller:
        """Return an account."""
        account = await account_by_pseudonym(session, pseudonym)
        if account is None:
            raise NotFound("no such account")
        return Caller(account.id, account.address, pseudonym, frozenset({Role.TRADER}))


class House:
    """Every room, and one trader who is old enough and reviewed unless a test wants otherwise."""

    def __init__(
        self,
        database: Database,
        models: Path,
        *,
        start: datetime | None = None,
        limits: RiskLimits = LIMITS,
        initial_cash: Decimal = INITIAL_CASH,
        risk_data: MarketData = MARKET_DATA,
        broker: type[MoodyBroker] = MoodyBroker,
        policy: FakePolicy | None = None,
        terms: GateTerms | None = None,
    ) -> None:
        self.database = database
        self.clock = ReplayClock(start or close_of(FIRST_DAY))
        self.wall = FakeClock()
        self.chain = FakeChain()
        self.journal = FakeJournal()
        self.policy = policy or FakePolicy()
        self.governance = FakeGovernance()
        self.market = MarketService(MARKET_DATA, self.clock, self.chain, self.journal)
        self.models = ModelStore(models)
        self.decisions = DecisionService(self.market, MARKET_DATA, self.models)
        self.compliance = ComplianceGate(self.policy, self.governance, self.close, self.wall, terms)
        self.switch = KillSwitch(self.market, self.journal)
        self.risk = RiskGate(self.market, risk_data, self.journal, self.switch, limits)
        rates = PaperRates(Decimal("0.0002"), Decimal("0.0005"))
        self.broker = broker(PaperBroker(self.market.price, rates, self.clock))
        self.execution = ExecutionService(
            self.broker, self.compliance, self.risk, self.decisions, self.journal, initial_cash
        )
        self.reconciliation = ReconciliationService(
            self.broker, self.execution, Directory(), self.switch, self.journal, self.clock, retention=RETENTION
        )
        self.stages = Stages(
            self.decisions, self.compliance, self.risk, self.execution, self.journal, len(self.market.universe())
        )
        self.keys = 0

    def close(self, instrument: str) -> Decimal | None:
        """Return the last known close."""
        quote = self.market.quote(instrument)
        return None if quote is None else quote.price

    def open_day(self, day: date) -> None:
        """Set the business clock to a day's close."""
        self.clock.set(close_of(day))

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction."""
        async with self.database.transaction() as opened:
            yield opened

    async def trader(
        self,
        number: int = 1,
        opened: date = date(2016, 1, 4),
        *,
        reviewed: bool = True,
        roles: frozenset[Role] = frozenset(),
    ) -> Caller:
        """Open an account, five months old and reviewed: its cap is 50,000 USD."""
        address, pseudonym = f"0x{number:040x}", f"{number:043d}"
        async with self.session() as session:
            account = await open_account(
                session, address, pseudonym, datetime(opened.year, opened.month, opened.day, tzinfo=UTC), ["trader"]
            )
            assert account is not None
            caller = Caller(account.id, address, pseudonym, frozenset({Role.TRADER}) | roles)
            if reviewed:
                await self.risk.record_review(session, caller, "looked at", actor="operator")
        return caller

    async def order(self, caller: Caller, intent: Intent) -> Outcome:
        """Run an intent through every stage in a transaction of its own."""
        self.keys += 1
        key = f"key-{self.keys}"
        async with self.session() as session:
            return await run(Submission(session, caller, key, intent), self.stages)

    async def person(self, caller: Caller, side: str, quantity: str, instrument: str = "AAPL") -> Outcome:
        """Place a person's order."""
        return await self.order(caller, PersonIntent(instrument, "buy" if side == "buy" else "sell", Decimal(quantity)))


def add_model(store: ModelStore, folder: Path, action: str) -> str:
    """Keep a model that always chooses the same action, and return its hash."""
    network = QNetwork([len(FEATURE_SCHEMA), 4, len(ACTIONS)])
    with torch.no_grad():
        cast("torch.nn.Linear", network.layers[-1]).bias[ACTIONS.index(action)] += 100.0
    inputs = len(FEATURE_SCHEMA)
    save_model(Model(network, Normaliser(np.zeros(inputs), np.ones(inputs)), FEATURE_SCHEMA, ACTIONS), folder)
    return store.add(folder)
