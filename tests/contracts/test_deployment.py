"""The platform as Ape deploys it on a real node: from KYC to orders, refusals, votes and anchors."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD
from web3.types import RPCEndpoint, TxReceipt

from backend.kernel.merkle import consistency_proof, leaf_hash, root
from backend.settings import child_environment
from scripts.deploy._plan import ANVIL_ACCOUNTS

ROOT = Path(__file__).resolve().parents[2]
APE = ROOT / "contracts" / ".venv" / "bin" / "ape"
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
PATIENCE_SECONDS = 30
FIRST_DAY = 1_451_606_400
ROLES = ("operator", "anchorer", "publisher", "countersigner", "issuer", "attester", "guardian", "relay")
PEOPLE = {name: Account.from_key(sha256(name.encode()).digest()) for name in (*ROLES, "trader", "stranger", "voter")}
KYC = keccak(text="common.kyc")
CCID = keccak(text="a person")
MODEL = sha256(b"a model").digest()
TICKERS = tuple(f"INST{number:02d}" for number in range(16))
ORIGIN, LOG_KEY = "refi.trading/test", bytes(range(32))
NONE = (0, bytes(32), bytes(32))
PAYLOAD = "(bytes4,address,bytes,bytes)"
REJECTED = "0x" + keccak(text=f"PolicyRunRejected(address,string,{PAYLOAD})")[:4].hex()
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

    def know(self, expires_at: int = 0) -> None:
        """Let the issuer give the trader an identity with a credential."""
        trader = PEOPLE["trader"].address
        self.send("issuer", self.contract("IdentityRegistry").functions.registerIdentity(CCID, trader, b""))
        registry = self.contract("CredentialRegistry")
        self.send("issuer", registry.functions.registerCredential(CCID, KYC, expires_at, sha256(b"").digest(), b""))


def ape(script: str, url: str, plan: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a deployment script in Ape's environment."""
    environment = child_environment(deploy_plan=plan) | {
        "APE_FOUNDRY_HOST": url,
        "APE_DATA_FOLDER": str(ROOT / ".refi" / "ape"),
        **more,
    }
    command = [str(APE), "run", "deploy", script, "--network", "ethereum:local:foundry"]
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


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("chain") / "deployments"
    policy = {
        "policy_id": "0x" + keccak(text="policy").hex(),
        "limit": str(10**20),
        "es_limit": str(2 * 10**20),
        "circuit_hash": "0x" + "11" * 32,
        "verifier": "VarVerifier16x90Es",
    }
    plan = folder.with_name("plan.json")
    plan.write_text(
        json.dumps(
            plan_for(
                folder,
                log={"origin": ORIGIN, "public_key": "0x" + LOG_KEY.hex()},
                universe={"instruments": TICKERS, "window": 90},
                verifiers={
                    "VarVerifier16x90Es": {
                        "circuit": "var_16_90_es",
                        "key": "0x" + VERIFYING_KEY.hex(),
                        "insecure": True,
                    }
                },
                var_policies=[policy],
            )
        )
    )
    with node(42069) as url:
        done = ape("platform", url, plan)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Platform(Web3(HTTPProvider(url)), folder, plan, url)


@pytest.fixture
def platform(deployed: Platform) -> Iterator[Platform]:
    """Undo whatever a test did."""
    snapshot = deployed.ask("evm_snapshot")
    yield deployed
    deployed.ask("evm_revert", snapshot)


def test_a_deployment_names_every_contract_and_how_it_was_made(deployed: Platform) -> None:
    records = {path.stem: json.loads(path.read_text()) for path in deployed.folder.glob("*.json")}
    assert set(records) == {
        *("PolicyEngine", "OrderGate", "OrderExtractor", "IdentityRegistry", "CredentialRegistry"),
        *("CredentialValidatorPolicy", "VolumePolicy", "PausePolicy", "ApprovedModelPolicy"),
        *("AuthorizedSenderPolicy", "IssuerSenderPolicy", "RefiToken", "RefiTimelock", "RefiGovernor"),
        *("ModelRegistry", "ReturnsOracle", "AuditAnchor", "VarVerifier16x90Es", "VarAttestor"),
    }
    for record in records.values():
        assert record["chain_id"] == 42069
        receipt = deployed.web3.eth.get_transaction_receipt(record["tx_hash"])
        assert (receipt["contractAddress"] or "").lower() == record["address"]
        assert receipt["blockNumber"] == record["block_number"]
        assert len(record["bytecode_sha256"]) == 64


def test_a_deployment_is_read_back_as_planned_until_somebody_changes_it(platform: Platform) -> None:
    assert "code and roles as planned" in ape("verify", platform.url, platform.plan).stdout

    platform.ask("anvil_setCode", platform.contract("VolumePolicy").address, "0x00")
    platform.send("guardian", platform.contract("PausePolicy").functions.setPausedState(True))

    spoilt = ape("verify", platform.url, platform.plan)
    assert spoilt.returncode != 0
    assert "VolumePolicy: the code at" in spoilt.stderr + spoilt.stdout
    assert "PausePolicy.paused" in spoilt.stderr + spoilt.stdout


def test_a_policy_with_other_limits_than_planned_is_found_out(platform: Platform) -> None:
    other = platform.plan.with_name("other.json")
    other.write_text(platform.plan.read_text().replace(f'"limit": "{10**20}"', f'"limit": "{10**20 + 1}"'))
    spoilt = ape("verify", platform.url, other)
    assert spoilt.returncode != 0
    assert "VarAttestor.policyOf" in spoilt.stderr + spoilt.stdout


def test_contracts_wired_to_others_are_found_out_though_their_code_is_right(platform: Platform) -> None:
    attestor = json.loads((platform.folder / "VarAttestor.json").read_text())
    creation = json.loads((ROOT / ".refi" / "forge" / "out" / "VarAttestor.sol" / "VarAttestor.json").read_text())
    factory = platform.web3.eth.contract(abi=attestor["abi"], bytecode=creation["bytecode"]["object"])
    owner, stranger = platform.web3.eth.accounts[0], PEOPLE["stranger"].address
    sent = factory.constructor(owner, stranger, platform.contract("AuditAnchor").address).transact({"from": owner})
    other = platform.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    assert other is not None
    platform.ask("anvil_setCode", attestor["address"], platform.web3.eth.get_code(other).to_0x_hex())

    spoilt = ape("verify", platform.url, platform.plan)

    assert spoilt.returncode != 0
    assert "VarAttestor.ORACLE" in spoilt.stderr + spoilt.stdout
    assert "VarAttestor: the code" not in spoilt.stderr + spoilt.stdout


def test_a_failed_deployment_leaves_the_one_before_in_place(platform: Platform) -> None:
    before = sorted(path.name for path in platform.folder.iterdir())
    broken = platform.plan.with_name("broken.json")
    broken.write_text(platform.plan.read_text().replace('"verifier": "VarVerifier16x90Es"', '"verifier": "Unknown"'))

    failed = ape("platform", platform.url, broken)

    assert failed.returncode != 0
    assert "the verifier Unknown" in failed.stderr + failed.stdout
    assert sorted(path.name for path in platform.folder.iterdir()) == before


def test_off_a_local_chain_the_timelock_owns_everything_and_public_keys_are_refused(tmp_path: Path) -> None:
    out, plan = tmp_path / "deployments", tmp_path / "plan.json"
    deployer = PEOPLE["operator"]
    keyfile = tmp_path / "ape" / "accounts" / "deployer.json"
    keyfile.parent.mkdir(parents=True)
    keyfile.write_text(json.dumps(Account.encrypt(deployer.key, "passphrase", kdf="pbkdf2", iterations=2)))
    settings = {"APE_DATA_FOLDER": str(tmp_path / "ape"), "APE_ACCOUNTS_deployer_PASSPHRASE": "passphrase"}
    with node(10) as url:
        web3 = Web3(HTTPProvider(url))
        plan.write_text(json.dumps(plan_for(out, deployer="deployer") | {"voters": [min(ANVIL_ACCOUNTS)]}))
        refused = ape("platform", url, plan, **settings)
        assert refused.returncode != 0
        assert "whose keys are public are refused on chain 10" in refused.stderr
        assert web3.eth.block_number == 0

        plan.write_text(json.dumps(plan_for(out, deployer="deployer")))
        web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [deployer.address, hex(10**20)])
        done = ape("platform", url, plan, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        platform = Platform(web3, out, plan, url)
        timelock = platform.contract("RefiTimelock").address
        for name in ("OrderGate", "AuditAnchor", "ReturnsOracle", "VarAttestor", "VolumePolicy", "ModelRegistry"):
            assert platform.contract(name).functions.owner().call() == timelock
        engine = platform.contract("PolicyEngine").functions
        for holder, holds in ((timelock, True), (deployer.address, False)):
            assert engine.hasRole(engine.ADMIN_ROLE().call(), holder).call() is holds


def test_orders_pass_after_kyc_and_are_refused_with_their_reasons(platform: Platform) -> None:
    assert refusal(partial(platform.check, 10**6)) == "account identity validation failed"
    now = platform.web3.eth.get_block("latest")["timestamp"]
    platform.know(expires_at=now + 86_400)

    platform.check(10**6)
    receipt = platform.submit(10**6)
    (event,) = platform.contract("OrderGate").events.OrderSubmitted().process_receipt(receipt, errors=DISCARD)
    assert event["args"]["account"] == PEOPLE["trader"].address

    for attempt in (platform.check, platform.submit):
        assert refusal(partial(attempt, 50_000 * 10**6 + 1)) == "amount outside allowed volume limits"
        assert refusal(partial(attempt, 10**6, MODEL)) == "model is not in production"
        assert refusal(partial(attempt, 10**6, sender="operator")) == "sender is not authorized"
    platform.advance(86_401)
    assert refusal(partial(platform.check, 10**6)) == "account identity validation failed"


def test_the_guardian_stops_orders_and_lets_them_go_on(platform: Platform) -> None:
    platform.know()
    pause = platform.contract("PausePolicy").functions
    platform.send("guardian", pause.setPausedState(True))
    assert refusal(partial(platform.check, 10**6)) == "contract is paused"
    platform.send("guardian", pause.setPausedState(False))
    platform.check(10**6)


def test_only_the_issuer_writes_identities_and_credentials(platform: Platform) -> None:
    trader = PEOPLE["trader"].address
    identity = platform.contract("IdentityRegistry").functions.registerIdentity(CCID, trader, b"")
    credential = platform.contract("CredentialRegistry").functions.registerCredential(CCID, KYC, 0, b"", b"")
    for call in (identity, credential):
        assert refusal(partial(platform.send, "operator", call)) == "sender is not authorized"
        platform.send("issuer", call)


def test_a_vote_puts_a_model_into_production(platform: Platform) -> None:
    models, governor = platform.contract("ModelRegistry"), platform.contract("RefiGovernor").functions
    platform.know()
    platform.send("operator", models.functions.propose(MODEL, "cid", bytes(32), "cid"))
    calls = [models.functions[name](MODEL)._encode_transaction_data() for name in ("approve", "promote")]
    proposal = ([models.address] * 2, [0, 0], calls)
    why = "Promote a model"
    platform.advance(1)
    platform.send("voter", governor.propose(*proposal, why))
    identity = governor.getProposalId(*proposal, keccak(text=why)).call()
    platform.advance(3_601)
    platform.send("voter", governor.castVote(identity, 1))
    platform.advance(3 * 86_400)
    platform.send("operator", governor.queue(*proposal, keccak(text=why)))
    assert refusal(partial(platform.check, 10**6, MODEL)) == "model is not in production"
    platform.advance(86_400)
    platform.send("operator", governor.execute(*proposal, keccak(text=why)))
    platform.check(10**6, MODEL)
    platform.send("guardian", models.functions.revoke(MODEL))
    assert refusal(partial(platform.check, 10**6, MODEL)) == "model is not in production"


def test_a_growing_tree_is_anchored_and_a_forked_one_is_not(platform: Platform) -> None:
    anchor = platform.contract("AuditAnchor")
    encoded = encode(["string", "bytes32", "uint256", "address"], [ORIGIN, LOG_KEY, 42069, anchor.address])
    log_id = keccak(encoded)
    leaves = [leaf_hash(number.to_bytes(4, "big")) for number in range(5_000)]
    previous = NONE
    for size in (1, 2, 7, 64, 777, 4_321, 5_000):
        head = (size, root(leaves[:size]), sha256(size.to_bytes(8, "big")).digest())
        proof = consistency_proof(leaves[:size], previous[0]) if previous[0] else []
        receipt = platform.send("anchorer", anchor.functions.anchor(log_id, previous, head, proof))
        assert previous is NONE or receipt["gasUsed"] < 90_000
        previous = head
    count = anchor.functions.anchorCount(log_id).call()
    word = encode(["bytes32", "uint256", "uint64", "bytes32", "bytes32"], [log_id, count - 1, *previous])
    assert anchor.functions.anchorAt(log_id, count - 1).call() == keccak(word)

    forked = [*leaves[:4_000], *[leaf_hash(b"fork")] * 2_000]
    fork = (6_000, root(forked), bytes(32))
    with pytest.raises(ContractCustomError) as refused:
        platform.send("anchorer", anchor.functions.anchor(log_id, previous, fork, consistency_proof(forked, 5_000)))
    assert str(refused.value.data).startswith("0x" + keccak(text="Inconsistent(uint64,uint64)")[:4].hex())
    with pytest.raises(ContractCustomError) as refused:
        platform.send("operator", anchor.functions.anchor(log_id, previous, fork, []))
    assert str(refused.value.data).startswith("0x" + keccak(text="NotAnchorer(bytes32,address)")[:4].hex())
