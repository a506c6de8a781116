"""A throw-away node with forge's artifacts on it: what measurements and tests of the contracts run against."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import RPCEndpoint, TxReceipt

from backend.cli.local import ANVIL, ROOT
from backend.kernel.errors import Unavailable
from backend.settings import child_environment

ARTIFACTS = ROOT / ".refi" / "forge" / "out"
PATIENCE_SECONDS = 30
ORIGIN, LOG_KEY = "refi.trading/test", bytes(range(32))


@contextmanager
def node(chain_id: int, *arguments: str) -> Iterator[Web3]:
    """Run a fresh node on a free loopback port; its first account sends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    web3 = Web3(HTTPProvider(f"http://127.0.0.1:{port}"))
    command = [str(ANVIL), "--chain-id", str(chain_id), "--port", str(port), "--host", "127.0.0.1", "--quiet"]
    with subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, env=child_environment()) as process:
        try:
            deadline = monotonic() + PATIENCE_SECONDS
            while not web3.is_connected():
                if process.poll() is not None or monotonic() > deadline:
                    raise Unavailable("the local node does not start")
                sleep(0.02)
            web3.eth.default_account = web3.eth.accounts[0]
            yield web3
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def artifact(name: str, file: str | None = None, folder: Path = ARTIFACTS) -> dict[str, Any]:
    """Return what forge made of a contract."""
    made: dict[str, Any] = json.loads((folder / f"{file or name}.sol" / f"{name}.json").read_text("utf-8"))
    return made


def deploy(web3: Web3, name: str, *arguments: Any, file: str | None = None) -> Contract:
    """Deploy a contract from forge's artifacts."""
    made = artifact(name, file)
    factory = web3.eth.contract(abi=made["abi"], bytecode=made["bytecode"]["object"])
    address = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact())["contractAddress"]
    if address is None:
        raise Unavailable(f"{name} was not deployed")
    return web3.eth.contract(address=address, abi=made["abi"])


def send(web3: Web3, call: ContractFunction, sender: str | None = None) -> TxReceipt:
    """Send a call and wait for its receipt; raise what the contract reverts with."""
    transaction = call.transact({"from": Web3.to_checksum_address(sender)} if sender else {})
    return web3.eth.wait_for_transaction_receipt(transaction, poll_latency=0.01)


def ask(web3: Web3, method: str, *arguments: Any) -> Any:
    """Ask the node something that web3 has no name for."""
    answer = web3.provider.make_request(RPCEndpoint(method), list(arguments))
    if "error" in answer:
        raise Unavailable(f"{method}: {answer['error']}")
    return answer["result"]
