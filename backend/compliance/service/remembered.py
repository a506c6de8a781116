"""What the rules said a moment ago, as long as nothing says that they changed."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from backend.compliance.repository.rules import RulesSeen
from backend.compliance.types import GateTerms, Ruling
from backend.ports.clock import Clock
from backend.ports.governance import ModelState
from backend.ports.policy import OrderCheck

# Questions, accounts and models that are kept; the oldest go first.
MAX_KEPT = 10_000
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ModelSeen:
    """A model's state, when it was read (wall clock), and the version of the rules before."""

    state: ModelState
    version: int
    at: datetime


class Remembered:
    """Keeps verdicts by their exact question, models' states, and the verdict that an account last traded on.

    An answer counts while it is young, the rules' version is the one that it was asked under, and the watcher has
    looked at the chain lately. Each process has its own; one that starts anew remembers nothing.
    """

    def __init__(self, clock: Clock, terms: GateTerms) -> None:
        self._clock = clock
        self._terms = terms
        self._rulings: OrderedDict[OrderCheck, Ruling] = OrderedDict()
        self._models: OrderedDict[str, ModelSeen] = OrderedDict()
        self._allowed: OrderedDict[int, Ruling] = OrderedDict()
        self._latest = clock.wall()

    def is_watched(self, seen: RulesSeen) -> bool:
        """Return whether answers count at all: the watcher looked lately."""
        return bool(self._terms.cache_lifetime) and self._is_young(seen.seen_at, self._terms.watched_within)

    def ruling(self, order: OrderCheck, seen: RulesSeen) -> Ruling | None:
        """Return the answer to exactly this question, while it counts."""
        self._forget_if_set_back()
        kept = self._rulings.get(order)
        return kept if kept is not None and self._counts(kept, seen) else None

    def model(self, model_sha256: str, seen: RulesSeen) -> ModelState | None:
        """Return a model's state, while it counts."""
        self._forget_if_set_back()
        kept = self._models.get(model_sha256)
        return kept.state if kept is not None and self._counts(kept, seen) else None

    def grace(self, account_id: int, seen: RulesSeen) -> Ruling | None:
        """Return what the account last traded on, where the grace is not over and no change was seen since.

        Somebody must have watched when it traded: a version that nobody moves says nothing.
        """
        self._forget_if_set_back()
        kept = self._allowed.get(account_id)
        if kept is None or seen.seen_at is None or kept.at - seen.seen_at >= self._terms.watched_within:
            return None
        return kept if kept.version == seen.version and self._is_young(kept.at, self._terms.grace) else None

    def keep(self, order: OrderCheck, ruling: Ruling) -> None:
        """Remember what the engine answered."""
        _put(self._rulings, order, ruling)

    def keep_model(self, model_sha256: str, state: ModelState, seen: RulesSeen) -> None:
        """Remember a model's state."""
        _put(self._models, model_sha256, ModelSeen(state, seen.version, self._clock.wall()))

    def went(self, account_id: int, ruling: Ruling) -> None:
        """Remember how an account's order went; a refusal ends its grace."""
        if ruling.word == "allowed":
            _put(self._allowed, account_id, ruling)
        elif ruling.word == "refused":
            self._allowed.pop(account_id, None)

    def _counts(self, kept: Ruling | ModelSeen, seen: RulesSeen) -> bool:
        is_young = self._is_young(kept.at, self._terms.cache_lifetime)
        return is_young and kept.version == seen.version and self.is_watched(seen)

    def _is_young(self, moment: datetime | None, lifetime: timedelta) -> bool:
        return moment is not None and timedelta(0) <= self._clock.wall() - moment < lifetime

    def _forget_if_set_back(self) -> None:
        """Forget everything when the wall clock was set back: it would look younger than it is."""
        now = self._clock.wall()
        if now < self._latest:
            self._rulings.clear()
            self._models.clear()
            self._allowed.clear()
        self._latest = now


def _put(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MAX_KEPT:
        kept.popitem(last=False)
