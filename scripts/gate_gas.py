"""Measure what the gates cost on chain: `python -m scripts.gate_gas [--json]`, on a fresh local node.

Whole transactions of the real contracts: 21,000 and calldata are in them. Orders name a model in production, so that
every policy has to look.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.types import TxReceipt

from backend.kernel.errors import Unavailable
from scripts.gas import Row, table
from scripts.local_node import ask, deploy, node, send
from scripts.var_gas import EPOCH, POLICY_ID, attestations

CHAIN_ID = 42069
DAY = 86_400
START = (EPOCH + 1) * DAY
# Chainlink ACE 1.0.0's engine, identity and volume policies before the same function, measured on this kind of chain
ACE_PROTECTED_CALL, UNPROTECTED_CALL = 174_651, 24_221
PROTECTED_CALL_BOUND = 175_000
PLAIN, RATED = "order, identity and volume policies", "order, identity and sliding window"
KYC, CCID, MODEL = keccak(text="common.kyc"), keccak(text="a person"), keccak(text="a model")
SUBMIT, SETTLE, IDENTITY, CREDENTIAL = (
    keccak(text=signature)[:4]
    for signature in (
        "submitOrder(address,bytes32,uint256,bytes32)",
        "settleVolumes((address,uint256)[])",
        "registerIdentity(bytes32,address,bytes)",
        "registerCredential(bytes32,bytes32,uint40,bytes,bytes)",
    )
)
TICKER = b"AAPL".ljust(32, b"\0")
TAG = keccak(text="refi.trading/order-context/1")
NOTIONAL = 90 * 10**6
TIERS = ((0, 100 * 10**6, False), (3, 500 * 10**6, False), (7, 5_000 * 10**6, False), (14, 50_000 * 10**6, True))
NO_ADDRESS = Web3.to_checksum_address(bytes(20))
CALLS_TIMED = 5


@dataclass(frozen=True, slots=True)
class Platform:
    """An engine, what its policies ask, and one person with a wallet."""

    web3: Web3
    engine: Contract
    policies: dict[str, tuple[Contract, tuple[str, ...]]]
    wallet: str

    def gate(self, *names: str) -> Contract:
        """Deploy a gate whose orders pass these policies, and whose settlements the sliding window."""
        made = deploy(self.web3, "OrderGate", self.web3.eth.accounts[0], self.engine.address)
        send(self.web3, self.engine.functions.setTargetDefaultPolicyAllow(made.address, True))
        for name in names:
            self.add(made, name)
        return made

    def add(self, gate: Contract, name: str) -> None:
        """Append a policy to the orders' chain."""
        policy, parameters = self.policies[name]
        self._add(gate, SUBMIT, policy, parameters)

    def settles(self, gate: Contract, names: Sequence[str]) -> None:
        """Put the policies of settlements before a gate."""
        for name in names:
            policy, parameters = self.policies[name]
            self._add(gate, SETTLE, policy, ("settlements",) if parameters else ())

    def renew(self, name: str) -> None:
        """Put a fresh sliding window in place: one serves one gate."""
        owner = self.web3.eth.accounts[0]
        made = deploy(self.web3, "SlidingVolumePolicy", self.engine.address, owner, 10**15, DAY)
        self.policies[name] = made, self.policies[name][1]

    def order(self, gate: Contract, seconds: int = 1) -> TxReceipt:
        """Submit an order, some seconds after the one before."""
        wait(self.web3, seconds)
        return send(self.web3, gate.functions.submitOrder(self.wallet, TICKER, NOTIONAL, MODEL))

    def _add(self, gate: Contract, selector: bytes, policy: Contract, parameters: Sequence[str]) -> None:
        names = [keccak(text=name) for name in parameters]
        send(self.web3, self.engine.functions.addPolicy(gate.address, selector, policy.address, names))


def wait(web3: Web3, seconds: int) -> None:
    """Let some seconds pass in an empty block: gas is estimated at the latest block's time."""
    ask(web3, "evm_setNextBlockTimestamp", web3.eth.get_block("latest")["timestamp"] + seconds)
    ask(web3, "evm_mine")


def platform(web3: Web3) -> Platform:
    """Deploy everything; the person is known, the account opened, its risk attested, the model in production."""
    owner = web3.eth.accounts[0]
    wallet = Web3.to_checksum_address(keccak(text="a wallet")[:20])
    engine = deploy(web3, "PolicyEngine", owner)
    extractor = deploy(web3, "OrderExtractor")
    send(web3, engine.functions.setExtractors([SUBMIT, SETTLE], extractor.address))
    policies = _policies(web3, engine, wallet)
    return Platform(web3, engine, policies, wallet)


def _policies(web3: Web3, engine: Contract, wallet: str) -> dict[str, tuple[Contract, tuple[str, ...]]]:
    owner = web3.eth.accounts[0]
    identities, credentials = _registries(web3, engine, wallet)
    sources = [(KYC, identities.address, credentials.address, NO_ADDRESS)]
    caps = deploy(web3, "ProgressiveCapPolicy", engine.address, owner, owner, owner, TIERS)
    send(web3, caps.functions.open(wallet))
    at = attestations(web3, 16, 90)
    market, _ = at.published(EPOCH)
    at.attest(market, bytes.fromhex(wallet[2:]))
    sliding = deploy(web3, "SlidingVolumePolicy", engine.address, owner, 10**15, DAY)
    var = (at.attestor.address, POLICY_ID, sliding.address, 1000 * DAY)
    requirements = [(KYC, [KYC], 1, False)]
    registry = _models(web3)
    made: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
        "PausePolicy": ((False,), ()),
        "AuthorizedSenderPolicy": (([owner],), ()),
        "SanctionsPolicy": ((owner,), ("account",)),
        "CredentialValidatorPolicy": ((sources, requirements), ("account",)),
        "VolumePolicy": ((1, 50_000 * 10**6), ("notional",)),
        "ApprovedModelPolicy": ((registry.address,), ("modelHash",)),
        "VarAttestationPolicy": (var, ("account",)),
    }
    both = ("account", "notional")
    deployed = {
        name: (deploy(web3, name, engine.address, owner, *arguments), parameters)
        for name, (arguments, parameters) in made.items()
    }
    return deployed | {"SlidingVolumePolicy": (sliding, both), "ProgressiveCapPolicy": (caps, both)}


def _registries(web3: Web3, engine: Contract, wallet: str) -> tuple[Contract, Contract]:
    owner = web3.eth.accounts[0]
    issuers = deploy(web3, "AuthorizedSenderPolicy", engine.address, owner, [owner])
    made = []
    for name, selector in (("IdentityRegistry", IDENTITY), ("CredentialRegistry", CREDENTIAL)):
        registry = deploy(web3, name, owner, engine.address)
        send(web3, engine.functions.addPolicy(registry.address, selector, issuers.address, []))
        send(web3, engine.functions.setTargetDefaultPolicyAllow(registry.address, True))
        made.append(registry)
    identities, credentials = made
    send(web3, identities.functions.registerIdentity(CCID, wallet, b""))
    expires = web3.eth.get_block("latest")["timestamp"] + 365 * DAY
    send(web3, credentials.functions.registerCredential(CCID, KYC, expires, b"", b""))
    return identities, credentials


def _models(web3: Web3) -> Contract:
    owner = web3.eth.accounts[0]
    registry = deploy(web3, "ModelRegistry", owner, owner, [owner])
    send(web3, registry.functions.propose(MODEL, "", bytes(32), ""))
    send(web3, registry.functions.approve(MODEL))
    send(web3, registry.functions.promote(MODEL))
    return registry


# The order chain as it is deployed; VarAttestationPolicy takes VolumePolicy's place where attestations are demanded.
CHAIN = (
    "PausePolicy",
    "AuthorizedSenderPolicy",
    "SanctionsPolicy",
    "CredentialValidatorPolicy",
    "VolumePolicy",
    "SlidingVolumePolicy",
    "ProgressiveCapPolicy",
    "ApprovedModelPolicy",
)


def orders(at: Platform) -> Iterator[Row]:
    """Measure protected calls: the one that ACE was measured with, and what each policy adds to a chain."""
    gate = at.gate("CredentialValidatorPolicy", "VolumePolicy")
    ace = f"ACE 1.0.0's own: {ACE_PROTECTED_CALL:,}; unprotected: {UNPROTECTED_CALL:,}"
    yield _row(at, PLAIN, at.order(gate), ace)
    gate = at.gate("CredentialValidatorPolicy", "SlidingVolumePolicy")
    at.order(gate)
    yield _row(at, RATED, at.order(gate), "the window is a rate, which VolumePolicy is not")
    at.renew("SlidingVolumePolicy")
    gate = at.gate(CHAIN[0])
    before = 0
    for name in CHAIN:
        if name != CHAIN[0]:
            at.add(gate, name)
        if name == "SlidingVolumePolicy":
            at.order(gate)
        receipt = at.order(gate)
        detail = f"{receipt['gasUsed'] - before:+,}" if before else "engine and one policy"
        yield _row(at, f"order, then {name}", receipt, detail)
        before = receipt["gasUsed"]


def proved_risk(at: Platform) -> Iterator[Row]:
    """Measure the chain that demands attestations."""
    at.renew("SlidingVolumePolicy")
    gate = at.gate(*(name if name != "VolumePolicy" else "VarAttestationPolicy" for name in CHAIN))
    yield _row(
        at, "order, an account's first, risk attested", at.order(gate), "8 policies, VarAttestationPolicy among them"
    )
    yield _row(at, "order, the next, risk attested", at.order(gate), "within the same window")
    yield _row(at, "order, the next, risk attested", at.order(gate, DAY), "the window before has passed")


def settlements(at: Platform) -> Iterator[Row]:
    """Measure settling the volumes of accounts, the first time and the next."""
    for count in (1, 10, 100):
        at.renew("SlidingVolumePolicy")
        gate = at.gate(*CHAIN)
        at.settles(gate, ("AuthorizedSenderPolicy", "SlidingVolumePolicy"))
        accounts = sorted(Web3.to_checksum_address(keccak(b"%d" % number)[:20]) for number in range(count))
        accounts.sort(key=lambda account: int(account, 16))
        for what, cumulative in (("the first", NOTIONAL), ("the next", 2 * NOTIONAL)):
            wait(at.web3, 60)
            receipt = send(at.web3, gate.functions.settleVolumes([(account, cumulative) for account in accounts]))
            each = f"{receipt['gasUsed'] // count:,} an account"
            yield _row(at, f"settle {count} accounts, {what}", receipt, each)


def checks(at: Platform) -> Iterator[Row]:
    """Measure asking about orders in one call: its gas as a transaction, and the fastest of some eth_calls."""
    at.renew("SlidingVolumePolicy")
    gate = at.gate(*CHAIN)
    context = encode(["bytes32", "uint256", "bool"], [TAG, NOTIONAL, False])
    for count in (1, 100):
        asked = [(at.wallet, TICKER, NOTIONAL, MODEL, context)] * count
        call = gate.functions.checkOrders(at.web3.eth.accounts[0], asked)
        times = []
        for _ in range(CALLS_TIMED):
            start = perf_counter()
            answers = call.call()
            times.append(perf_counter() - start)
        passed = sum(not answer for answer in answers)
        detail = f"eth_call: {min(times) * 1000:.1f} ms, {passed} of {count} pass"
        yield _row(at, f"check {count} orders", send(at.web3, call), detail)


def _row(at: Platform, what: str, receipt: TxReceipt, detail: str) -> Row:
    if receipt["status"] != 1:
        raise Unavailable(f"{what}: the transaction failed")
    sent = at.web3.eth.get_transaction(receipt["transactionHash"])
    return Row(what, receipt["gasUsed"], len(bytes(sent["input"])), detail)


def measured() -> list[Row]:
    """Return every row, measured now."""
    with node(CHAIN_ID, "--network", "optimism", "--timestamp", str(START)) as web3:
        at = platform(web3)
        return [*orders(at), *proved_risk(at), *settlements(at), *checks(at)]


def over_bound(rows: list[Row]) -> list[str]:
    """Return what costs more than it may."""
    return [row.what for row in rows if row.what in {PLAIN, RATED} and row.gas > PROTECTED_CALL_BOUND]


def main() -> int:
    """Print the table; exit 1 when a protected call costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    rows = measured()
    over = over_bound(rows)
    if arguments.json:
        figures = {"protected_call_bound": PROTECTED_CALL_BOUND, "ace_protected_call": ACE_PROTECTED_CALL}
        print(json.dumps({"ok": not over, **figures, "rows": [asdict(row) for row in rows]}))
    else:
        print(table(rows))
        allowed = f"a call with identity and volume policies may cost {PROTECTED_CALL_BOUND:,}"
        print(f"{allowed}: {'ok' if not over else 'FAILED'}")
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
