"""What a deployment leaves to the DAO is proposed once, and only what is missing."""

from typing import Any

import pytest

from backend.anchoring.engine import log_id
from backend.cli.gov.registrations import registrations
from backend.kernel.errors import Invalid
from backend.kernel.keccak import keccak256
from backend.proofs.engine.returns import universe_id
from tests.fakes import FakeChain

TICKERS = ["AAPL", "MSFT"]
POLICY, KEY = "ab" * 32, "cd" * 8
PLAN: dict[str, Any] = {
    "roles": {"anchorer": "0x" + "01" * 20, "attester": "0x" + "02" * 20},
    "log": {"origin": "refi.trading/test", "public_key": "11" * 32},
    "universe": {"instruments": TICKERS, "window": 90},
    "verifiers": {"VarVerifier16x90Es": {"circuit": "var_16_90_es", "key": KEY, "insecure": False}},
    "var_policies": [
        {
            "policy_id": POLICY,
            "verifier": "VarVerifier16x90Es",
            "limit": "7",
            "es_limit": "9",
            "circuit_hash": "ee" * 32,
        }
    ],
}


class Registered:
    """What the chain knows already."""

    def __init__(self) -> None:
        self.chain = FakeChain()
        self.log = log_id(
            "refi.trading/test", bytes.fromhex("11" * 32), self.chain.id, self.chain.address("AuditAnchor")
        )
        self.attester, self.window, self.verifier = False, 0, "0x" + "00" * 20
        self.chain.answer("VarAttestor", "isAttester", lambda *_: self.attester)
        self.chain.answer("ReturnsOracle", "universeOf", lambda _: (self.window and 2, self.window))
        self.chain.answer("VarAttestor", "policyOf", lambda _: (bytes(32), self.verifier))

    async def missing(self) -> list[str]:
        """Return what is to be proposed."""
        return [f"{call.target}.{call.function}" for call in await registrations(PLAN, self.chain)]


async def test_everything_that_settings_name_is_proposed() -> None:
    known = Registered()
    log, attester, universe, policy = await registrations(PLAN, known.chain)
    assert (log.function, log.arguments) == (
        "registerLog",
        ("refi.trading/test", "0x" + "11" * 32, [PLAN["roles"]["anchorer"]]),
    )
    assert attester.arguments == ("0x" + known.log.hex(), PLAN["roles"]["attester"], "true")
    assert universe.arguments[0] == "0x" + universe_id(TICKERS).hex()
    assert universe.arguments[1] == ["0x" + ticker.encode().ljust(32, b"\0").hex() for ticker in TICKERS]
    struct = policy.arguments[1]
    assert struct[2:12] == ["16", "90", "5", "9", "2", "40", "82", "83", "7", "9"]
    assert struct[0] == universe.arguments[0]
    assert struct[-1] == "0x" + keccak256(bytes.fromhex(KEY)).hex()


async def test_what_the_chain_knows_is_not_proposed_again() -> None:
    known = Registered()
    known.attester, known.window = True, 90
    assert await known.missing() == ["AuditAnchor.registerLog", "VarAttestor.definePolicy"]
    known.chain.emit("AuditAnchor", "LogRegistered", logId=known.log)
    assert await known.missing() == ["VarAttestor.definePolicy"]
    known.verifier = "0x" + "12" * 20
    with pytest.raises(Invalid, match="the chain knows"):
        await known.missing()
