"""Commitments to positions follow from the fills before them, or the epoch where they do not is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.accounts.types import Caller
from backend.kernel.canonical import JsonValue, time_string
from backend.kernel.clock import close_of, day_of
from backend.kernel.errors import Invalid
from backend.kernel.field import SCALAR_FIELD
from backend.kit.db import Database
from backend.ports.broker import Unknown
from backend.proofs.engine.kept import word
from backend.proofs.service import EpochService
from backend.transparency.engine.findings import Faults, Finding
from backend.transparency.engine.positions import Positions
from tests.backend.pipeline.rooms import FIRST_DAY, House
from tests.backend.proofs.world import Directory, SomeAccount
from tests.backend.transparency.ledger import UNIVERSE, WITHOUT_ERASED, committed

FIRST = 16_953
SECOND = timedelta(seconds=1)


def at(epoch: int, later: timedelta = -SECOND) -> str:
    """Return a time before an epoch's close, or so much after it."""
    return time_string(close_of(day_of(epoch)) + later)


@dataclass
class Chain:
    """An account's records; every test bends one."""

    records: list[dict[str, Any]] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)

    def add(self, event: str, ts_event: str, **fields: JsonValue) -> dict[str, Any]:
        """Append a record."""
        self.records.append({"event": event, "ts_event": ts_event, "order_id": f"order {len(self.records)}", **fields})
        return self.records[-1]

    def fill(self, epoch: int, quantity: str, instrument: str = "AAPL", **more: Any) -> dict[str, Any]:
        """Append a fill of an order of a day: bought where the quantity is positive, else sold."""
        side = "sell" if quantity.startswith("-") else "buy"
        fields = {"instrument": instrument, "side": side, "quantity": quantity.removeprefix("-")}
        return self.add("order.filled", at(epoch), **(fields | more))

    def close(self, epoch: int, **held: int) -> dict[str, Any]:
        """Append a closing with what was held, in 1e-6."""
        return self.add("epoch.closed", at(epoch, timedelta(0)), **committed(epoch, held))

    def found(self, *universes: tuple[str, ...]) -> tuple[Finding, dict[str, Any]]:
        """Return what is found where these universes are known."""
        positions = Positions(Faults())
        for universe in universes or (UNIVERSE,):
            positions.add_universe(universe)
        for place, record in enumerate(self.records):
            erased = place in self.erased
            shown = {name: record[name] for name in record if name in WITHOUT_ERASED} if erased else record
            positions.add_record(place + 1, shown, erased=erased)
        return positions.finding(), positions.facts()


def honest() -> Chain:
    """Return an opening and three closed epochs: two buys, a sale, and shares of another instrument."""
    chain = Chain()
    chain.add("account.opened", at(FIRST), **committed(FIRST))
    chain.fill(FIRST, "10")
    chain.fill(FIRST, "0.25")
    chain.close(FIRST, AAPL=10_250_000)
    chain.fill(FIRST + 1, "-2")
    chain.add("order.refused", at(FIRST + 1), instrument="AAPL", side="buy", quantity="5")
    chain.close(FIRST + 1, AAPL=8_250_000)
    chain.fill(FIRST + 2, "1.000001", "IBM")
    chain.close(FIRST + 2, AAPL=8_250_000, IBM=1_000_001)
    return chain


def failing(chain: Chain, *universes: tuple[str, ...]) -> str:
    finding, _ = chain.found(*universes)
    assert finding.result == "fail"
    return finding.detail


def test_every_commitment_of_an_honest_account_follows_from_its_fills() -> None:
    finding, facts = honest().found()
    assert (finding.result, finding.detail) == ("pass", "4 of 4 commitments follow from the fills before them")
    assert facts == {"recorded": 4, "follow": 4, "skipped": []}


def test_an_account_that_committed_to_nothing_is_not_checked() -> None:
    chain = Chain()
    chain.fill(FIRST, "10")
    finding, _ = chain.found()
    assert (finding.result, finding.detail) == ("skipped", "no commitment to positions is recorded")


def test_a_closing_that_ignores_a_fill_is_named() -> None:
    chain = honest()
    chain.records[3] |= committed(FIRST, {"AAPL": 10_000_000})
    assert failing(chain) == f"commitment does not follow from the fills: epoch {FIRST}"
    assert chain.found()[1]["follow"] == 3


def test_a_fill_that_is_left_out_fails_every_closing_after_it() -> None:
    chain = honest()
    del chain.records[4]
    assert failing(chain) == f"commitment does not follow from the fills: epoch {FIRST + 1} (and 1 more)"


def test_a_changed_salt_is_named() -> None:
    for place, epoch in ((6, f"{FIRST + 1}"), (0, f"{FIRST} (the account's opening)")):
        chain = honest()
        chain.records[place]["position_salt"] = word(5)
        assert failing(chain) == f"commitment does not follow from the fills: epoch {epoch}"


@pytest.mark.parametrize("salt", [word(SCALAR_FIELD + 1), "0x00", 7, None])
def test_a_salt_that_is_none_is_a_fault(salt: Any) -> None:
    chain = honest()
    chain.records[6]["position_salt"] = salt
    assert f"epoch {FIRST + 1}" in failing(chain)


@pytest.mark.parametrize("name", ["position_commitment", "position_salt", "universe_id"])
def test_a_closing_without_what_it_is_checked_by_is_a_fault_unless_it_is_erased(name: str) -> None:
    chain = honest()
    del chain.records[6][name]
    assert failing(chain) == f"epoch {FIRST + 1} is closed without commitment, salt or universe"
    chain.erased = {6}
    assert chain.found()[1]["skipped"] == [{"epoch": FIRST + 1, "reason": "erased"}]
    del chain.records[6]["epoch"]
    assert chain.found()[1]["skipped"] == [{"epoch": None, "reason": "erased"}]


def test_an_opening_of_before_salts_were_recorded_is_not_checked() -> None:
    chain = honest()
    del chain.records[0]["position_salt"]
    assert chain.found()[1] == {"recorded": 4, "follow": 3, "skipped": [{"epoch": FIRST, "reason": "without a salt"}]}
    del chain.records[0]["position_commitment"]
    assert chain.found()[1] == {"recorded": 3, "follow": 3, "skipped": []}


def test_an_opening_that_commits_to_something_is_named() -> None:
    chain = honest()
    chain.records[0] |= {name: value for name, value in committed(FIRST, {"AAPL": 1}).items() if name != "universe_id"}
    assert "the account's opening" in failing(chain)


def test_another_universe_is_not_checked_until_somebody_names_it() -> None:
    chain, other = honest(), ("AAPL", "IBM", "MSFT")
    chain.records[6] |= committed(FIRST + 1, {"AAPL": 8_250_000}, universe=other)
    finding, facts = chain.found()
    assert finding.result == "pass"
    assert finding.detail.endswith("; not checked: 1 of a universe whose tickers are not known")
    assert facts["skipped"] == [{"epoch": FIRST + 1, "reason": "of a universe whose tickers are not known"}]
    assert chain.found(UNIVERSE, other)[1]["follow"] == 4
    chain.records[6]["universe_id"] = honest().records[6]["universe_id"]
    assert failing(chain) == f"commitment does not follow from the fills: epoch {FIRST + 1}"


def test_without_any_universe_nothing_is_said_to_follow() -> None:
    finding, _ = honest().found(("XYZ",))
    assert finding.result == "skipped"
    assert finding.detail == "not checked: 4 of a universe whose tickers are not known"


def test_shares_outside_the_universe_fail_its_closing() -> None:
    chain = honest()
    chain.records[2]["instrument"] = "TSLA"
    assert f"epoch {FIRST}" in failing(chain)


def test_an_order_that_was_given_after_the_close_is_of_the_next_epoch() -> None:
    chain = Chain()
    chain.fill(FIRST, "10")
    chain.fill(FIRST, "5")["ts_event"] = at(FIRST, SECOND)
    chain.close(FIRST, AAPL=10_000_000)
    chain.close(FIRST + 1, AAPL=15_000_000)
    assert chain.found()[1]["follow"] == 2
    chain.records[2] |= committed(FIRST, {"AAPL": 15_000_000})
    assert f"epoch {FIRST}" in failing(chain)


def test_an_order_of_the_closes_own_moment_is_of_its_epoch() -> None:
    chain = Chain()
    chain.fill(FIRST, "5")["ts_event"] = at(FIRST, timedelta(0))
    chain.close(FIRST, AAPL=5_000_000)
    assert chain.found()[1]["follow"] == 1


def test_fills_that_are_dated_beyond_the_last_close_are_told() -> None:
    chain = Chain()
    chain.fill(FIRST, "10")
    chain.fill(FIRST, "5")["ts_event"] = "9999-01-01T00:00:00.000000Z"
    chain.close(FIRST, AAPL=10_000_000)
    told = "; fills before the last one whose orders came after its close: 1, up to 9999-01-01T00:00:00.000000Z"
    assert chain.found()[0].detail.endswith(told)
    chain.fill(FIRST + 1, "1")
    chain.close(FIRST + 1, AAPL=11_000_000)
    assert chain.found()[0].detail.endswith(told)


steps = st.lists(
    st.one_of(st.none(), st.tuples(st.sampled_from(UNIVERSE), st.integers(-9, 9), st.integers(0, 6))), max_size=12
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_what_is_held_at_a_close_is_the_sum_of_the_fills_that_are_of_its_time(
    placed: list[tuple[str, int, int] | None],
) -> None:
    chain, fills, closed = Chain(), list[tuple[str, int, int]](), 0
    for step in placed:
        if step is not None and step[1]:
            chain.fill(FIRST + step[2], str(step[1]), step[0])
            fills.append(step)
        elif step is None:
            held = dict.fromkeys(UNIVERSE, 0)
            for name, shares, day in fills:
                held[name] += shares * 10**6 * (day <= closed)
            chain.close(FIRST + closed, **held)
            closed += 1
    assert chain.found()[1] == {"recorded": closed, "follow": closed, "skipped": []}


def late(between: bool) -> Chain:
    """Return a chain with an order of unknown fate whose fill is recorded after the close of its day."""
    chain = Chain()
    order = chain.add("order.unknown", at(FIRST), instrument="AAPL", side="buy", quantity="5")
    if not between:
        chain.close(FIRST)
    fill = chain.fill(FIRST, "5", order_id=order["order_id"], reconciliation="0a")
    fill["ts_event"] = at(FIRST, timedelta(hours=3))
    if between:
        chain.close(FIRST, AAPL=5_000_000)
    chain.close(FIRST + 1, AAPL=5_000_000)
    return chain


@pytest.mark.parametrize("between", [True, False])
def test_a_late_fill_counts_from_the_closing_that_could_know_it(between: bool) -> None:
    chain = late(between)
    assert chain.found()[1]["follow"] == 2
    chain.records[2 if between else 1] |= committed(FIRST, {"AAPL": 0 if between else 5_000_000})
    assert f"epoch {FIRST}" in failing(chain)


def test_a_late_fill_whose_order_is_erased_leaves_its_closing_open_and_no_other() -> None:
    chain = late(between=True)
    chain.erased = {0}
    finding, facts = chain.found()
    assert finding.result == "pass"
    assert facts["skipped"] == [{"epoch": FIRST, "reason": "beside an erased order"}]


def test_an_erased_closing_is_counted_and_the_others_are_checked() -> None:
    chain = honest()
    chain.erased = {0, 3}
    finding, facts = chain.found()
    assert (finding.result, facts["follow"]) == ("pass", 2)
    assert finding.detail.endswith("; not checked: 2 erased")


def test_after_an_erased_fill_no_closing_can_be_checked() -> None:
    chain = honest()
    chain.erased = {4}
    finding, facts = chain.found()
    assert (finding.result, facts["follow"]) == ("pass", 2)
    assert finding.detail.endswith("; not checked: 2 after an erased fill")
    chain.erased = {0, 1, 2, 3}
    assert chain.found()[0].detail == "not checked: 2 erased, 2 after an erased fill"


def test_an_erased_refusal_takes_nothing_away() -> None:
    chain = honest()
    chain.erased = {5}
    assert chain.found()[1]["follow"] == 4


def test_an_epoch_that_is_closed_twice_or_too_late_is_named() -> None:
    chain = honest()
    chain.close(FIRST + 2, AAPL=8_250_000, IBM=1_000_001)
    assert failing(chain) == f"epoch {FIRST + 2} is closed after epoch {FIRST + 2}"


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "1e3"}, {"quantity": "0.0000001"}, {"quantity": 7}, {"side": "hold"}, {"side": ["buy"]},
        {"ts_event": "yesterday"}, {"instrument": None}, {"quantity": "-10"}, {"quantity": "1" * 40},
    ],
)  # fmt: skip
def test_a_fill_that_cannot_be_counted_is_a_fault_and_no_crash(change: Mapping[str, Any]) -> None:
    chain = honest()
    chain.records[1] |= change
    failing(chain)
    assert Chain(chain.records[:2]).found()[0].result != "fail"


@pytest.mark.parametrize("epoch", [None, -1, "16953", True, 2**60])
def test_an_epoch_that_is_none_is_a_fault(epoch: Any) -> None:
    chain = honest()
    chain.records[3]["epoch"] = epoch
    assert failing(chain).startswith("seq 4 commits to positions of no epoch")


@pytest.mark.parametrize("tickers", [[], ["A", "A"], [1], ["Ä"], ["A\0"], ["A" * 33], [["A"]]])
def test_tickers_that_are_no_universe_are_refused(tickers: Any) -> None:
    with pytest.raises(Invalid):
        Positions(Faults()).add_universe(tickers)


# --- the platform's own books, closings and records


class Books:
    """A trader of the real stages, whose epochs the real service closes."""

    def __init__(self, house: House, trader: Caller) -> None:
        self.house, self.trader = house, trader
        account = SomeAccount(trader.account_id, trader.address, trader.pseudonym)
        universe = house.market.universe()
        self.epochs = EpochService(house.journal, house.clock, Directory(account), house.execution, universe)
        self._stamps: list[str] = []

    async def close(self, days: int) -> None:
        """Close the day so many days after the first as its closing does: fates first."""
        day = FIRST_DAY + timedelta(days=days)
        async with self.house.session() as session:
            found = await self.house.reconciliation.compare(session, day, closing=True)
            await self.house.reconciliation.conclude(session, day, found)
            self.stamp()
            closing = await self.epochs.close(session, FIRST + days)
        assert len(closing.closed) == 1
        self.stamp()

    async def order(self, side: str, quantity: str, instrument: str = "AAPL", *, answer: Unknown | None = None) -> str:
        """Place an order and return its state; the venue fills one that it does not answer."""
        self.house.broker.answer, self.house.broker.arrives = answer, answer is not None
        outcome = await self.house.person(self.trader, side, quantity, instrument)
        self.stamp()
        return outcome.state

    def stamp(self) -> None:
        """Date the newest records as the journal does."""
        now = self.house.clock.business()
        new = self.house.journal.records[len(self._stamps) :]
        self._stamps += [time_string(record.ts_event or now) for record in new]

    def open(self, days: int) -> None:
        """Begin the day so many days after the first."""
        self.house.clock.set(close_of(FIRST_DAY + timedelta(days=days)))

    def found(self) -> tuple[Finding, dict[str, Any]]:
        """Return what the trader's records amount to."""
        dated = zip(self.house.journal.records, self._stamps, strict=True)
        chain = Chain()
        for record, stamp in dated:
            if record.account == self.trader.pseudonym:
                chain.add(record.event, stamp, **record.fields)
        return chain.found(tuple(self.house.market.universe()))


@pytest.fixture
async def books(database: Database, tmp_path: Path) -> Books:
    house = House(database, tmp_path / "models")
    return Books(house, await house.trader())


async def test_the_platforms_closings_follow_from_its_records_whatever_came_late(books: Books) -> None:
    silence = Unknown("timeout")
    assert await books.order("buy", "10.5") == "filled"
    assert await books.order("buy", "3", answer=silence) == "unknown"
    await books.close(0)
    books.open(1)
    assert await books.order("buy", "7", answer=silence) == "unknown"
    assert await books.order("sell", "2.000001") == "filled"
    books.open(5)
    # Two days were missed: this order is of neither.
    assert await books.order("buy", "1", "MSFT") == "filled"
    await books.close(1)
    await books.close(2)
    await books.close(5)
    finding, facts = books.found()
    assert (finding.result, facts) == ("pass", {"recorded": 4, "follow": 4, "skipped": []})
    # It is no accident: without any one of its fills the account does not pass.
    records = books.house.journal.records
    fills = [place for place, record in enumerate(records) if record.event == "order.filled"]
    assert len(fills) == 5
    for place in fills:
        kept = records[place]
        records[place] = replace(kept, event="order.refused")
        assert books.found()[0].result == "fail"
        records[place] = kept


async def test_a_fill_that_the_venue_told_only_after_the_close_is_of_the_next_closing(books: Books) -> None:
    assert await books.order("buy", "2") == "filled"
    assert await books.order("buy", "3", answer=Unknown("timeout")) == "unknown"
    broker = books.house.broker
    broker.told, broker.cancels = lambda _: [], Unknown("timeout")
    await books.close(0)
    broker.told, broker.cancels = list, None
    books.open(1)
    await books.close(1)
    events = [record.event for record in books.house.journal.records if record.account == books.trader.pseudonym]
    told = [event for event in events if event in {"order.unknown", "order.filled", "epoch.closed"}]
    assert told == ["order.filled", "order.unknown", "epoch.closed", "order.filled", "epoch.closed"]
    assert books.found()[1]["follow"] == 2
