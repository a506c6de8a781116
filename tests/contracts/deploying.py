"""Deploys a plan with a key of its own, in a process that can be killed between any two of its acts.

`python -m tests.contracts.deploying URL PLAN KEY [MOMENT COUNT]`: the process kills itself (SIGKILL) at a moment
(`signed`, `written`, `sent` or `mined`) of the COUNT-th transaction that it sends.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse, TxParams

from scripts.deploy._plan import Plan, PlanRefused
from scripts.deploy._platform import deploy

SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"


class Fate:
    """Ends the process at its moment."""

    def __init__(self, moment: str, count: int) -> None:
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


def main() -> None:
    """Deploy."""
    url, plan_file, key, *rest = sys.argv[1:]
    fate = Fate(rest[0], int(rest[1])) if rest else Fate("", 0)
    plan = Plan.from_json(Path(plan_file).read_text("utf-8"))
    try:
        done = deploy(plan, Web3(FatefulProvider(url, fate)), KeySender(bytes.fromhex(key), fate), plan.out)
        sys.stdout.write(f"{done}\n")
    except PlanRefused as refusal:
        sys.exit(f"deploy: {refusal}")


if __name__ == "__main__":
    main()
