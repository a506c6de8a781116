"""A day's matrix is pinned and published once, and never differs from what the chain holds."""

from datetime import date, timedelta

import pytest

from backend.kernel.canonical import decode_bytes, parse_canonical
from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict, Invalid, NotFound, Tampered, Unavailable
from backend.kit.db import Database
from backend.ports.signer import KeyRole
from backend.proofs.engine.kept import Publication
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.transparency.engine.verifier import read_returns
from tests.backend.proofs.world import DAY, EPOCH, FIRST, UNIVERSE, WINDOW, World, sends


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def publish(world: World, day: date = DAY) -> Publication:
    async with world.database.transaction() as session:
        return await world.returns.publish(session, day)


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


async def test_a_day_without_market_or_without_enough_days_before_it_is_refused(world: World) -> None:
    with pytest.raises(NotFound):
        await publish(world, FIRST - timedelta(days=1))
    with pytest.raises(Invalid):
        await publish(world, FIRST + timedelta(days=WINDOW - 1))


@pytest.mark.parametrize("price", [0.0, 1.0, 1_000.0])
async def test_prices_that_are_not_plausible_are_refused_with_the_reason(world: World, price: float) -> None:
    world.market.closes[1, 9] = price
    with pytest.raises(Invalid, match="BBB"):
        await publish(world)
    assert world.chain.sent == []
