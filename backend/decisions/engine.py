"""Decision maths: load a model, choose an action, size the order."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np

from agents.env import ACTIONS, BUY_SHARES, SELL_SHARES, SMALLEST_ORDER_USD, EnvConfig
from agents.export import load_model, model_sha256
from agents.model import Model
from backend.decisions.types import Choice, DecisionSide
from backend.features.engine import SCHEMA, recorded_decimal
from backend.features.types import FeatureVector
from backend.kernel.errors import Invalid, Unavailable
from backend.kernel.fixed import PRECISION, QUANTITY_DECIMALS, round_down

DEFAULT_COST_RATE = Decimal(str(EnvConfig().cost_rate))
SMALLEST_ORDER = Decimal(str(SMALLEST_ORDER_USD))
_BOUGHT = {name: Decimal(str(share)) for name, share in zip(ACTIONS, BUY_SHARES.tolist(), strict=True)}
_SOLD = {name: Decimal(str(share)) for name, share in zip(ACTIONS, SELL_SHARES.tolist(), strict=True)}


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """Hold a loaded model and the hash of its two files, in hex."""

    model: Model
    sha256: str


def load(weights_file: Path) -> DecisionModel:
    """Load a .safetensors file and the .json with the same stem beside it; fail closed on anything odd."""
    try:
        weights, description = weights_file.read_bytes(), weights_file.with_suffix(".json").read_bytes()
    except OSError as error:
        raise Unavailable(f"the model {weights_file.name} cannot be read: {error}") from error
    return load_bytes(weights, description)


def load_bytes(weights: bytes, description: bytes) -> DecisionModel:
    """Load a model from the bytes of its files; raise Invalid when it does not fit this platform's features."""
    try:
        model = load_model(weights, description)
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"not a usable model: {error}") from error
    if model.features != SCHEMA or model.actions != ACTIONS:
        raise Invalid("the model was trained on other features or actions than this platform's")
    return DecisionModel(model, model_sha256(weights, description))


def decide(model: DecisionModel, features: FeatureVector) -> Choice:
    """Return the action with the highest value for the recorded features; the first one wins a tie."""
    if len(features.values) != len(model.model.features):
        raise Invalid(f"the model takes {len(model.model.features)} features, not {len(features.values)}")
    values = model.model.q_values(np.array([float(value) for value in features.values]))
    if not np.isfinite(values).all():
        raise Invalid("the model's action values are not finite")
    recorded = tuple(recorded_decimal(Decimal(repr(value))) for value in values.tolist())
    return Choice(model.model.actions[int(values.argmax())], recorded)


def side_of(action: str) -> DecisionSide:
    """Return the side of an action."""
    if action in _BOUGHT and _BOUGHT[action] > 0:
        return "buy"
    return "sell" if _SOLD.get(action, Decimal(0)) > 0 else "hold"


def size(
    action: str, cash_budget: Decimal, holding: Decimal, price: Decimal, cost_rate: Decimal = DEFAULT_COST_RATE
) -> Decimal:
    """Return the shares that an action trades, cut to six decimals; zero for an order below SMALLEST_ORDER.

    A buy spends its share of the instrument's remaining cash budget (USD), its cost included; a sell sells its share
    of the holding (shares). price in USD, cost_rate as a share of traded value.
    """
    if action not in _BOUGHT:
        raise Invalid(f"unknown action {action!r}; known are {', '.join(ACTIONS)}")
    if price <= 0 or cash_budget < 0 or holding < 0:
        raise Invalid("a price must be positive, a budget and a holding not negative")
    with localcontext(prec=PRECISION):
        bought = _BOUGHT[action] * cash_budget / (price * (1 + cost_rate))
        quantity = round_down(bought + _SOLD[action] * holding, QUANTITY_DECIMALS)
        return quantity if quantity * price >= SMALLEST_ORDER else Decimal(0)


def exposure(cash_budget: Decimal, holding: Decimal, average_cost: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
    """Return an account's two features: the holding's share of equity, and price / average cost - 1 while held.

    cash_budget: USD left for the instrument. average_cost: USD paid a share, fees apart, ignored without a holding.
    """
    with localcontext(prec=PRECISION):
        value = holding * price
        equity = cash_budget + value
        share = value / equity if equity > 0 else Decimal(0)
        held = holding > 0 and average_cost > 0
        return share, price / average_cost - 1 if held else Decimal(0)
