"""The second publisher signs what its own data gives too, on the real contract, and shows where a liar lied."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from web3 import HTTPProvider, Web3

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.market_data.replay import SHIPPED_PANEL, ReplayMarketData
from backend.kernel.clock import close_of, epoch_of
from backend.kit.db import Database
from backend.ports.chain import Reverted
from backend.ports.signer import KeyRole
from backend.proofs import repository
from backend.proofs.engine.kept import Publication
from backend.proofs.engine.returns import pack_returns, returns_id, unpack_returns
from backend.proofs.service import Countersigned, CountersignService, Disputed, ReturnsService
from backend.proofs.types import Matrix
from oracle.returns_countersigner import countersign_all
from tests.backend.proofs.world import Pinner
from tests.fakes import FakeClock, FakeJournal, FakeSigner
from tests.ports.conftest import LocalChain, node

__all__ = ["node"]

MARKET = ReplayMarketData()
UNIVERSE = MARKET.universe()
WORDS = [name.encode().ljust(32, b"\0") for name in UNIVERSE]
WINDOW = 90
KO = UNIVERSE.index("KO")
# Each test has days of its own: what the chain holds stays there.
DAYS = iter(MARKET.days()[1000:])


@pytest.fixture(scope="module")
def local(node: str, tmp_path_factory: pytest.TempPathFactory) -> LocalChain:
    """Deploy the oracle with the universe and two publishers."""
    provider = HTTPProvider(node, exception_retry_configuration=None)
    local = LocalChain(node, tmp_path_factory.mktemp("deployments"), FakeSigner("countersigner"), Web3(provider))
    local.deploy("ReturnsOracle", local.owner)
    for role in (KeyRole.PUBLISHER, KeyRole.COUNTERSIGNER):
        address = Web3.to_checksum_address(local.signer.address(role))
        local.rpc("anvil_setBalance", address, hex(10**20))
        local.transact("ReturnsOracle", "setPublisher", address, True)
    return local


class House:
    """A first publisher, a second one with data of its own, and the contract between them."""

    def __init__(self, database: Database, chain: RpcChain, signer: FakeSigner) -> None:
        self.database, self.chain, self.signer = database, chain, signer
        self.journal, self.day = FakeJournal(), next(DAYS)
        self.clock = FakeClock(business=close_of(self.day))
        self.epoch = epoch_of(self.day)
        self.first = self.publisher(MARKET)
        self.second = self.countersigner(MARKET)
        self.honest = self.first.matrix(self.day)
        self.key = (self.honest.universe_id, self.epoch)

    def publisher(self, market: ReplayMarketData) -> ReturnsService:
        return ReturnsService(self.chain, market, Pinner(), self.journal, self.clock, window=WINDOW)

    def countersigner(self, market: ReplayMarketData) -> CountersignService:
        second = self.signer.address(KeyRole.COUNTERSIGNER)
        return CountersignService(self.chain, market, self.journal, second, window=WINDOW)

    async def publish(self) -> Publication:
        async with self.database.transaction() as session:
            published = await self.first.publish(session, self.day)
        assert isinstance(published, Publication)
        return published

    async def lie(self, matrix: Matrix) -> None:
        """Publish another matrix as the first publisher, who says so in the database too."""
        send = self.chain.send
        await send(KeyRole.PUBLISHER, "ReturnsOracle", "publish", *self.key, list(matrix.prices), matrix.packed)
        async with self.database.transaction() as session:
            await repository.add_publication(session, Publication(matrix, returns_id(matrix), "", ""))

    async def countersign(self, by: CountersignService | None = None) -> Countersigned | Disputed | None:
        async with self.database.transaction() as session:
            return await (by or self.second).countersign(session, self.epoch)

    async def is_signed(self) -> bool:
        return bool(await self.chain.call("ReturnsOracle", "isCountersigned", *self.key))

    def recorded(self, event: str) -> list[Mapping[str, Any]]:
        return [record.fields for record in self.journal.records if record.event == event]


@pytest.fixture
async def house(database: Database, local: LocalChain) -> AsyncIterator[House]:
    chain = RpcChain(local.url, local.deployments, local.signer, timeout=timedelta(seconds=10))
    house = House(database, chain, local.signer)
    if not (await chain.call("ReturnsOracle", "universeOf", house.honest.universe_id))[1]:
        local.transact("ReturnsOracle", "registerUniverse", house.honest.universe_id, WORDS, WINDOW)
    yield house
    await chain.close()


def altered(matrix: Matrix, day: int, instrument: int, by: int = 1) -> Matrix:
    """Return a matrix with one return changed."""
    rows = [list(row) for row in unpack_returns(matrix.packed, len(UNIVERSE))]
    rows[day][instrument] += by
    return replace(matrix, packed=pack_returns(rows))


def of_other_source(folder: Path, day: date, instrument: str, factor: float) -> ReplayMarketData:
    """Return a source that disagrees about one adjusted close."""
    where = (pl.col("date") == day) & (pl.col("ticker") == instrument)
    changed = pl.when(where).then(pl.col("adj_close") * factor).otherwise(pl.col("adj_close"))
    file = folder / "other.parquet"
    pl.read_parquet(SHIPPED_PANEL).with_columns(adj_close=changed).write_parquet(file)
    return ReplayMarketData(file, "another source", "none")


async def test_an_equal_matrix_is_signed_once_and_recorded_once(house: House) -> None:
    published = await house.publish()
    first, again = await house.countersign(), await house.countersign()
    assert first == again
    assert isinstance(first, Countersigned)
    assert (first.returns_id, first.publisher) == (
        published.returns_id,
        house.signer.address(KeyRole.COUNTERSIGNER),
    )
    assert await house.is_signed()
    (record,) = house.recorded("returns.countersigned")
    assert (record["epoch"], record["tx_hash"]) == (house.epoch, first.tx_hash)


async def test_nothing_is_signed_before_something_is_published(house: House) -> None:
    assert await house.countersign() is None
    assert not await house.is_signed()


@pytest.mark.parametrize("day", [0, 40, WINDOW - 1])
async def test_a_lying_first_publisher_is_shown_with_day_and_instrument_and_never_signed(
    house: House, day: int
) -> None:
    await house.lie(altered(house.honest, day, KO))
    outcome = await house.countersign()
    assert isinstance(outcome, Disputed)
    of = MARKET.history(house.day, WINDOW).days[day]
    assert f"the return of KO on {of} is" in outcome.reason
    assert not await house.is_signed()
    (record,) = house.recorded("returns.disputed")
    assert record["reason"] == outcome.reason
    assert record["publisher"] == house.signer.address(KeyRole.COUNTERSIGNER)
    assert await house.countersign() == outcome
    assert len(house.recorded("returns.disputed")) == 1


async def test_a_lie_about_a_price_is_shown(house: House) -> None:
    prices = list(house.honest.prices)
    prices[KO] += 1
    await house.lie(replace(house.honest, prices=tuple(prices)))
    outcome = await house.countersign()
    assert isinstance(outcome, Disputed)
    assert outcome.reason == f"the price of KO is {prices[KO] - 1} here and {prices[KO]} there"
    assert not await house.is_signed()


async def test_a_liar_who_shows_the_honest_matrix_elsewhere_is_disputed_too(house: House) -> None:
    lie = altered(house.honest, 3, KO)
    await house.chain.send(KeyRole.PUBLISHER, "ReturnsOracle", "publish", *house.key, list(lie.prices), lie.packed)
    async with house.database.transaction() as session:
        published = Publication(house.honest, returns_id(house.honest), "", "")
        await repository.add_publication(session, published)
    outcome = await house.countersign()
    assert isinstance(outcome, Disputed)
    assert "not at hand" in outcome.reason
    assert not await house.is_signed()


async def test_a_second_source_that_differs_is_a_dispute_of_the_honest_matrix(house: House, tmp_path: Path) -> None:
    await house.publish()
    day = MARKET.history(house.day, 5).days[0]
    second = house.countersigner(of_other_source(tmp_path, day, "KO", 1.01))
    outcome = await house.countersign(second)
    assert isinstance(outcome, Disputed)
    assert f"the return of KO on {day}" in outcome.reason
    assert not await house.is_signed()


async def test_a_second_source_that_is_not_clean_signs_nothing(house: House, tmp_path: Path) -> None:
    await house.publish()
    outcome = await house.countersign(house.countersigner(of_other_source(tmp_path, house.day, "KO", 3)))
    assert isinstance(outcome, Disputed)
    assert "no clean data here" in outcome.reason
    assert "KO" in outcome.reason
    assert not await house.is_signed()


async def test_a_dispute_that_was_settled_is_signed_and_recorded(house: House, tmp_path: Path) -> None:
    await house.publish()
    await house.countersign(house.countersigner(of_other_source(tmp_path, house.day, "KO", 1.01)))
    assert isinstance(await house.countersign(), Countersigned)
    assert [len(house.recorded(f"returns.{what}")) for what in ("disputed", "countersigned")] == [1, 1]


async def test_the_contract_takes_no_signature_of_the_first_publisher_nor_of_another_matrix(house: House) -> None:
    published = await house.publish()
    for role, word, error in (
        (KeyRole.PUBLISHER, published.returns_id, "OwnMatrix"),
        (KeyRole.COUNTERSIGNER, bytes(31) + b"\x01", "OtherPublished"),
    ):
        with pytest.raises(Reverted) as no:
            await house.chain.send(role, "ReturnsOracle", "countersign", *house.key, word)
        assert no.value.name == error


async def test_a_signature_whose_answer_was_lost_is_found_on_chain(house: House) -> None:
    published = await house.publish()
    sent = await house.chain.send(
        KeyRole.COUNTERSIGNER, "ReturnsOracle", "countersign", *house.key, published.returns_id
    )
    outcome = await house.countersign()
    assert isinstance(outcome, Countersigned)
    assert outcome.tx_hash == sent.tx_hash
    assert len(house.recorded("returns.countersigned")) == 1


async def run_until(house: House, reached: Callable[[], bool]) -> None:
    """Let the process's loop run until something is so."""
    stop = asyncio.Event()
    running = asyncio.create_task(countersign_all(house.second, house.database, stop, poll=timedelta(milliseconds=5)))
    async with asyncio.timeout(20):
        while True:
            if reached():
                break
            await asyncio.sleep(0.01)
    stop.set()
    with suppress(asyncio.CancelledError):
        await running


async def test_the_process_signs_every_published_day_and_passes_over_a_lie(house: House) -> None:
    await house.lie(altered(house.honest, 7, KO))
    house.day = next(DAYS)
    house.clock.business_time, house.epoch = close_of(house.day), epoch_of(house.day)
    house.key = (house.honest.universe_id, house.epoch)
    await house.publish()
    await run_until(house, lambda: house.recorded("returns.countersigned") != [])
    assert await house.is_signed()
    assert len(house.recorded("returns.disputed")) == 1


async def test_an_epoch_that_the_contract_takes_no_signature_for_does_not_hold_up_the_next(house: House) -> None:
    own = house.honest
    send = house.chain.send
    await send(KeyRole.COUNTERSIGNER, "ReturnsOracle", "publish", *house.key, list(own.prices), own.packed)
    async with house.database.transaction() as session:
        await repository.add_publication(session, Publication(own, returns_id(own), "", ""))
    house.day = next(DAYS)
    house.clock.business_time, house.epoch = close_of(house.day), epoch_of(house.day)
    house.key = (own.universe_id, house.epoch)
    await house.publish()
    await run_until(house, lambda: house.recorded("returns.countersigned") != [])
    assert await house.is_signed()
