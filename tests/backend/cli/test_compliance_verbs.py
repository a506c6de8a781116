"""`refi compliance` refuses what makes no sense before anything is asked, and tells what it found in words."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backend.cli.compliance.credentials import kind_of, moment_of
from backend.cli.compliance.status import told, told_cap, told_watching
from backend.kernel.errors import Invalid

WALLET = "0x" + "ab" * 20
WATCHED: dict[str, Any] = {
    "version": 7, "block_number": 90, "seen_at": "2026-11-21T12:00:00Z", "age_seconds": 0.21, "lag_blocks": 1,
    "fresh": True,
}  # fmt: skip


def refi(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_malformed_wallet_is_a_usage_error() -> None:
    done = refi("compliance", "revoke", "0x12", "--type", "common.kyc")
    assert done.returncode == 2
    assert "40 hex digits" in done.stderr


def test_an_unknown_credential_and_a_time_without_a_zone_are_named() -> None:
    with pytest.raises(Invalid, match=r"common\.kyc, common\.kyb, common\.aml, common\.accredited"):
        kind_of("common.cat")
    for text in ("2017-06-01T21:00:00", "tomorrow"):
        with pytest.raises(Invalid, match="2017-06-01T21:00:00Z"):
            moment_of(text)
    assert moment_of("2017-06-01T21:00:00Z") == datetime(2017, 6, 1, 21, tzinfo=UTC)
    assert moment_of("") is None


def test_the_watching_is_told_with_its_age_and_lag() -> None:
    (line,) = told_watching(WATCHED)
    assert line == "rules version 7 as of block 90, 1 behind the head, looked at 0.2 s ago"
    assert "no earlier verdict counts" in told_watching(WATCHED | {"fresh": False})[1]
    assert "oracle.compliance_watcher" in told_watching(WATCHED | {"seen_at": None, "fresh": False})[0]


def test_a_wallets_standing_is_told_line_by_line() -> None:
    shown: dict[str, Any] = {
        "address": WALLET,
        "ccid": "",
        "credentials": [{"type": "common.kyc", "expires_at": datetime(2017, 6, 1, tzinfo=UTC), "is_expired": True}],
        "cap": {"cap": Decimal(100), "opened_at": datetime(2016, 6, 1, tzinfo=UTC), "review": ""},
        "volume": {
            "recorded": Decimal("1.5"), "unsettled": Decimal(2), "limit": Decimal(1_000_000), "window_seconds": 86_400,
        },
        "sanctions_list": None,
        "rules": WATCHED,
    }  # fmt: skip
    assert told(shown) == [
        f"wallet       {WALLET}",
        "identity     none",
        "credential   common.kyc EXPIRED, it was until 2017-06-01 00:00:00 UTC",
        "cap          100 USD an order, open since 2016-06-01, not reviewed",
        "volume       1.5 USD and 2 USD unsettled, of 1000000 USD in 86400 s",
        "sanctions    not checked on chain",
        "rules        version 7 as of block 90",
    ]
    assert told_cap(None) == "no caps on chain in this deployment"
    assert told_cap({"cap": Decimal(0), "opened_at": None, "review": ""}).startswith("not open")
