"""`refi risk var`: what an account holds, by every method, and no number where a method has none."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from backend.accounts.models import Account
from backend.adapters.market_data.replay import ReplayMarketData
from backend.cli.risk import assessed
from backend.execution.models import PositionRow
from backend.kit.db import Database
from backend.market.engine import returns_window
from backend.migrations import upgrade
from backend.risk.engine.var import expected_shortfall, historical_var
from tests.backend.cli.conftest import Answer, several_in

DAY = date(2016, 8, 1)
MARKET = ReplayMarketData()
# Ten Coca-Cola; ten Wal-Mart, whose 90 days hold a jump of nearly 10 %; nothing at all.
HELD: Mapping[str, dict[str, int]] = {
    "0x" + "01" * 20: {"KO": 10_000_000},
    "0x" + "02" * 20: {"WMT": 10_000_000},
    "0x" + "03" * 20: {},
}
KO, WMT, NOTHING = HELD
ASKED: Mapping[str, list[str]] = {
    "historical": ["--account", KO],
    "historical json": ["--account", KO, "--json"],
    "99": ["--account", KO, "--confidence", "0.99", "--json"],
    "modified": ["--account", KO, "--method", "cornish-fisher", "--json"],
    "modified 99": ["--account", KO, "--method", "cornish-fisher", "--confidence", "0.99", "--json"],
    "outside": ["--account", WMT, "--method", "cornish-fisher"],
    "outside json": ["--account", WMT, "--method", "cornish-fisher", "--json"],
    "outside 99": ["--account", WMT, "--method", "cornish-fisher", "--confidence", "0.99", "--json"],
    "nothing": ["--account", NOTHING, "--json"],
    "nothing modified": ["--account", NOTHING, "--method", "cornish-fisher", "--json"],
    "no level": ["--account", KO, "--confidence", "0.5"],
    "no wallet": ["--account", "me"],
    "nobody": [],
}


async def hold(url: str) -> None:
    """Write accounts and what they hold."""
    database = Database(url)
    async with database.transaction() as session:
        for number, (address, held) in enumerate(HELD.items(), start=1):
            opened = datetime(2016, 1, 4, tzinfo=UTC)
            session.add(Account(id=number, address=address, pseudonym=f"{number:043}", opened_at=opened, roles=[]))
            await session.flush()
            for instrument, units in held.items():
                session.add(
                    PositionRow(account_id=number, instrument=instrument, quantity_units=units, cost_units=units)
                )
    await database.close()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """Ask everything once, in one process."""
    state = tmp_path_factory.mktemp("risk") / "state"
    state.mkdir()
    url = f"sqlite+aiosqlite:///{state / 'refi.sqlite3'}"
    upgrade(url)
    asyncio.run(hold(url))
    verbs = [["risk", "var", *asked] for asked in ASKED.values()]
    return dict(zip(ASKED, several_in(state, verbs, first_business_day=DAY.isoformat()), strict=True))


def gains(instrument: str, days: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return ten shares' daily P&L in USD."""
    window = returns_window(MARKET, DAY, days)
    place = window.universe.index(instrument)
    price = float(window.prices[place])
    return np.array([10 * price * row[place] / 1e6 for row in window.returns])


@pytest.mark.parametrize(("asked", "confidence", "days"), [("historical json", "0.95", 90), ("99", "0.99", 250)])
def test_the_historical_var_comes_with_its_expected_shortfall(
    answers: Mapping[str, Answer], asked: str, confidence: str, days: int
) -> None:
    shown, pnl = json.loads(answers[asked].out), gains("KO", days)
    assert answers[asked].code == 0
    assert (shown["account"], shown["day"], shown["window"]) == (KO, DAY.isoformat(), days)
    assert float(shown["value"]) == pytest.approx(historical_var(pnl, Decimal(confidence)))
    assert float(shown["expected_shortfall"]) == pytest.approx(expected_shortfall(pnl, Decimal(confidence)))
    assert float(shown["expected_shortfall"]) > float(shown["value"]) > 0


def test_a_person_reads_both_in_a_line(answers: Mapping[str, Answer]) -> None:
    shown = json.loads(answers["historical json"].out)
    line = answers["historical"].out
    assert line.count("\n") == 1
    assert f"{shown['value']} USD, expected shortfall {shown['expected_shortfall']} USD" in line
    assert DAY.isoformat() in line


@pytest.mark.parametrize("asked", ["modified", "modified 99"])
def test_cornish_fisher_answers_within_its_domain(answers: Mapping[str, Answer], asked: str) -> None:
    assert answers[asked].code == 0
    assert 0 < float(json.loads(answers[asked].out)["value"]) < 20


@pytest.mark.parametrize("asked", ["outside json", "outside 99"])
def test_outside_its_domain_there_is_a_reason_and_no_number(answers: Mapping[str, Answer], asked: str) -> None:
    assert answers[asked].code == 1
    shown = json.loads(answers[asked].out)
    assert shown["value"] is None
    assert "outside Cornish-Fisher's domain" in shown["reason"]
    assert "excess kurtosis" in shown["reason"]


def test_a_person_is_told_the_reason_and_no_number(answers: Mapping[str, Answer]) -> None:
    assert (answers["outside"].code, answers["outside"].out) == (1, "")
    assert "none, outside Cornish-Fisher's domain" in answers["outside"].err


def test_nothing_held_risks_nothing(answers: Mapping[str, Answer]) -> None:
    shown = json.loads(answers["nothing"].out)
    assert (shown["value"], shown["expected_shortfall"]) == ("0", "0")
    assert json.loads(answers["nothing modified"].out)["value"] == "0"


def test_what_cannot_be_asked_is_told(answers: Mapping[str, Answer]) -> None:
    assert answers["no level"].is_one_line(2, "0.95, 0.99")
    assert answers["no wallet"].is_one_line(2, "'me' is no wallet")
    assert answers["nobody"].is_one_line(2, "--account")


def test_the_expected_shortfall_is_rounded_up_to_the_unit() -> None:
    pnl = [-1, *[0] * 89]
    assert assessed(pnl, "historical", Decimal("0.95"))["expected_shortfall"] == "0.0000000000000001"
