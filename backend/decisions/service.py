"""Makes decisions: computes an agent's from the day's features, takes a person's as it is."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from backend.decisions import repository
from backend.decisions.engine import DecisionModel, decide, exposure, load, load_bytes, side_of, size
from backend.decisions.types import Decision
from backend.features.engine import HISTORY_DAYS, feature_vector
from backend.kernel.errors import Conflict, Invalid, NotFound
from backend.kernel.fixed import QUANTITY_DECIMALS, to_units
from backend.market.service import MarketService
from backend.ports.market_data import MarketData

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
MODEL_FILES = (WEIGHTS, DESCRIPTION)
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_QUANTITY_UNITS = 2**40 - 1


class ModelStore:
    """Models by their hash, in a folder a model; a file that changed no longer has the name that it is asked by."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, DecisionModel] = {}

    def add(self, model_dir: Path) -> str:
        """Keep the model of a folder and return its hash."""
        try:
            return self.add_files({name: (model_dir / name).read_bytes() for name in MODEL_FILES})
        except OSError as error:
            raise Invalid(f"no model in {model_dir.name}: {error}") from error

    def add_files(self, files: Mapping[str, bytes]) -> str:
        """Keep a model given as file name -> bytes and return its hash; more files may come with it."""
        if missing := [name for name in MODEL_FILES if name not in files]:
            raise Invalid(f"a model needs {', '.join(missing)}")
        model = load_bytes(files[WEIGHTS], files[DESCRIPTION])
        target = self._folder / model.sha256
        target.mkdir(parents=True, exist_ok=True)
        for name in MODEL_FILES:
            (target / name).write_bytes(files[name])
        self._loaded[model.sha256] = model
        return model.sha256

    def get(self, sha256: str) -> DecisionModel:
        """Return a model by its hash; NotFound for a stranger, Conflict when its files are no longer those."""
        if sha256 in self._loaded:
            return self._loaded[sha256]
        path = self._folder / sha256 / WEIGHTS
        if not SHA256.fullmatch(sha256) or not path.is_file():
            raise NotFound(f"no model {sha256!r} is registered here")
        model = load(path)
        if model.sha256 != sha256:
            raise Conflict(f"the files of model {sha256} have changed")
        self._loaded[sha256] = model
        return model


@dataclass(frozen=True, slots=True)
class AgentIntent:
    """Let a model decide about an instrument."""

    model_sha256: str
    instrument: str


@dataclass(frozen=True, slots=True)
class PersonIntent:
    """A person's own decision; quantity in shares."""

    instrument: str
    side: Literal["buy", "sell"]
    quantity: Decimal


Intent = AgentIntent | PersonIntent


@dataclass(frozen=True, slots=True)
class Stake:
    """An account's part in an instrument: USD still to spend on it, shares held, USD paid a share."""

    budget: Decimal
    holding: Decimal
    average_cost: Decimal


class DecisionService:
    """Makes and keeps decisions."""

    def __init__(self, market: MarketService, market_data: MarketData, models: ModelStore) -> None:
        self._market = market
        self._market_data = market_data
        self._models = models

    async def decide(
        self, session: AsyncSession, account: str, intent: Intent, stake: Stake, *, key: str | None = None
    ) -> Decision:
        """Turn an intent into a decision of the account (its pseudonym) and keep it.

        A request that is repeated under its key after a crash is the same decision, so that the venue, which may have
        seen it, answers again and fills nothing twice.
        """
        decision = self.propose(account, intent, stake, key=key)
        await repository.add(session, decision)
        return decision

    def propose(self, account: str, intent: Intent, stake: Stake, *, key: str | None = None) -> Decision:
        """Return the decision that an intent would become, and keep nothing."""
        if intent.instrument not in self._market.universe():
            raise NotFound(f"unknown instrument {intent.instrument!r}")
        decision_id = secrets.token_hex(16) if key is None else decision_id_of(account, key)
        if isinstance(intent, AgentIntent):
            return self._agent(decision_id, account, intent, stake)
        return self._person(decision_id, account, intent)

    async def find(self, session: AsyncSession, decision_id: str) -> Decision:
        """Return a decision by its id; raise NotFound."""
        found = await repository.find(session, decision_id)
        if found is None:
            raise NotFound("no such decision")
        return found

    def _agent(self, decision_id: str, account: str, intent: AgentIntent, stake: Stake) -> Decision:
        model = self._models.get(intent.model_sha256)
        quote = self._market.quote(intent.instrument)
        if quote is None:
            raise Conflict(f"{intent.instrument} has no price yet")
        share, unrealised = exposure(stake.budget, stake.holding, stake.average_cost, quote.price)
        history = self._market_data.history(quote.day, HISTORY_DAYS)
        features = feature_vector(history, intent.instrument, share, unrealised)
        choice = decide(model, features)
        quantity = size(choice.action, stake.budget, stake.holding, quote.price)
        return Decision(
            decision_id=decision_id,
            account=account,
            kind="agent",
            instrument=intent.instrument,
            side=side_of(choice.action) if quantity else "hold",
            quantity=quantity,
            model_sha256=model.sha256,
            features=features.values,
            features_sha256=features.sha256,
            q_values=choice.q_values,
            action=choice.action,
            decided_at=self._market.now(),
        )

    def _person(self, decision_id: str, account: str, intent: PersonIntent) -> Decision:
        if not 0 < to_units(intent.quantity, QUANTITY_DECIMALS) <= MAX_QUANTITY_UNITS:
            raise Invalid("a quantity is positive and below 2^40 millionths of a share")
        return Decision(
            decision_id=decision_id,
            account=account,
            kind="person",
            instrument=intent.instrument,
            side=intent.side,
            quantity=intent.quantity,
            model_sha256=None,
            features=(),
            features_sha256="",
            q_values=(),
            action=intent.side,
            decided_at=self._market.now(),
        )


def decision_id_of(account: str, key: str) -> str:
    """Return the id of what an account decides under a key."""
    return hashlib.sha256(f"refi/decision/v1\0{account}\0{key}".encode()).hexdigest()[:32]
