"""The DAO with its order rule on a real node, and wallets that sign what the platform writes for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3

from backend.governance.types import Unsigned
from backend.ports.signer import KeyRole
from tests.fakes import FakeSigner
from tests.ports.conftest import SUBMIT_ORDER, LocalChain

TIMELOCK_DELAY = timedelta(days=1)
VOTING_DELAY, VOTING_PERIOD = timedelta(hours=1), timedelta(days=3)
EXTENSION = timedelta(days=1)
ONE = 10**18
SUPPLY, SHARE, THRESHOLD = 1_000_000 * ONE, 50_000 * ONE, 1_000 * ONE
TIERS = [(1_000 * ONE, 1_000), (10_000 * ONE, 2_500)]
NOBODY = "0x" + "00" * 20


@dataclass
class Dao:
    """A deployment with roles as scripts/deploy leaves them: the operator is guardian, the timelock owns the registry.

    `whale` and `second` hold and delegate votes; `stranger` holds none.
    """

    local: LocalChain
    wallets: Mapping[str, Any] = field(
        default_factory=lambda: {
            name: Account.from_key(keccak(text=name)) for name in ("whale", "second", "stranger", "trader")
        }
    )

    def address(self, name: str) -> str:
        """Return a wallet's address, lower-case."""
        return str(self.wallets[name].address).lower()

    def send(self, name: str, unsigned: Unsigned) -> None:
        """Sign with a wallet what the platform wrote, and nothing else, and mine it."""
        web3, key = self.local.web3, self.wallets[name]
        transaction = {
            "to": Web3.to_checksum_address(unsigned.to),
            "data": unsigned.data,
            "value": unsigned.value,
            "chainId": unsigned.chain_id,
            "gas": unsigned.gas + unsigned.gas // 5,
            "gasPrice": 2 * web3.eth.gas_price,
            "nonce": web3.eth.get_transaction_count(key.address),
        }
        sent = web3.eth.send_raw_transaction(key.sign_transaction(transaction).raw_transaction)
        receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.02)
        assert receipt["status"] == 1, f"{name}'s transaction failed"

    def wait(self, time: timedelta) -> None:
        """Let the chain's time pass."""
        self.local.rpc("evm_increaseTime", int(time.total_seconds()) + 1)
        self.local.rpc("evm_mine")


def deployed(node: str, folder: Path, operator: str = "") -> Dao:
    """Deploy token, timelock, governor, registry, and the order gate with the one rule about models."""
    web3 = Web3(HTTPProvider(node, exception_retry_configuration=None))
    local = LocalChain(node, folder, FakeSigner(), web3)
    dao = Dao(local)
    operator = Web3.to_checksum_address(operator or local.signer.address(KeyRole.OPERATOR))
    for funded in (operator, *(wallet.address for wallet in dao.wallets.values())):
        local.rpc("anvil_setBalance", funded, hex(10**20))
    token = local.deploy("RefiToken", local.owner, SUPPLY)
    timelock = local.deploy("RefiTimelock", int(TIMELOCK_DELAY.total_seconds()), [], [NOBODY], local.owner)
    governor = local.deploy("RefiGovernor", token, timelock, THRESHOLD, operator)
    local.transact("RefiTimelock", "grantRole", keccak(text="PROPOSER_ROLE"), governor)
    for canceller in (governor, operator):
        local.transact("RefiTimelock", "grantRole", keccak(text="CANCELLER_ROLE"), canceller)
    local.transact("RefiTimelock", "renounceRole", bytes(32), local.owner)
    registry = local.deploy("ModelRegistry", timelock, operator, [operator])
    engine = local.deploy("PolicyEngine", local.owner)
    gate = local.deploy("OrderGate", local.owner, engine)
    local.transact("PolicyEngine", "setExtractor", SUBMIT_ORDER, local.deploy("OrderExtractor"))
    rule = local.deploy("ApprovedModelPolicy", engine, local.owner, registry)
    local.transact("PolicyEngine", "addPolicy", gate, SUBMIT_ORDER, rule, [keccak(text="modelHash")])
    local.transact("PolicyEngine", "setTargetDefaultPolicyAllow", gate, True)
    local.deploy("Staking", token, timelock, TIERS)
    for name in ("whale", "second"):
        local.transact("RefiToken", "transfer", dao.wallets[name].address, SHARE)
    return dao
