"""A small universe with accounts, prices, an oracle and an attestor, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.service import AuditJournal, LogReader, Sequencer
from backend.kernel.cid import file_cid
from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Invalid, NotFound
from backend.kit.db import Database
from backend.kit.pagination import Page, PageRequest
from backend.market.types import DataBounds
from backend.ports.chain import Reverted
from backend.ports.market_data import Bar, DataSource, Panel
from backend.ports.prover import CircuitKey, NoProof, Progress, Proof, Prover, Signal
from backend.proofs.engine.claim import attestation_id, context
from backend.proofs.engine.kept import Attestation, Closing
from backend.proofs.engine.returns import returns_id
from backend.proofs.service import AttestationService, ClosingJob, EpochService, ReturnsService
from backend.proofs.types import Binding, Limits, Matrix
from tests.fakes import FakeChain, FakeClock, FakeSigner

UNIVERSE = ("AAA", "BBB", "CCC")
WINDOW, RANK = 20, 1
FIRST = date(2016, 5, 1)
DAY = FIRST + timedelta(days=WINDOW)
EPOCH = epoch_of(DAY)
OPENED = close_of(FIRST)
POLICY_ID, PROBE_ID = bytes([7]) * 32, bytes([8]) * 32
LOG_ID = bytes([9]) * 32
ZERO = bytes(32)
CONSTRAINTS = 1234
# The worst day loses 3 % of ten shares at 100 USD, and is the whole tail: VaR and expected shortfall are the same
LIMIT_UNITS = 30 * 10**16
LIMITS = Limits(LIMIT_UNITS, LIMIT_UNITS)
KEY = CircuitKey(
    circuit="var_3_20_es",
    circuit_hash=b"\x01" * 32,
    verifying_key=b"key",
    verification_key_hash=b"\x02" * 32,
    insecure=True,
    instruments=len(UNIVERSE),
    window=WINDOW,
    k=RANK,
    confidence=Decimal("0.95"),
    tail=Fraction(1),
    expected_shortfall=True,
    quantity_bits=40,
    limit_bits=82,
    pnl_bits=83,
)


@dataclass(frozen=True, slots=True)
class SomeAccount:
    """An account as the directory lists it."""

    id: int
    address: str
    pseudonym: str
    opened_at: datetime = OPENED


def account(number: int) -> SomeAccount:
    """Return an account made from a number."""
    pseudonym = ("A" * 42) + "AEIMQUYcgkosw048"[number]
    return SomeAccount(number, "0x" + f"{number:02x}" * 20, pseudonym)


OWNER = account(1)


class Market:
    """Daily closes of 100 USD that move by whole percents: the first instrument loses 3 % once."""

    def __init__(self) -> None:
        self._days = tuple(FIRST + timedelta(days=number) for number in range(WINDOW + 5))
        self.closes = np.full((len(UNIVERSE), len(self._days)), 100.0)
        self.closes[0, :5] = 100.0 / 0.97

    def universe(self) -> tuple[str, ...]:
        """Return the instruments."""
        return UNIVERSE

    def days(self) -> tuple[date, ...]:
        """Return the trading days."""
        return self._days

    def bar(self, instrument: str, day: date) -> Bar:
        """Answer nothing: nobody asks."""
        raise NotFound(f"no bar of {instrument} on {day}")

    def history(self, day: date, length: int) -> Panel:
        """Return the days that end with one."""
        if day not in self._days:
            raise NotFound(f"{day} is no trading day")
        end = self._days.index(day) + 1
        if end < length:
            raise Invalid("not so many days")
        closes = np.round(self.closes[:, end - length : end], 4)
        return Panel(UNIVERSE, self._days[end - length : end], closes, closes, closes, closes, closes, closes)

    def source(self) -> DataSource:
        """Name a made-up source."""
        return DataSource("made up", "none", self._days[0], self._days[-1])


class Directory:
    """Accounts in pages."""

    def __init__(self, *accounts: SomeAccount) -> None:
        self.accounts = accounts

    async def page(self, session: AsyncSession, request: PageRequest) -> Page[Any]:
        """Return every account, two to a page."""
        del session
        rest = [one for one in self.accounts if request.before is None or one.id < request.before][:2]
        last = not rest or rest[-1] == self.accounts[-1]
        return Page(tuple(rest), None if last else rest[-1].id)


class SomeHoldings:
    """Holdings by account id, and of some moments."""

    def __init__(self) -> None:
        self.units: dict[int, Mapping[str, int]] = {}
        self.then: dict[tuple[int, datetime], Mapping[str, int]] = {}

    async def at_close(self, session: AsyncSession, account_id: int, moment: datetime) -> Mapping[str, int]:
        """Return what an account holds, or held."""
        del session
        return self.then.get((account_id, moment), self.units.get(account_id, {}))


class Pinner:
    """Names bytes and remembers them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def pin(self, session: AsyncSession, kind: str, content: bytes) -> SimpleNamespace:
        """Return a pin."""
        del session, kind
        cid = file_cid(content)
        self.files[cid] = content
        return SimpleNamespace(cid=cid)


class SomeProver:
    """Makes proofs that say nothing; can be told to find none."""

    def __init__(self) -> None:
        self.proved: list[tuple[Mapping[str, Signal], tuple[int, ...]]] = []
        self.finds_none = False
        self.known = KEY

    async def key(self, circuit: str) -> CircuitKey:
        """Return the key."""
        if circuit != KEY.circuit:
            raise NotFound("no such circuit")
        return self.known

    async def prove(
        self, circuit: str, inputs: Mapping[str, Signal], public_inputs: Sequence[int], progress: Progress
    ) -> Proof | NoProof:
        """Return 256 bytes."""
        del circuit
        progress("proving")
        if self.finds_none:
            return NoProof(f"no witness: input values must be non-negative, got {inputs['q']}")
        self.proved.append((inputs, tuple(public_inputs)))
        return Proof(bytes(range(256)), tuple(public_inputs), 1.5)

    async def verify(self, circuit: str, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Accept."""
        del circuit, proof, public_inputs
        return True


@dataclass(slots=True)
class SomeAnchors:
    """Anchors by index: how many entries each holds."""

    sizes: list[int] = field(default_factory=list)

    async def mined(self, session: AsyncSession, index: int | None = None) -> SimpleNamespace:
        """Return an anchor."""
        del session
        place = len(self.sizes) - 1 if index is None else index
        if not 0 <= place < len(self.sizes):
            raise NotFound("there is no such anchor on chain")
        return SimpleNamespace(log_id=LOG_ID, index=place, head=SimpleNamespace(size=self.sizes[place]))


class Contracts:
    """ReturnsOracle and VarAttestor as far as their bookkeeping goes."""

    def __init__(self, chain: FakeChain, universe_id: bytes) -> None:
        self.matrices: dict[tuple[bytes, int], bytes] = {}
        self.latest: dict[tuple[str, bytes], bytes] = {}
        self.attested: dict[tuple[str, int, bytes], bytes] = {}
        self.limits = {POLICY_ID: LIMITS}
        self.pinned = KEY
        self.submitted: list[tuple[Any, ...]] = []
        self._chain, self._universe_id = chain, universe_id
        chain.answer("ReturnsOracle", "returnsIdOf", lambda *key: self.matrices.get(key, ZERO))
        chain.answer("ReturnsOracle", "publish", self._publish)
        chain.answer("VarAttestor", "policyOf", self._policy)
        chain.answer("VarAttestor", "latestOf", lambda *key: self.latest.get(key, ZERO))
        chain.answer("VarAttestor", "attestationAt", lambda *key: self.attested.get(key, ZERO))
        chain.answer("VarAttestor", "contextOf", lambda *bound: context(self._binding(*bound)))
        chain.answer("VarAttestor", "attest", self._attest)

    def _publish(self, universe: bytes, epoch: int, prices: list[int], packed: bytes) -> None:
        if (universe, epoch) in self.matrices:
            raise Reverted("AlreadyPublished", (universe, epoch))
        self.matrices[universe, epoch] = returns_id(Matrix(universe, epoch, tuple(prices), packed))

    def _policy(self, policy_id: bytes) -> tuple[Any, ...]:
        if policy_id not in self.limits:
            return (ZERO, "0x" + "00" * 20, *(0,) * 10, ZERO, ZERO)
        key, limits = self.pinned, self.limits[policy_id]
        shape = (key.instruments, key.window, key.k, key.tail.numerator, key.tail.denominator)
        bits = (key.quantity_bits, key.limit_bits, key.pnl_bits)
        hashes = (key.circuit_hash, key.verification_key_hash)
        return (self._universe_id, "0x" + "55" * 20, *shape, *bits, limits.var, limits.es, *hashes)

    def _binding(self, subject: str, epoch: int, policy: bytes, previous: bytes, log_id: bytes, index: int) -> Binding:
        attestor = bytes.fromhex(self._chain.address("VarAttestor")[2:])
        return Binding(self._chain.id, attestor, bytes.fromhex(subject[2:]), epoch, policy, previous, log_id, index)

    def _attest(self, claim: tuple[Any, ...], prices: list[int], packed: bytes, proof: list[int]) -> None:
        subject, epoch, policy, log_id, index, commitment, _r, _z = claim
        if (subject, epoch, policy) in self.attested:
            raise Reverted("EpochNotAfter", (epoch, epoch))
        previous = self.latest.get((subject, policy), ZERO)
        matrix = returns_id(Matrix(self._universe_id, epoch, tuple(prices), packed))
        made = attestation_id(
            context(self._binding(subject, epoch, policy, previous, log_id, index)), commitment, matrix
        )
        self.submitted.append((claim, proof))
        self.latest[subject, policy] = self.attested[subject, epoch, policy] = made
        self._chain.emit("VarAttestor", "Attested", subject=subject, epoch=epoch, policyId=policy)


class World:
    """The three services over one small world, with the real log behind them."""

    def __init__(self, database: Database, prover: Prover | None = None) -> None:
        self.database = database
        self.clock = FakeClock(business=close_of(DAY))
        self.chain = FakeChain()
        self.market = Market()
        self.holdings = SomeHoldings()
        self.pinner = Pinner()
        self.prover = SomeProver()
        self.anchors = SomeAnchors()
        self.directory = Directory(OWNER)
        self.journal = AuditJournal(self.clock)
        self.reader = LogReader()
        self.epochs = EpochService(self.journal, self.clock, self.directory, self.holdings, UNIVERSE)
        # This market stands still for weeks.
        self.returns = ReturnsService(
            self.chain,
            self.market,
            self.pinner,
            self.journal,
            self.clock,
            window=WINDOW,
            bounds=DataBounds(stale_days=WINDOW + 1),
        )
        self.contracts = Contracts(self.chain, self.returns.matrix(DAY).universe_id)
        self.breaches: list[Attestation] = []
        self.stages: list[str] = []
        self.attestations = AttestationService(
            database,
            self.chain,
            prover or self.prover,
            self.reader,
            self.anchors,
            self.journal,
            self.clock,
            circuit=KEY.circuit,
            constraints=CONSTRAINTS,
            policy_id=POLICY_ID,
            on_breach=self._breached,
            pinner=self.pinner,
        )

    async def prepare(self, shares: int = 10, later: int = 0) -> None:
        """Close the epoch, or one later, with shares of the first instrument, publish its returns, anchor the log."""
        day = DAY + timedelta(days=later)
        self.holdings.units[OWNER.id] = {"AAA": shares * 10**6}
        self.clock.business_time = close_of(day)
        async with self.database.transaction() as session:
            await self.epochs.close(session, epoch_of(day))
            await self.returns.publish(session, day)
        await self.anchor()

    async def anchors_only(self) -> None:
        """Anchor a log that holds something, but no closed epoch."""
        async with self.database.transaction() as session:
            await self.journal.record(session, OWNER.pseudonym, "login", {}, actor="x", policy="1")
        await self.anchor()

    async def anchor(self) -> None:
        """Bring every record into the log and anchor it."""
        await Sequencer(self.database, FakeSigner(), self.clock, "refi.trading/test").integrate()
        async with self.database.reading() as session:
            self.anchors.sizes.append((await self.reader.checkpoint(session)).size)

    async def attest(self, **named: Any) -> Attestation:
        """Attest the owner's epoch."""
        return await self.attestations.attest(OWNER.address, EPOCH, self.stages.append, **named)

    async def events(self, of: str = OWNER.pseudonym) -> list[tuple[str, Mapping[str, Any]]]:
        """Return an account's records in the log."""
        await Sequencer(self.database, FakeSigner(), self.clock, "refi.trading/test").integrate()
        async with self.database.reading() as session:
            size = (await self.reader.checkpoint(session)).size
            return [(one.event, one.fields) for one in await self.reader.chain(session, of, 1, size)]

    async def _breached(self, session: AsyncSession, breach: Attestation) -> None:
        del session
        self.breaches.append(breach)


def closing_job(world: World, settled: list[date] | None = None) -> ClosingJob:
    """Return the job; the days whose orders were settled first are appended to a list."""

    async def close_day(session: AsyncSession, day: date) -> Closing:
        if settled is not None:
            settled.append(day)
        return await world.epochs.close(session, epoch_of(day))

    async def follow(_session: AsyncSession) -> None:
        return None

    return ClosingJob(world.database, world.epochs, world.market, world.clock, close_day, follow)


def tx_of(chain: FakeChain) -> str:
    """Return the hash of the chain's last transaction."""
    return "0x" + sha256(b"tx" + len(chain.sent).to_bytes(8, "big")).hexdigest()


def sends(chain: FakeChain, function: str) -> int:
    """Return how often a function was sent."""
    return sum(name == function for _, _, name, _ in chain.sent)
