"""Decisions are made here, kept whole, and only by models whose files have the hash that they are asked by."""

from decimal import Decimal
from pathlib import Path

import pytest

from backend.decisions.engine import decide
from backend.decisions.service import AgentIntent, ModelStore, PersonIntent, Stake
from backend.features.engine import vector_of
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kit.db import Database
from tests.backend.pipeline.rooms import House, add_model

STAKE = Stake(Decimal(1_000), Decimal(0), Decimal(0))


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path / "models")


async def test_an_agents_decision_is_kept_with_all_that_replays_it(house: House, tmp_path: Path) -> None:
    sha256 = add_model(house.models, tmp_path / "made", "buy_50")
    async with house.session() as session:
        made = await house.decisions.decide(session, "trader", AgentIntent(sha256, "AAPL"), STAKE)
    async with house.session() as session:
        kept = await house.decisions.find(session, made.decision_id)
    assert kept == made
    assert (kept.side, kept.action, kept.model_sha256) == ("buy", "buy_50", sha256)
    features = vector_of(kept.features)
    assert features.sha256 == kept.features_sha256
    choice = decide(house.models.get(sha256), features)
    assert (choice.action, choice.q_values) == (kept.action, kept.q_values)
    close = house.close("AAPL")
    assert close is not None
    assert Decimal(499) < kept.quantity * close <= Decimal(500)


async def test_a_sale_of_nothing_is_a_hold(house: House, tmp_path: Path) -> None:
    sha256 = add_model(house.models, tmp_path / "made", "sell_100")
    async with house.session() as session:
        nothing = await house.decisions.decide(session, "trader", AgentIntent(sha256, "AAPL"), STAKE)
        holding = Stake(Decimal(0), Decimal(3), Decimal(90))
        everything = await house.decisions.decide(session, "trader", AgentIntent(sha256, "AAPL"), holding)
    assert (nothing.side, nothing.quantity) == ("hold", Decimal(0))
    assert (everything.side, everything.quantity) == ("sell", Decimal(3))


async def test_a_persons_decision_is_taken_as_it_is(house: House) -> None:
    async with house.session() as session:
        made = await house.decisions.decide(session, "trader", PersonIntent("AAPL", "sell", Decimal("0.000001")), STAKE)
        assert await house.decisions.find(session, made.decision_id) == made
    assert (made.kind, made.action, made.model_sha256, made.features) == ("person", "sell", None, ())


@pytest.mark.parametrize("quantity", ["0", "-1", "0.0000001", "1099511.627776"])
async def test_a_quantity_outside_the_circuits_range_is_refused(house: House, quantity: str) -> None:
    async with house.session() as session:
        with pytest.raises(Invalid):
            await house.decisions.decide(session, "trader", PersonIntent("AAPL", "buy", Decimal(quantity)), STAKE)


async def test_unknown_things_are_named(house: House) -> None:
    async with house.session() as session:
        with pytest.raises(NotFound, match="NOPE"):
            await house.decisions.decide(session, "trader", PersonIntent("NOPE", "buy", Decimal(1)), STAKE)
        with pytest.raises(NotFound, match="model"):
            await house.decisions.decide(session, "trader", AgentIntent("0" * 64, "AAPL"), STAKE)
        with pytest.raises(NotFound):
            await house.decisions.find(session, "none")


def test_a_model_is_found_again_by_a_new_process(tmp_path: Path) -> None:
    sha256 = add_model(ModelStore(tmp_path / "models"), tmp_path / "made", "hold")
    assert ModelStore(tmp_path / "models").get(sha256).sha256 == sha256


def test_a_model_whose_file_changed_is_refused(tmp_path: Path) -> None:
    sha256 = add_model(ModelStore(tmp_path / "models"), tmp_path / "made", "hold")
    weights = tmp_path / "models" / sha256 / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(bytes(changed))
    with pytest.raises(Conflict, match="changed"):
        ModelStore(tmp_path / "models").get(sha256)


@pytest.mark.parametrize("name", ["0" * 64, "../made", "", "A" * 64])
def test_a_name_that_is_no_models_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        ModelStore(tmp_path / "models").get(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no model"):
        ModelStore(tmp_path / "models").add(tmp_path)
    with pytest.raises(Invalid, match="needs"):
        ModelStore(tmp_path / "models").add_files({"model.json": b"{}"})
    with pytest.raises(Invalid, match="usable"):
        ModelStore(tmp_path / "models").add_files({"model.json": b"{}", "model.safetensors": b""})
