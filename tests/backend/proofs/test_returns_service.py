"""A day's matrix is pinned and published once, and never differs from what the chain holds."""

import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pytest

from backend.kernel.canonical import decode_bytes, parse_canonical
from backend.kernel.clock import close_of, epoch_of
from backend.kernel.errors import Conflict, NotFound, Tampered, Unavailable
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.market.types import DataBounds
from backend.ports.market_data import Panel
from backend.ports.signer import KeyRole
from backend.proofs.engine.kept import Publication
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.proofs.service import ReturnsService
from backend.proofs.service.returns import LOOK_BACK
from backend.transparency.engine.verifier import read_returns
from tests.backend.proofs.world import DAY, EPOCH, FIRST, UNIVERSE, WINDOW, Market, World, sends


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def publish(world: World, day: date = DAY) -> Publication:
    async with world.database.transaction() as session:
        published = await world.returns.publish(session, day)
    assert isinstance(published, Publication)
    return published


async def test_nobody_waits_for_the_database_while_the_chain_takes_its_time(world: World, tmp_path: Path) -> None:
    answered = world.chain.answers["ReturnsOracle", "publish"]

    def write_meanwhile(*arguments: object) -> None:
        other = sqlite3.connect(tmp_path / "refi.sqlite3", timeout=0)
        other.execute("BEGIN IMMEDIATE")
        other.close()
        answered(*arguments)

    world.chain.answer("ReturnsOracle", "publish", write_meanwhile)
    published = await publish(world)
    assert world.contracts.matrices[published.matrix.universe_id, EPOCH] == published.returns_id


class Narrow(Market):
    """A history that lacks an instrument of the universe."""

    def __init__(self, panel: Panel, days: tuple[date, ...]) -> None:
        super().__init__()
        self._panel = panel
        self._days = days

    def history(self, day: date, length: int) -> Panel:
        """Return the narrow history."""
        del day, length
        return self._panel


async def test_the_pinned_file_holds_what_the_oracle_got(world: World) -> None:
    published = await publish(world)
    content = parse_canonical(world.pinner.files[published.cid])
    assert isinstance(content, dict)
    assert content["universe"] == list(UNIVERSE)
    assert content["epoch"] == EPOCH
    assert content["prices"] == ["100", "100", "100"]
    assert content["v"] == 1
    assert decode_bytes(str(content["returns"])) == published.matrix.packed
    role, contract, function, arguments = world.chain.sent[0]
    assert (role, contract, function) == (KeyRole.PUBLISHER, "ReturnsOracle", "publish")
    assert arguments == (published.matrix.universe_id, EPOCH, [1_000_000] * 3, published.matrix.packed)
    assert published.returns_id == returns_id(published.matrix)


async def test_a_strangers_verifier_finds_the_same_ids_in_the_pinned_file(world: World) -> None:
    published = await publish(world)
    market = read_returns(world.pinner.files[published.cid])
    assert (market.universe_id, market.epoch) == (published.matrix.universe_id, EPOCH)
    assert market.returns_id == published.returns_id


async def test_the_window_ends_with_the_day_and_holds_one_return_a_day(world: World) -> None:
    rows = unpack_returns((await publish(world)).matrix.packed, len(UNIVERSE))
    assert len(rows) == WINDOW
    assert rows[4] == (-30_000, 0, 0)
    assert all(row == (0, 0, 0) for number, row in enumerate(rows) if number != 4)


async def test_publishing_again_sends_nothing(world: World) -> None:
    assert await publish(world) == await publish(world)
    assert sends(world.chain, "publish") == 1


async def test_a_lost_receipt_is_made_good_by_publishing_again(world: World) -> None:
    world.chain.lose_receipts = 1
    with pytest.raises(Unavailable):
        await publish(world)
    assert (await publish(world)).tx_hash == ""
    assert sends(world.chain, "publish") == 1


async def test_another_matrix_on_chain_is_tampering(world: World) -> None:
    world.contracts.matrices[world.returns.matrix(DAY).universe_id, EPOCH] = b"\x01" * 32
    with pytest.raises(Tampered):
        await publish(world)
    assert world.chain.sent == []


async def test_a_day_that_is_not_over_is_not_published(world: World) -> None:
    world.clock.business_time = close_of(DAY) - timedelta(seconds=1)
    with pytest.raises(Conflict, match="not over"):
        await publish(world)


async def test_a_day_without_market_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await publish(world, FIRST - timedelta(days=1))


async def refused(world: World, day: date = DAY) -> Refused:
    """Return why a day's data was refused: nothing was published, and the log says why."""
    async with world.database.transaction() as session:
        answer = await world.returns.publish(session, day)
    assert isinstance(answer, Refused)
    assert world.chain.sent == []
    assert world.pinner.files == {}
    async with world.database.transaction() as session:
        system = await world.journal.system_account(session)
    ((event, fields),) = await world.events(system)
    assert event == "returns.refused"
    assert (fields["rule"], fields["reason"]) == (answer.rule, answer.reason)
    assert fields["epoch"] == epoch_of(day)
    assert {name: fields[name] for name in ("day", "instrument")} == answer.detail
    return answer


async def test_too_few_days_are_refused_on_record(world: World) -> None:
    answer = await refused(world, FIRST + timedelta(days=WINDOW - 1))
    assert answer.rule == "incomplete"


@pytest.mark.parametrize(
    ("price", "rule"), [(0.0, "range"), (1.0, "jump"), (1_000.0, "jump"), (float("nan"), "incomplete")]
)
async def test_data_that_is_not_clean_is_refused_on_record_with_day_and_instrument(
    world: World, price: float, rule: str
) -> None:
    world.market.closes[1, 9] = price
    answer = await refused(world)
    assert answer.rule == rule
    assert answer.detail == {"day": world.market.days()[9].isoformat(), "instrument": "BBB"}
    assert "BBB" in answer.reason


async def test_prices_that_nobody_updates_are_refused_on_record(world: World) -> None:
    strict = ReturnsService(world.chain, world.market, world.pinner, world.journal, world.clock, window=WINDOW)
    world.returns = strict
    answer = await refused(world)
    assert answer.rule == "stale"
    assert answer.detail["instrument"] == "AAA"
    assert "5 days" in answer.reason


async def test_data_without_an_instrument_of_the_universe_is_refused_on_record(world: World) -> None:
    whole = world.market.history(DAY, WINDOW + 1)
    columns = (whole.open, whole.high, whole.low, whole.close, whole.volume, whole.adjusted)
    narrow = Panel(UNIVERSE[:2], whole.days, *(column[:2] for column in columns))
    world.returns = ReturnsService(
        world.chain,
        Narrow(narrow, whole.days),
        world.pinner,
        world.journal,
        world.clock,
        window=WINDOW,
        bounds=DataBounds(stale_days=WINDOW + 1),
    )
    answer = await refused(world)
    assert answer.detail == {"day": DAY.isoformat(), "instrument": "CCC"}


async def due(world: World) -> list[date]:
    """Return the days that are due."""
    async with world.database.reading() as session:
        return list(await world.returns.due(session))


async def test_days_that_were_passed_over_stay_due_beside_a_later_one_that_is_published(world: World) -> None:
    await publish(world)
    world.clock.advance(business=timedelta(days=3))
    await publish(world, DAY + timedelta(days=2))
    assert await due(world) == [DAY + timedelta(days=1), DAY + timedelta(days=3)]
    await publish(world, DAY + timedelta(days=1))
    assert await due(world) == [DAY + timedelta(days=3)]


async def test_no_day_before_the_first_that_was_published_is_due(world: World) -> None:
    world.clock.advance(business=timedelta(days=1))
    await publish(world, DAY + timedelta(days=1))
    assert await due(world) == []


async def test_days_of_long_ago_are_looked_back_upon_no_more(world: World) -> None:
    await publish(world)
    days = tuple(FIRST + timedelta(days=number) for number in range(WINDOW + 1 + LOOK_BACK + 10))
    world.market.days = lambda: days  # type: ignore[method-assign]
    world.clock.business_time = close_of(days[-1])
    assert await due(world) == list(days[-LOOK_BACK:])
