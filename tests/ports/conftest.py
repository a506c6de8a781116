"""A real L2 node with the platform's order rules on it, shared by the adapters' tests."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint

from backend.ports.signer import KeyRole
from tests.fakes import FakeSigner

ARTIFACTS = Path(".refi/forge/out")
CHAIN_ID = 42069
GENESIS = 1_451_606_400  # 2016-01-01, before the first replayed day
SUBMIT_ORDER = bytes(keccak(text="submitOrder(address,bytes32,uint256,bytes32)"))[:4]
KYC = bytes(keccak(text="common.kyc"))
MAX_NOTIONAL = 50_000 * 10**6


@dataclass
class LocalChain:
    """A node on a free loopback port with a deployments folder and funded role keys."""

    url: str
    deployments: Path
    signer: FakeSigner
    web3: Web3
    addresses: dict[str, str] = field(default_factory=dict)

    def deploy(self, contract: str, *arguments: Any) -> str:
        """Deploy a built contract from the node's own account and write its deployment file."""
        artifact = json.loads((ARTIFACTS / f"{contract}.sol" / f"{contract}.json").read_text())
        made = self.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"]["object"])
        receipt = self._wait(made.constructor(*arguments).transact({"from": self.owner}))
        address = str(receipt["contractAddress"])
        self.addresses[contract] = address
        facts = {
            "address": address.lower(),
            "abi": artifact["abi"],
            "chain_id": CHAIN_ID,
            "block_number": receipt["blockNumber"],
            "tx_hash": receipt["transactionHash"].to_0x_hex(),
            "bytecode_sha256": sha256(artifact["bytecode"]["object"].encode()).hexdigest(),
            "constructor_args": "",
        }
        (self.deployments / f"{contract}.json").write_text(json.dumps(facts))
        return address

    def transact(self, contract: str, function: str, *arguments: Any) -> None:
        """Send a transaction as the contracts' owner."""
        abi = json.loads((self.deployments / f"{contract}.json").read_text())["abi"]
        target = self.web3.eth.contract(address=Web3.to_checksum_address(self.addresses[contract]), abi=abi)
        self._wait(target.get_function_by_name(function)(*arguments).transact({"from": self.owner}))

    def rpc(self, method: str, *parameters: Any) -> Any:
        """Call a method of the node."""
        return self.web3.provider.make_request(RPCEndpoint(method), list(parameters)).get("result")

    @property
    def owner(self) -> Any:
        """The account that owns every contract."""
        return self.web3.eth.accounts[0]

    def _wait(self, tx_hash: Any) -> Any:
        return self.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.02)


def anvil_binary() -> str:
    """Return the node's program; fail with the way to get it when it is missing."""
    found = next(iter(sorted(Path("node_modules/@foundry-rs").glob("anvil-*/bin/anvil"))), None)
    path = str(found) if found else shutil.which("anvil")
    if path is None or not (ARTIFACTS / "PolicyEngine.sol").is_dir():
        pytest.fail("anvil or the built contracts are missing: run `make setup build`")
    return path


@pytest.fixture(scope="session")
def node() -> Iterator[str]:
    """Start a node of its own for this run and yield its URL."""
    command = [anvil_binary(), "--network", "optimism", "--chain-id", str(CHAIN_ID), "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--timestamp", str(GENESIS)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        address = next(
            found.group(1) for line in process.stdout if (found := re.search(r"Listening on (127\.0\.0\.1:\d+)", line))
        )
        # It writes a line a question, and waits for ever once the pipe is full.
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        yield f"http://{address}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
        reader.join(timeout=10)
        process.stdout.close()


@pytest.fixture(scope="session")
def local_chain(node: str, tmp_path_factory: pytest.TempPathFactory) -> LocalChain:
    """Deploy the order gate with its rules: credential, volume, pause."""
    provider = HTTPProvider(node, exception_retry_configuration=None)
    chain = LocalChain(node, tmp_path_factory.mktemp("deployments"), FakeSigner("ports"), Web3(provider))
    for role in KeyRole:
        chain.rpc("anvil_setBalance", chain.signer.address(role), hex(10**20))
    engine = chain.deploy("PolicyEngine", chain.owner)
    issuer = Web3.to_checksum_address(chain.signer.address(KeyRole.ISSUER))
    gate = chain.deploy("OrderGate", chain.owner, engine)
    identities = chain.deploy("IdentityRegistry", chain.owner, engine)
    credentials = chain.deploy("CredentialRegistry", chain.owner, engine)
    chain.transact("PolicyEngine", "setExtractor", SUBMIT_ORDER, chain.deploy("OrderExtractor"))
    senders = chain.deploy("AuthorizedSenderPolicy", engine, chain.owner, [issuer])
    for registry, signature in (
        (identities, "registerIdentity(bytes32,address,bytes)"),
        (credentials, "registerCredential(bytes32,bytes32,uint40,bytes,bytes)"),
        (credentials, "renewCredential(bytes32,bytes32,uint40,bytes)"),
        (credentials, "removeCredential(bytes32,bytes32,bytes)"),
    ):
        selector = bytes(keccak(text=signature))[:4]
        chain.transact("PolicyEngine", "addPolicy", registry, selector, senders, [])
        chain.transact("PolicyEngine", "setTargetDefaultPolicyAllow", registry, True)
    pause = chain.deploy("PausePolicy", engine, chain.owner, False)
    kyc = chain.deploy(
        "CredentialValidatorPolicy",
        engine,
        chain.owner,
        [(KYC, identities, credentials, "0x" + "00" * 20)],
        [(KYC, [KYC], 1, False)],
    )
    volume = chain.deploy("VolumePolicy", engine, chain.owner, 0, MAX_NOTIONAL)
    for policy, names in ((pause, []), (kyc, ["account"]), (volume, ["notional"])):
        parameters = [bytes(keccak(text=name)) for name in names]
        chain.transact("PolicyEngine", "addPolicy", gate, SUBMIT_ORDER, policy, parameters)
    chain.transact("PolicyEngine", "setTargetDefaultPolicyAllow", gate, True)
    return chain
