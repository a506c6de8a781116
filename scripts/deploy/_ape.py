"""What Ape lends a script: the network that it is connected to, and the account that signs."""

import sys
from collections.abc import Callable
from typing import Any

from ape import accounts, chain
from web3 import Web3
from web3.types import TxParams

from ._artifacts import ROOT
from ._plan import LOCAL_CHAIN_IDS, Plan, PlanRefused
from ._platform import deploy, verify


class ApeSender:
    """Signs with an account of Ape's."""

    def __init__(self, account: Any) -> None:
        self._account = account

    @property
    def address(self) -> str:
        """The account."""
        return str(self._account.address)

    def sign(self, transaction: TxParams) -> bytes:
        """Return a signed transaction as it goes over the wire."""
        unsigned = chain.provider.network.ecosystem.create_transaction(type=2, sender=self.address, **transaction)
        signed = self._account.sign_transaction(unsigned)
        if signed is None:
            raise PlanRefused(f"{self.address} did not sign")
        return bytes(signed.serialize_transaction())


def deployer_of(plan: Plan, chain_id: int) -> Any:
    """Return the account that pays: the local node's first one, or the one that the plan names."""
    if chain_id in LOCAL_CHAIN_IDS and not plan.deployer:
        return accounts.test_accounts[0]
    if not plan.deployer:
        raise PlanRefused(f"the plan names no deployer for chain {chain_id}: an alias of `ape accounts list`")
    deployer = accounts.load(plan.deployer)
    # One passphrase instead of a question for each of some ninety transactions.
    deployer.set_autosign(True)
    return deployer


def deploy_platform() -> None:
    """Deploy what REFI_DEPLOY_PLAN names; a refusal is one line on standard error."""

    def act(plan: Plan, web3: Web3) -> str:
        return deploy(plan, web3, ApeSender(deployer_of(plan, web3.eth.chain_id)), ROOT / plan.out)

    _run("deploy", act)


def verify_platform() -> None:
    """Verify what REFI_DEPLOY_PLAN names; a fault is one line on standard error."""
    _run("verify", lambda plan, web3: verify(plan, web3, ROOT / plan.out))


def _run(name: str, act: Callable[[Plan, Web3], str]) -> None:
    try:
        print(act(Plan.read(), chain.provider.web3))
    except PlanRefused as refusal:
        sys.exit(f"{name}: {refusal}")
