"""A decision is the trained model's, can be replayed from its record, and equals the training environment's."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.env import ACTIONS, EnvConfig, market_of, trade_quantities
from agents.evaluate import run_policy
from agents.export import save_model
from agents.features import LOOKBACK, Bars
from agents.rvi_q import RviQConfig
from agents.train import TrainConfig, fit
from backend.adapters.market_data.replay import ReplayMarketData
from backend.decisions.engine import (
    DEFAULT_COST_RATE,
    DecisionModel,
    decide,
    exposure,
    load,
    load_bytes,
    side_of,
    size,
)
from backend.features.engine import HISTORY_DAYS, feature_vector, vector_of
from backend.kernel.errors import Invalid, Unavailable

MARKET = ReplayMarketData()
FIRST, DAYS = date(2016, 8, 1), 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a briefly trained model."""
    panel = MARKET.history(date(2016, 6, 1), 600)
    market = market_of(Bars(panel.open, panel.high, panel.low, panel.close, panel.volume))
    model, _ = fit(market, TrainConfig(learner=RviQConfig(steps=500)))
    saved = tmp_path_factory.mktemp("model")
    save_model(model, saved)
    return saved


@pytest.fixture(scope="module")
def model(folder: Path) -> DecisionModel:
    """Return the model as the platform loads it."""
    return load(folder / "model.safetensors")


@dataclass
class Account:
    """One instrument's budget, booked in decimals."""

    cash: Decimal = Decimal(10_000)
    holding: Decimal = Decimal(0)
    average_cost: Decimal = Decimal(0)

    def fill(self, quantity: Decimal, price: Decimal) -> None:
        """Book a signed quantity."""
        value = quantity * price
        if quantity > 0:
            self.average_cost = (self.holding * self.average_cost + value) / (self.holding + quantity)
        self.holding += quantity
        self.cash -= value + abs(value) * DEFAULT_COST_RATE


def test_the_live_path_decides_and_trades_exactly_as_the_environment_does(model: DecisionModel) -> None:
    start = MARKET.days().index(FIRST)
    panel = MARKET.history(MARKET.days()[start + DAYS], LOOKBACK + DAYS)
    market = market_of(Bars(panel.open, panel.high, panel.low, panel.close, panel.volume))
    track = run_policy(market, model.model.best, EnvConfig())
    accounts = {instrument: Account() for instrument in MARKET.universe()}
    for step, day in enumerate(MARKET.days()[start : start + DAYS]):
        history = MARKET.history(day, HISTORY_DAYS)
        for row, (instrument, account) in enumerate(accounts.items()):
            price = MARKET.bar(instrument, day).close
            seen = exposure(account.cash, account.holding, account.average_cost, price)
            choice = decide(model, feature_vector(history, instrument, *seen))
            quantity = size(choice.action, account.cash, account.holding, price)
            assert choice.action == ACTIONS[track.actions[step, row]]
            assert float(quantity) == pytest.approx(abs(track.quantities[step, row]), abs=1.5e-6)
            account.fill(-quantity if side_of(choice.action) == "sell" else quantity, price)
    assert np.count_nonzero(track.quantities) > DAYS


def test_a_record_of_the_features_replays_the_decision(model: DecisionModel) -> None:
    vector = feature_vector(MARKET.history(FIRST, HISTORY_DAYS), "KO", Decimal("0.4"), Decimal("0.01"))
    first = decide(model, vector)
    assert decide(model, vector_of(vector.values)) == first
    assert first.action == ACTIONS[int(np.argmax([float(value) for value in first.q_values]))]
    assert len(first.q_values) == len(ACTIONS)


def test_other_features_give_other_values(model: DecisionModel) -> None:
    history = MARKET.history(FIRST, HISTORY_DAYS)
    held, flat = (feature_vector(history, "KO", Decimal(share), Decimal(0)) for share in ("0.9", "0"))
    assert decide(model, held).q_values != decide(model, flat).q_values


def test_a_vector_of_another_length_is_refused(model: DecisionModel) -> None:
    with pytest.raises(Invalid, match="27 features, not 3"):
        decide(model, vector_of(("1", "2", "3")))


def test_a_model_that_cannot_be_read_or_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    weights, description = (folder / "model.safetensors").read_bytes(), (folder / "model.json").read_bytes()
    with pytest.raises(Unavailable, match="cannot be read"):
        load(tmp_path / "model.safetensors")
    with pytest.raises(Invalid, match="not a usable model"):
        load_bytes(b"not safetensors", description)
    with pytest.raises(Invalid, match="not a usable model"):
        load_bytes(weights, b"{}")
    with pytest.raises(Invalid, match="other features or actions"):
        load_bytes(weights, description.replace(b'"buy_100"', b'"buy_all"'))


@given(
    action=st.sampled_from(ACTIONS),
    cash=st.decimals(0, 10**6, places=2),
    holding=st.decimals(0, 10**4, places=6),
    price=st.decimals(1, 2000, places=4),
)
def test_a_size_is_six_decimals_within_budget_and_holding_and_the_environments(
    action: str, cash: Decimal, holding: Decimal, price: Decimal
) -> None:
    quantity = size(action, cash, holding, price)
    assert quantity == quantity.quantize(Decimal("0.000001"))
    if side_of(action) == "buy":
        assert quantity * price * (1 + DEFAULT_COST_RATE) <= cash
    else:
        assert 0 <= quantity <= holding
    budget, held, quoted = (np.array([float(value)]) for value in (cash, holding, price))
    trained = trade_quantities(np.array([ACTIONS.index(action)]), budget, held, quoted, float(DEFAULT_COST_RATE))
    near_smallest = abs(float(quantity * price) - 10) < 0.01 or abs(abs(trained[0]) * float(price) - 10) < 0.01
    assert near_smallest or float(quantity) == pytest.approx(abs(trained[0]), abs=1.5e-6)


@pytest.mark.parametrize(
    ("action", "side", "quantity"),
    [("hold", "hold", "0"), ("buy_50", "buy", "49.990001"), ("sell_75", "sell", "30"), ("buy_100", "buy", "99.980003")],
)
def test_sizes_by_hand(action: str, side: str, quantity: str) -> None:
    assert side_of(action) == side
    assert size(action, Decimal(1000), Decimal(40), Decimal(10)) == Decimal(quantity)


def test_an_order_below_one_dollar_is_none() -> None:
    assert size("sell_100", Decimal(0), Decimal("0.09999"), Decimal(10)) == 0
    assert size("sell_100", Decimal(0), Decimal("0.1"), Decimal(10)) == Decimal("0.1")


def test_unknown_actions_and_impossible_accounts_are_refused() -> None:
    with pytest.raises(Invalid, match="unknown action"):
        size("short_100", Decimal(1), Decimal(1), Decimal(1))
    for cash, holding, price in ((-1, 1, 1), (1, -1, 1), (1, 1, 0)):
        with pytest.raises(Invalid, match="must be positive"):
            size("hold", Decimal(cash), Decimal(holding), Decimal(price))


def test_exposure_is_the_share_of_equity_and_the_unrealised_return() -> None:
    assert exposure(Decimal(500), Decimal(10), Decimal(40), Decimal(50)) == (Decimal("0.5"), Decimal("0.25"))
    assert exposure(Decimal(500), Decimal(0), Decimal(40), Decimal(50)) == (Decimal(0), Decimal(0))
    assert exposure(Decimal(0), Decimal(0), Decimal(0), Decimal(50)) == (Decimal(0), Decimal(0))
