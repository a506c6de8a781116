"""Deploys a plan with a key, in a process of its own that can be killed between any two of its acts."""

import os
import signal
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse, TxParams

from scripts.deploy._plan import Plan
from scripts.deploy._platform import deploy

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"
MOMENTS = ("signed", "written", "sent", "mined")


class Fate:
    """Ends the process (SIGKILL) at a moment of the count-th transaction that it sends."""

    def __init__(self, moment: str = "", count: int = 0) -> None:
        self._moment, self._count = moment, count
        self.number = 0

    def at(self, moment: str) -> None:
        """End here if this is the moment."""
        if (moment, self.number) == (self._moment, self._count):
            os.kill(os.getpid(), signal.SIGKILL)


class KeySender:
    """Signs with a key."""

    def __init__(self, key: bytes, fate: Fate) -> None:
        self._key, self._fate = Account.from_key(key), fate

    @property
    def address(self) -> str:
        """The account."""
        return str(self._key.address)

    def sign(self, transaction: TxParams) -> bytes:
        """Return a signed transaction as it goes over the wire."""
        raw = bytes(self._key.sign_transaction(transaction).raw_transaction)
        self._fate.number += 1
        self._fate.at("signed")
        return raw


class FatefulProvider(HTTPProvider):
    """A node's interface whose user may not live to see the answer."""

    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask the node."""
        if method == SEND:
            self._fate.at("written")
        answer = super().make_request(method, params)
        if method == SEND:
            self._fate.at("sent")
        if method == RECEIPT and answer.get("result"):
            self._fate.at("mined")
        return answer


def deploy_with(key: bytes, url: str, plan: Path, fate: Fate | None = None) -> str:
    """Deploy in this process; return what was done."""
    planned, fate = Plan.from_json(plan.read_text("utf-8")), fate or Fate()
    return deploy(planned, Web3(FatefulProvider(url, fate)), KeySender(key, fate), planned.out)


def deploy_and_die(key: bytes, url: str, plan: Path, moment: str, count: int) -> bool:
    """Deploy in a child that is killed at a moment; tell whether it was: it may have been done before."""
    child = os.fork()
    if not child:
        try:
            deploy_with(key, url, plan, Fate(moment, count))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
