"""The platform as a deployment leaves it on a local node, and the people who use it."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_account import Account
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError
from web3.types import RPCEndpoint, TxReceipt

from backend.settings import child_environment
from tests.contracts.deploying import deploy_with

ROOT = Path(__file__).resolve().parents[2]
APE = ROOT / "contracts" / ".venv" / "bin" / "ape"
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
PATIENCE_SECONDS = 30
FIRST_DAY = 1_451_606_400
ROLES = ("operator", "anchorer", "publisher", "countersigner", "issuer", "attester", "guardian", "relay")
OTHERS = ("trader", "stranger", "voter", "deployer")
PEOPLE = {name: Account.from_key(sha256(name.encode()).digest()) for name in (*ROLES, *OTHERS)}
KYC = keccak(text="common.kyc")
CCID = keccak(text="a person")
MODEL = sha256(b"a model").digest()
TICKERS = tuple(f"INST{number:02d}" for number in range(16))
ORIGIN, LOG_KEY = "refi.trading/test", bytes(range(32))
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
PAYLOAD = "(bytes4,address,bytes,bytes)"
REJECTED = "0x" + keccak(text=f"PolicyRunRejected(address,string,{PAYLOAD})")[:4].hex()
VAR_POLICY = "0x" + keccak(text="policy").hex()
VERIFYING_KEY = bytes(i * 7 % 251 for i in range(448 + 256))


@dataclass(frozen=True, slots=True)
class Platform:
    """A node with everything deployed."""

    web3: Web3
    folder: Path
    plan: Path
    url: str

    def contract(self, name: str) -> Contract:
        """Return a deployed contract by its name."""
        record = json.loads((self.folder / f"{name}.json").read_text())
        return self.web3.eth.contract(Web3.to_checksum_address(record["address"]), abi=record["abi"])

    def send(self, name: str, call: ContractFunction) -> TxReceipt:
        """Send a call signed by a person's key; raise what the contract reverts with."""
        person = PEOPLE[name]
        transaction = call.build_transaction(
            {"from": person.address, "nonce": self.web3.eth.get_transaction_count(person.address)}
        )
        signed = person.sign_transaction(transaction)
        return self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_raw_transaction(signed.raw_transaction))

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask the node something that is no part of Ethereum's interface."""
        return self.web3.provider.make_request(RPCEndpoint(method), list(arguments)).get("result")

    def advance(self, seconds: int) -> None:
        """Move the chain's clock."""
        self.ask("evm_increaseTime", seconds)
        self.ask("evm_mine")

    def submit(self, notional: int, model: bytes = bytes(32), sender: str = "relay") -> TxReceipt:
        """Send an order of the trader."""
        return self.send(sender, self.order(notional, model))

    def order(self, notional: int, model: bytes = bytes(32)) -> ContractFunction:
        """Return the call that submits an order of the trader."""
        gate = self.contract("OrderGate")
        return gate.functions.submitOrder(PEOPLE["trader"].address, b"AAPL".ljust(32, b"\0"), notional, model)

    def check(self, notional: int, model: bytes = bytes(32), sender: str = "relay") -> None:
        """Ask the engine as the gate would, without a transaction."""
        gate, data = (
            self.contract("OrderGate"),
            bytes.fromhex(self.order(notional, model)._encode_transaction_data()[2:]),
        )
        payload = (data[:4], PEOPLE[sender].address, data[4:], b"")
        self.contract("PolicyEngine").functions.check(payload).call({"from": gate.address})

    def know(self, expires_at: int = 0, kind: bytes = KYC) -> None:
        """Let the issuer give the trader an identity with a credential."""
        trader = PEOPLE["trader"].address
        self.send("issuer", self.contract("IdentityRegistry").functions.registerIdentity(CCID, trader, b""))
        registry = self.contract("CredentialRegistry")
        self.send("issuer", registry.functions.registerCredential(CCID, kind, expires_at, sha256(b"").digest(), b""))
        self.send("issuer", self.contract("ProgressiveCapPolicy").functions.open(trader))

    def as_timelock(self, name: str, function: str, *arguments: Any) -> None:
        """Do what a vote could: the node stands in for the timelock."""
        timelock = self.contract("RefiTimelock").address
        self.ask("anvil_setBalance", timelock, hex(10**18))
        self.ask("anvil_impersonateAccount", timelock)
        sent = self.contract(name).get_function_by_name(function)(*arguments).transact({"from": timelock})
        assert self.web3.eth.wait_for_transaction_receipt(sent)["status"] == 1


def ape(
    script: str, url: str, plan: Path, network: str = "ethereum:local:foundry", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a deployment script in Ape's environment."""
    environment = child_environment(deploy_plan=plan) | {
        "APE_FOUNDRY_HOST": url,
        "APE_DATA_FOLDER": str(ROOT / ".refi" / "ape"),
        "PYTHONPATH": str(ROOT / "scripts"),
        **more,
    }
    command = [str(APE), "run", "deploy", "platform", script, "--network", network]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def refusal(attempt: Callable[[], object]) -> str:
    """Return the reason with which the policy engine refuses."""
    with pytest.raises(ContractCustomError) as caught:
        attempt()
    data = str(caught.value.data)
    assert data.startswith(REJECTED)
    return str(decode(["address", "string", PAYLOAD], bytes.fromhex(data[10:]))[1])


@contextmanager
def node(chain_id: int) -> Iterator[str]:
    """Run a node on a free port; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(ANVIL), "--network", "optimism", "--timestamp", str(FIRST_DAY), "--quiet"]
    command += ["--chain-id", str(chain_id), "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            deadline = monotonic() + PATIENCE_SECONDS
            while not Web3(HTTPProvider(url)).is_connected():
                assert monotonic() < deadline
                sleep(0.05)
            yield url
        finally:
            process.terminate()


def plan_for(out: Path, **more: Any) -> dict[str, Any]:
    """Return a plan with every role and one voter."""
    roles = {role: PEOPLE[role].address for role in ROLES}
    return {"roles": roles, "voters": [PEOPLE["voter"].address], "out": str(out)} | more


def full_plan(out: Path, **more: Any) -> dict[str, Any]:
    """Return a plan with a log, a universe, a verifier and a VaR policy."""
    policy = {
        "policy_id": VAR_POLICY,
        "limit": str(10**20),
        "es_limit": str(2 * 10**20),
        "circuit_hash": "0x" + "11" * 32,
        "verifier": "VarVerifier16x90Es",
    }
    key = {"circuit": "var_16_90_es", "key": "0x" + VERIFYING_KEY.hex(), "insecure": True}
    return plan_for(
        out,
        log={"origin": ORIGIN, "public_key": "0x" + LOG_KEY.hex()},
        universe={"instruments": TICKERS, "window": 90},
        verifiers={"VarVerifier16x90Es": key},
        var_policies=[policy],
        **more,
    )


def deploy_here(url: str, folder: Path, **more: Any) -> Platform:
    """Deploy the full plan to a node without starting Ape."""
    plan = folder.with_name("plan.json")
    plan.write_text(json.dumps(full_plan(folder, **more)))
    deploy_with(ANVIL_KEY, url, plan)
    return Platform(Web3(HTTPProvider(url)), folder, plan, url)
