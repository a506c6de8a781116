"""Whether each commitment to an account's positions follows from the fills before it (evidence format, section 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.kernel.canonical import parse_decimal, parse_time, time_string
from backend.kernel.clock import close_of, day_of
from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD
from backend.kernel.fixed import QUANTITY_DECIMALS, to_units
from backend.kernel.poseidon import position_commitment
from backend.proofs.engine.kept import position_vector, unword, word
from backend.proofs.engine.returns import universe_id
from backend.transparency.engine.findings import Faults, Finding

POSITIONS = "positions"
OPENED = "account.opened"
ERASED, FILL_ERASED, ORDER_ERASED = "erased", "after an erased fill", "beside an erased order"
NO_SALT, NO_UNIVERSE = "without a salt", "of a universe whose tickers are not known"
# The last day that a date can name.
LAST_EPOCH = 2_932_896


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill: what it adds (1e-6), when its order was given, and whether an erased record may tell an earlier time."""

    instrument: str
    units: int
    given: datetime
    sure: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """A record that commits to positions: what was held then (1e-6), or why that is not known."""

    epoch: int
    commitment: str
    salt: int
    universe_id: bytes
    held: Mapping[str, int]
    unknown: str

    @property
    def opening(self) -> bool:
        """Whether it is the account's first, which names no universe and commits to nothing held."""
        return not self.universe_id


@dataclass(slots=True)
class Positions:
    """An account's records as they come in, in order, and the universes that somebody named."""

    faults: Faults
    universes: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    recorded: int = 0
    follow: int = 0
    skipped: list[tuple[int | None, str]] = field(default_factory=list)
    _held: dict[str, int] = field(default_factory=dict)
    _late: list[Filled] = field(default_factory=list)
    _given: dict[str, datetime] = field(default_factory=dict)
    _unreadable: str = ""
    _beyond: tuple[Filled, ...] = ()
    _fill_erased: bool = False
    _order_erased: bool = False
    _newest: int = -1
    _committed: list[Committed] = field(default_factory=list)

    def add_universe(self, tickers: Sequence[str]) -> None:
        """Take tickers in the order of a universe: its id is their hash, whoever names them. Raises Invalid."""
        # A ticker that ends in zeros would hash as the one without them.
        if not all(isinstance(ticker, str) and ticker.isascii() and ticker.isprintable() for ticker in tickers):
            raise Invalid("a ticker is printable ASCII text")
        self.universes[universe_id(tickers)] = tuple(tickers)

    def add_record(self, seq: int, values: Mapping[str, Any], *, erased: bool) -> None:
        """Take the account's next record; of an erased one only the event's name, epoch and commitment are left."""
        match values.get("event"):
            case "order.filled" if erased:
                self._fill_erased = True
            case "order.filled":
                self._add_fill(seq, values)
            case "order.unknown" if erased:
                self._order_erased = True
            case "order.unknown":
                self._note_order(seq, values)
            case "account.opened" if "position_commitment" in values:
                self._add_commitment(seq, values, erased=erased)
            case "epoch.closed":
                self._add_commitment(seq, values, erased=erased)
            case _:
                pass

    def finding(self) -> Finding:
        """Recompute every commitment that can be and say how many follow from the fills."""
        for one in self._committed:
            if reason := one.unknown or self._judged(one):
                self.skipped.append((one.epoch, reason))
        self._committed.clear()
        if not self.recorded:
            return Finding(POSITIONS, "skipped", "no commitment to positions is recorded")
        reasons = Counter(reason for _, reason in self.skipped)
        told = f"{self.follow} of {self.recorded} commitments follow from the fills before them"
        if self._beyond:
            # They count in a later closing: one that is dated beyond every close would count in none.
            newest = time_string(max(filled.given for filled in self._beyond))
            count = len(self._beyond)
            told += f"; fills before the last one whose orders came after its close: {count}, up to {newest}"
        left = "not checked: " + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        if POSITIONS not in self.faults.first and not self.follow:
            return Finding(POSITIONS, "skipped", left)
        return self.faults.finding(POSITIONS, told + (f"; {left}" if reasons else ""))

    def facts(self) -> dict[str, Any]:
        """Return what the finding counts, for machines."""
        skipped = [{"epoch": epoch, "reason": reason} for epoch, reason in self.skipped]
        return {"recorded": self.recorded, "follow": self.follow, "skipped": skipped}

    def _note_order(self, seq: int, values: Mapping[str, Any]) -> None:
        # Its fill is recorded when its fate is known; it was given when it was first recorded.
        try:
            self._given.setdefault(str(values["order_id"]), parse_time(values["ts_event"]))
        except (KeyError, TypeError, Invalid):
            self._unreadable = self._unreadable or f"seq {seq} is no order that can be read"

    def _add_fill(self, seq: int, values: Mapping[str, Any]) -> None:
        try:
            units = to_units(parse_decimal(values["quantity"]), QUANTITY_DECIMALS)
            sign = {"buy": 1, "sell": -1}[values["side"]]
            recorded, instrument = parse_time(values["ts_event"]), values["instrument"]
        except (KeyError, TypeError, Invalid):
            self._unreadable = self._unreadable or f"seq {seq} is no fill that can be counted"
            return
        given = self._given.get(str(values.get("order_id")))
        filled = Filled(
            str(instrument), sign * units, given or recorded, sure=given is not None or not self._order_erased
        )
        self._held[filled.instrument] = self._held.get(filled.instrument, 0) + filled.units
        self._late.append(filled)

    def _add_commitment(self, seq: int, values: Mapping[str, Any], *, erased: bool) -> None:
        epoch, opening = _epoch(values), values["event"] == OPENED
        self.recorded += 1
        if epoch is not None and not opening:
            told = f"epoch {epoch} is closed after epoch {self._newest}"
            self.faults.require(POSITIONS, epoch > self._newest, told)
            self._newest = max(self._newest, epoch)
        if erased:
            self.skipped.append((epoch, ERASED))
        elif opening and "position_salt" not in values:
            self.skipped.append((epoch, NO_SALT))
        elif epoch is None:
            self.faults.add(POSITIONS, f"seq {seq} commits to positions of no epoch")
        else:
            self._committed += self._read(epoch, values, opening=opening)

    def _read(self, epoch: int, values: Mapping[str, Any], *, opening: bool) -> list[Committed]:
        try:
            commitment, salt = str(values["position_commitment"]), unword(str(values["position_salt"]))
            universe = b"" if opening else unword(str(values["universe_id"]))
        except (KeyError, Invalid):
            self.faults.add(POSITIONS, f"epoch {epoch} is closed without commitment, salt or universe")
            return []
        number = int.from_bytes(salt, "big")
        if not self.faults.require(POSITIONS, number < SCALAR_FIELD, f"the salt of epoch {epoch} is no field element"):
            return []
        held, unknown = ({}, "") if opening else self._at_close(epoch)
        return [Committed(epoch, commitment, number, universe, held, unknown)]

    def _at_close(self, epoch: int) -> tuple[Mapping[str, int], str]:
        """Return what was held at an epoch's close: all fills so far but for those of orders given after it."""
        moment = close_of(day_of(epoch))
        # Closings come in order: a fill that is of one's time is of the next one's too.
        self._late = [filled for filled in self._late if filled.given > moment]
        self._beyond = tuple(self._late)
        if self._fill_erased:
            return {}, FILL_ERASED
        if any(not filled.sure for filled in self._late):
            return {}, ORDER_ERASED
        if self._unreadable:
            self.faults.add(POSITIONS, self._unreadable)
        held = dict(self._held)
        for filled in self._late:
            held[filled.instrument] -= filled.units
        return held, ""

    def _judged(self, one: Committed) -> str:
        """Count a commitment that follows, note one that does not, or return why it cannot be checked."""
        if one.opening:
            # It names no universe: that of the first closing is due.
            closed = next((other.universe_id for other in self._committed if other.universe_id), b"")
            follows = any(self._follows(one, known) for known in self.universes)
        else:
            closed = one.universe_id
            follows = closed in self.universes and self._follows(one, closed)
        if not follows and closed not in self.universes:
            return NO_UNIVERSE
        opening = " (the account's opening)" if one.opening else ""
        told = f"commitment does not follow from the fills: epoch {one.epoch}{opening}"
        self.follow += self.faults.require(POSITIONS, follows, told)
        return ""

    def _follows(self, one: Committed, universe: bytes) -> bool:
        vector = position_vector(self.universes[universe], one.held)
        return isinstance(vector, tuple) and word(position_commitment(one.salt, universe, vector)) == one.commitment


def _epoch(values: Mapping[str, Any]) -> int | None:
    epoch = values.get("epoch")
    return epoch if isinstance(epoch, int) and not isinstance(epoch, bool) and 0 <= epoch <= LAST_EPOCH else None
