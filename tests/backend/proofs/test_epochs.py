"""At an epoch's end every account commits to what it holds, once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backend.kernel.clock import close_of
from backend.kernel.errors import Conflict
from backend.kernel.poseidon import position_commitment
from backend.kernel.refusal import Refused
from backend.kit.db import Database
from backend.proofs.engine.kept import Closing, position_vector, word
from backend.proofs.engine.returns import universe_id
from tests.backend.proofs.world import DAY, EPOCH, OWNER, UNIVERSE, World, account


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def close(world: World, epoch: int = EPOCH) -> Closing:
    async with world.database.transaction() as session:
        return await world.epochs.close(session, epoch)


async def test_the_record_holds_the_salted_commitment_of_the_positions_in_universe_order(world: World) -> None:
    world.holdings.units[OWNER.id] = {"CCC": -5, "AAA": 7}
    closed = (await close(world)).closed[0]
    assert closed.positions == (7, 0, -5)
    assert closed.commitment == position_commitment(closed.salt, universe_id(UNIVERSE), (7, 0, -5))
    ((event, fields),) = await world.events()
    assert event == "epoch.closed"
    assert fields["subject"] == OWNER.address
    assert fields["epoch"] == EPOCH
    # Both, so that owner and regulator can open the commitment to what the fills before it add up to
    assert (fields["position_commitment"], fields["position_salt"]) == (word(closed.commitment), word(closed.salt))
    assert fields["ts_event"].startswith(DAY.isoformat() + "T21:00:00")


async def test_closing_again_adds_no_record_even_when_holdings_have_changed(world: World) -> None:
    first = await close(world)
    world.holdings.units[OWNER.id] = {"AAA": 1}
    assert await close(world) == first
    assert len(await world.events()) == 1


async def test_every_account_is_closed_across_pages_and_equal_holdings_look_different(world: World) -> None:
    world.directory.accounts = tuple(account(number) for number in (5, 4, 3, 2, 1))
    closing = await close(world)
    assert [closed.account for closed in closing.closed] == [one.pseudonym for one in world.directory.accounts]
    assert len({closed.commitment for closed in closing.closed}) == 5


async def test_commitments_do_not_show_that_the_positions_are_those_of_another_epoch(world: World) -> None:
    opened, again = [await world.epochs.open_account_fields(OWNER) for _ in range(2)]
    first = (await close(world)).closed[0]
    world.clock.advance(business=timedelta(days=1))
    second = (await close(world, EPOCH + 1)).closed[0]
    assert first.positions == second.positions == (0, 0, 0)
    public = [opened["position_commitment"], again["position_commitment"], word(first.commitment)]
    assert len({*public, word(second.commitment)}) == 4


@pytest.mark.parametrize("held", [{"ZZZ": 1}, {"AAA": 1 << 40}])
async def test_holdings_that_cannot_be_proved_are_refused_on_record_and_stop_nobody_else(
    world: World, held: dict[str, int]
) -> None:
    world.directory.accounts = (account(2), OWNER)
    world.holdings.units[2] = held
    closing = await close(world)
    assert [closed.account for closed in closing.closed] == [OWNER.pseudonym]
    ((refused, why),) = closing.refused
    assert refused == account(2).pseudonym
    assert isinstance(why, Refused)
    assert why.rule == "outside_universe"
    assert [event for event, _ in await world.events(account(2).pseudonym)] == ["epoch.refused"]


async def test_an_epoch_that_is_not_over_cannot_be_closed(world: World) -> None:
    world.clock.business_time = close_of(DAY) - timedelta(microseconds=1)
    with pytest.raises(Conflict, match="not over"):
        await close(world)


async def test_a_missed_epoch_is_closed_with_what_was_held_at_its_close(world: World) -> None:
    world.holdings.units[OWNER.id] = {"AAA": 9}
    world.holdings.then[OWNER.id, close_of(DAY)] = {"AAA": 4}
    world.clock.advance(business=timedelta(days=2))
    assert (await close(world)).closed[0].positions == (4, 0, 0)
    ((_, fields),) = await world.events()
    assert fields["ts_event"].startswith(DAY.isoformat() + "T21:00:00")


async def test_an_epoch_before_a_closed_one_cannot_be_closed_any_more(world: World) -> None:
    world.clock.advance(business=timedelta(days=1))
    await close(world, EPOCH + 1)
    with pytest.raises(Conflict, match="closed already"):
        await close(world)
    assert len(await world.events()) == 1


async def test_an_account_that_was_opened_later_has_no_part_in_an_epoch(world: World) -> None:
    late = replace(account(2), opened_at=close_of(DAY) + timedelta(microseconds=1))
    world.directory.accounts = (late, OWNER)
    assert [closed.account for closed in (await close(world)).closed] == [OWNER.pseudonym]
    world.clock.advance(business=timedelta(days=1))
    assert len((await close(world, EPOCH + 1)).closed) == 2


async def test_a_refusal_is_recorded_once_and_again_when_its_reason_changes(world: World) -> None:
    for held in ({"ZZZ": 1}, {"ZZZ": 1}, {"ZZZ": 1, "YYY": 1}):
        world.holdings.units[OWNER.id] = held
        assert len((await close(world)).refused) == 1
    assert [fields["reason"] for _, fields in await world.events()] == [
        "holdings cannot be attested: ZZZ",
        "holdings cannot be attested: YYY, ZZZ",
    ]
    world.holdings.units[OWNER.id] = {}
    assert len((await close(world)).closed) == 1


async def test_a_new_account_commits_to_the_empty_portfolio(world: World) -> None:
    fields = dict(await world.epochs.open_account_fields(OWNER))
    secret = int(str(fields.pop("position_salt")), 16)
    assert fields == {
        "subject": OWNER.address,
        "epoch": EPOCH,
        "position_commitment": word(position_commitment(secret, universe_id(UNIVERSE), (0, 0, 0))),
    }


@pytest.mark.parametrize(
    ("holdings", "outcome"),
    [
        ({}, (0, 0, 0)),
        ({"BBB": 2, "ZZZ": 0}, (0, 2, 0)),
        ({"ZZZ": 1, "BBB": 2, "XXX": -1}, ["XXX", "ZZZ"]),
        ({"AAA": -(1 << 40)}, ["AAA"]),
        ({"AAA": -(1 << 40) + 1}, (-(1 << 40) + 1, 0, 0)),
    ],
)
def test_a_position_vector_has_a_place_for_every_instrument_and_none_for_others(
    holdings: dict[str, int], outcome: Any
) -> None:
    assert position_vector(UNIVERSE, holdings) == outcome
