"""Decisions reach the real registries, whatever is lost on the way, and the order rules see them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from backend.adapters.chain.rpc import RpcChain
from backend.adapters.policy.engine import EnginePolicy
from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.ports.chain import Receipt
from backend.ports.policy import OrderCheck
from backend.ports.signer import KeyRole
from tests.backend.onboarding.desk import APPLICANT, YEAR, Desk
from tests.ports.conftest import LocalChain, local_chain, node

__all__ = ["local_chain", "node"]


class LosingChain:
    """A chain whose answers to some transactions are lost once, after they were mined."""

    def __init__(self, chain: RpcChain, *lost: str) -> None:
        self._chain = chain
        self.lost = list(lost)

    async def send(self, role: KeyRole, contract: str, function: str, *arguments: Any) -> Receipt:
        """Send, and lose the answer."""
        receipt = await self._chain.send(role, contract, function, *arguments)
        if function in self.lost:
            self.lost.remove(function)
            raise Unavailable("the RPC did not answer")
        return receipt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


@pytest.fixture
async def chain(local_chain: LocalChain) -> AsyncIterator[RpcChain]:
    opened = RpcChain(local_chain.url, local_chain.deployments, local_chain.signer, timeout=timedelta(seconds=20))
    yield opened
    await opened.close()


async def test_a_decision_becomes_a_credential_once_and_a_withdrawal_takes_it(
    chain: RpcChain, local_chain: LocalChain, database: Database
) -> None:
    losing = LosingChain(chain, "registerIdentity", "registerCredential", "removeCredential")
    desk = Desk(database, chain=losing)
    policy = EnginePolicy(chain, local_chain.signer.address(KeyRole.OPERATOR))
    order = OrderCheck(APPLICANT.address, "AAPL", Decimal(1000), None)
    assert not (await policy.check(order)).allowed
    case_id = await desk.approved()
    for _ in range(4):
        desk.clock.advance(wall=timedelta(minutes=2))
        await desk.job.run_once()
    assert (await desk.case(case_id)).issued
    assert desk.journal.events().count("credential.issued") == 2
    assert (await policy.check(order)).allowed
    ccid = bytes(await chain.call("IdentityRegistry", "getIdentity", APPLICANT.address))
    assert "0x" + ccid.hex() == (await desk.row(case_id)).ccid
    assert len(await chain.events("IdentityRegistry", "IdentityRegistered", filters={"ccid": ccid})) == 1
    assert len(await chain.events("CredentialRegistry", "CredentialRegistered", filters={"ccid": ccid})) == 2
    ends = {
        event["expiresAt"]
        for event in await chain.events("CredentialRegistry", "CredentialRegistered", filters={"ccid": ccid})
    }
    assert ends == {int((desk.clock.business() + YEAR).timestamp())}
    await desk.withdraw()
    for _ in range(2):
        desk.clock.advance(wall=timedelta(minutes=2))
        await desk.job.run_once()
    assert losing.lost == []
    assert not (await policy.check(order)).allowed
    assert len(await chain.events("CredentialRegistry", "CredentialRemoved", filters={"ccid": ccid})) == 2
