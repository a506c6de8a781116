"""Caps on chain open with credentials and hear of reviews; where a deployment has none, nothing is sent."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.compliance.service import CapService, CredentialService, StewardService
from backend.compliance.types import CredentialType
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from backend.risk.service import RiskGate
from tests.backend.pipeline.rooms import LIMITS, MARKET_DATA, House
from tests.fakes import FakeChain, FakeJournal

WALLET = "0x" + "AB" * 20
CCID = b"\x07" * 32
KYC = CredentialType.KYC


class Bare(FakeChain):
    """A chain of a deployment without caps."""

    def address(self, contract: str) -> str:
        """Know no caps."""
        if contract == "ProgressiveCapPolicy":
            raise NotFound("ProgressiveCapPolicy is not deployed")
        return super().address(contract)


class Capped(FakeChain):
    """A chain with the caps' contract as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, int] = {}
        self.reviews: dict[str, bytes] = {}
        self.answer("IdentityRegistry", "getIdentity", lambda _: CCID)
        self.answer("CredentialRegistry", "registerCredential", lambda *_: None)
        self.answer("ProgressiveCapPolicy", "openedAt", lambda account: self.opened.get(account, 0))
        self.answer("ProgressiveCapPolicy", "reviewOf", lambda account: self.reviews.get(account, bytes(32)))
        self.answer("ProgressiveCapPolicy", "capOf", lambda account: 100 * 10**6 if account in self.opened else 0)
        self.answer("ProgressiveCapPolicy", "open", self.open)
        self.answer("ProgressiveCapPolicy", "recordReview", self.review)

    def open(self, account: str) -> None:
        """Open once."""
        if account in self.opened:
            raise Reverted("AlreadyOpened", (account, self.opened[account]))
        self.opened[account] = self.blocks[-1].timestamp

    def review(self, account: str, commitment: bytes) -> None:
        """Keep a review of an account that is open."""
        if account not in self.opened:
            raise Reverted("NotOpened", (account,))
        self.reviews[account] = commitment


async def test_a_credential_opens_the_wallets_cap_and_a_renewal_leaves_it(database: Database) -> None:
    chain = Capped()
    service = CredentialService(chain, FakeJournal(), CapService(chain).open)
    await service.issue(database, WALLET, KYC, None, actor="operator")
    first = dict(chain.opened)
    await service.issue(database, WALLET, KYC, datetime(2017, 6, 1, tzinfo=UTC), actor="operator")
    assert list(first) == [WALLET.lower()]
    assert chain.opened == first
    assert [call[:3] for call in chain.sent if call[2] == "open"] == [(KeyRole.ISSUER, "ProgressiveCapPolicy", "open")]


async def test_a_cap_that_another_opened_meanwhile_is_open(database: Database) -> None:
    chain = Capped()
    chain.opened[WALLET.lower()] = 1
    chain.answer("ProgressiveCapPolicy", "openedAt", lambda _: 0)
    assert not await CapService(chain).open(WALLET)


async def test_an_answer_that_is_lost_leaves_a_cap_that_the_next_try_finds_open(database: Database) -> None:
    chain, journal = Capped(), FakeJournal()
    service = CredentialService(chain, journal, CapService(chain).open)
    await service.issue(database, "0x" + "cd" * 20, KYC, None, actor="operator")
    chain.lose_receipts = 2
    with pytest.raises(Unavailable):
        await CapService(chain).open(WALLET)
    chain.lose_receipts = 0
    assert not await CapService(chain).open(WALLET)
    assert WALLET.lower() in chain.opened


async def test_a_review_is_told_by_its_records_commitment(database: Database) -> None:
    chain = Capped()
    caps = CapService(chain)
    assert not await caps.record_review(WALLET, b"\x01" * 32)
    await caps.open(WALLET)
    assert await caps.record_review(WALLET, b"\x01" * 32)
    assert chain.sent[-1] == (
        KeyRole.OPERATOR, "ProgressiveCapPolicy", "recordReview", (WALLET.lower(), b"\x01" * 32),
    )  # fmt: skip
    found = await caps.cap_of(WALLET)
    assert found is not None
    assert (found.cap, found.review) == (100 * 10**6, "0x" + "01" * 32)


async def test_a_deployment_without_caps_is_left_alone() -> None:
    chain = Bare()
    caps = CapService(chain)
    assert not caps.is_deployed
    assert not await caps.open(WALLET)
    assert not await caps.record_review(WALLET, b"\x01" * 32)
    assert await caps.cap_of(WALLET) is None
    assert not chain.sent
    assert not chain.called


def stewarded(changed_at: int, bps: int = 1_000, delay: int = 3_600) -> FakeChain:
    chain = FakeChain(now=10_000)
    chain.answer("VolumePolicy", "getMax", lambda: 50_000 * 10**6)
    chain.answer("LimitSteward", "ruleOf", lambda *_: (b"\x01\x02\x03\x04", bps, delay, changed_at))
    chain.answer("LimitSteward", "change", lambda *_: None)
    return chain


async def test_a_limit_moves_within_its_rule_and_is_recorded(database: Database) -> None:
    chain, journal = stewarded(changed_at=0), FakeJournal()
    async with database.transaction() as session:
        moved = await StewardService(chain, journal).move(session, "VolumePolicy", 45_000 * 10**6, actor="operator")
    assert (moved.before, moved.value) == (50_000 * 10**6, 45_000 * 10**6)
    assert chain.sent[-1][:3] == (KeyRole.OPERATOR, "LimitSteward", "change")
    assert journal.records[-1].fields["limit_before"] == "50000"
    assert journal.records[-1].fields["limit"] == "45000"


@pytest.mark.parametrize(
    ("changed_at", "value", "said"),
    [
        (0, 44_999, "VolumePolicy stands at 50000 USD and may move to 45000 to 55000 USD now"),
        (0, 55_001, "VolumePolicy stands at 50000 USD and may move to 45000 to 55000 USD now"),
        (9_000, 50_001, "may move to 45000 to 55000 USD from 1970-01-01 03:30:00 UTC on"),
    ],
)
async def test_a_refusal_names_what_is_allowed_and_when(
    database: Database, changed_at: int, value: int, said: str
) -> None:
    chain = stewarded(changed_at)
    async with database.transaction() as session:
        with pytest.raises(Conflict, match=said):
            await StewardService(chain, FakeJournal()).move(session, "VolumePolicy", value * 10**6, actor="operator")
    assert not chain.sent


async def test_a_limit_without_a_rule_and_one_that_is_none_are_named() -> None:
    with pytest.raises(NotFound, match="by a vote only"):
        await StewardService(stewarded(0, 0, 0), FakeJournal()).rule_of("VolumePolicy")
    with pytest.raises(Invalid, match="VolumePolicy, SlidingVolumePolicy"):
        await StewardService(stewarded(0), FakeJournal()).rule_of("PausePolicy")


async def test_an_operators_review_is_told_on_in_the_reviews_own_transaction(
    database: Database, tmp_path: Path
) -> None:
    house = House(database, tmp_path)
    told: list[tuple[str, bytes]] = []

    async def on_review(address: str, commitment: bytes) -> None:
        told.append((address, commitment))
        if len(told) > 1:
            raise Unavailable("the RPC does not answer")

    risk = RiskGate(house.market, MARKET_DATA, house.journal, house.switch, LIMITS, on_review)
    trader = await house.trader(1, reviewed=False)
    async with database.transaction() as session:
        await risk.record_review(session, trader, "looked at", actor="operator")
    assert [address for address, _ in told] == [trader.address]
    assert len(told[0][1]) == 32
    with pytest.raises(Unavailable):
        async with database.transaction() as session:
            await risk.record_review(session, trader, "looked at again", actor="operator")
