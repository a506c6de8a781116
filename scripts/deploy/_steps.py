"""Deploy and call step by step: each step once, whatever happened to the runs before."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import TxParams, TxReceipt

from ._artifacts import Artifact, json_sha256, sha256
from ._journal import STEPS, Attempt, Journal
from ._plan import PlanRefused

PATIENCE_SECONDS = 180
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.005, 2.0
PRICE_SECONDS = 10.0  # on an OP-stack chain a base fee doubles in 70 s at the fastest
GAS_MARGIN_PERCENT = 125
FEE_STEP_PERCENT = 125  # nodes replace a transaction for 10 % more at least
SHOWN_CHARACTERS = 60


class Sender(Protocol):
    """Who pays."""

    @property
    def address(self) -> str:
        """The account."""
        ...

    def sign(self, transaction: TxParams) -> bytes:
        """Return a signed transaction as it goes over the wire."""
        ...


@dataclass(slots=True)
class Deployment:
    """The contracts deployed so far, by the name they are known under; without a sender it only reads."""

    web3: Web3
    chain_id: int
    journal: Journal
    sender: Sender | None = None
    contracts: dict[str, Contract] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    mined: dict[int, str] = field(default_factory=dict)
    last_block: int = 0
    sent: int = 0
    _nonce: int = -1
    _price: tuple[int, int] = (0, 0)
    _priced_at: float = -math.inf

    @property
    def deployer(self) -> str:
        """The account that deploys."""
        return self.journal.deployer

    def deploy(self, contract: str, *arguments: Any, name: str = "") -> str:
        """Deploy a contract under its own name or another one; return its address."""
        name, artifact = name or contract, Artifact.load(contract)
        factory = self.web3.eth.contract(abi=artifact.abi, bytecode=artifact.creation)
        data = bytes.fromhex(factory.constructor(*arguments).data_in_transaction.removeprefix("0x"))
        what = f"deploy {name}({_shown(arguments)}), creation code {artifact.creation_sha256[:8]}"
        receipt = self._step(what, "", data)
        address = str(receipt["contractAddress"])
        self.contracts[name] = self.web3.eth.contract(to_checksum_address(address), abi=artifact.abi)
        self.records[name] = {
            "address": address.lower(),
            "chain_id": self.chain_id,
            "block_number": receipt["blockNumber"],
            "tx_hash": Web3.to_hex(receipt["transactionHash"]),
            "constructor_args": plain(arguments),
            "runtime_sha256": sha256(self.code(name)),
        } | artifact.facts()
        return self.address(name)

    def send(self, name: str, function: str, *arguments: Any) -> None:
        """Call a contract's function in a transaction of the deployer."""
        data = bytes.fromhex(self.contracts[name].encode_abi(function, args=arguments).removeprefix("0x"))
        self._step(f"{name}.{function}({_shown(arguments)})", self.address(name), data)

    def address(self, name: str) -> str:
        """Return a deployed contract's address."""
        return str(self.contracts[name].address)

    def code(self, name: str) -> bytes:
        """Return a deployed contract's code as the chain holds it now."""
        return bytes(self.web3.eth.get_code(self.contracts[name].address))

    def knows_any(self) -> bool:
        """Tell whether the chain has a single transaction of the journal."""
        return any(receipt for attempts in self.journal.steps.values() for receipt in self._receipts(attempts))

    def _step(self, what: str, to: str, data: bytes) -> TxReceipt:
        number, key = len(self.mined), sha256(f"{what}|{to.lower()}|".encode() + data)
        attempts = self.journal.steps.get(number, [])
        if attempts and attempts[0].key != key:
            before = attempts[0].what if attempts[0].what != what else "the same with other arguments"
            raise PlanRefused(f"step {number} was {before}; now it would be {what}")
        receipt = next((found for found in self._receipts(attempts) if found["status"]), None)
        if receipt is None:
            receipt = self._carry_out(number, what, key, {"data": data} | ({"to": to} if to else {}))
        self.mined[number], self.last_block = Web3.to_hex(receipt["transactionHash"]), receipt["blockNumber"]
        return receipt

    def _carry_out(self, number: int, what: str, key: str, call: Mapping[str, Any]) -> TxReceipt:
        if self.sender is None or self.journal.is_finished:
            raise PlanRefused(f"chain {self.chain_id} does not know step {number}: {what}")
        sender, before = self.sender, self.journal.steps.get(number, [])
        nonce, fees = self._nonce_for(before), self._fees(before)
        if before and nonce != before[-1].nonce:
            # Its nonce was used since the chain was asked about it: by somebody else, or by the step itself
            late = next((found for found in self._receipts(before) if found["status"]), None)
            if late is not None:
                return late
        origin = to_checksum_address(sender.address)
        try:
            gas = self.web3.eth.estimate_gas({"from": origin, **call})  # type: ignore[typeddict-item]
        except Web3Exception as error:
            raise PlanRefused(f"step {number}, {what}, would fail: {error}") from error
        gas = gas * GAS_MARGIN_PERCENT // 100
        transaction = {"chainId": self.chain_id, "nonce": nonce, "gas": gas, "value": 0, **fees, **call}
        raw = sender.sign(transaction)  # type: ignore[arg-type]
        fee, tip = fees["maxFeePerGas"], fees["maxPriorityFeePerGas"]
        # Written before it is sent: whoever goes on after a crash asks the chain for this hash
        self.journal.write(Attempt(number, what, key, nonce, fee, tip, Web3.to_hex(keccak(raw))))
        try:
            self.web3.eth.send_raw_transaction(raw)
        except Web3RPCError as error:
            # One of the attempts before may have been mined in the meantime
            if not any(self._receipts(before)):
                raise PlanRefused(f"step {number}, {what}, was not taken: {error}") from error
        receipt = self._await(number, what)
        self._nonce, self.sent = nonce + 1, self.sent + 1
        return receipt

    def _nonce_for(self, before: Sequence[Attempt]) -> int:
        if before:
            # Still free: nothing with this nonce was mined, so the same nonce again keeps the step from happening twice
            last = before[-1].nonce
            if last >= self.web3.eth.get_transaction_count(to_checksum_address(self.deployer)):
                return last
        elif self._nonce >= 0:
            return self._nonce
        return self.web3.eth.get_transaction_count(to_checksum_address(self.deployer), "pending")

    def _fees(self, before: Sequence[Attempt]) -> dict[str, int]:
        if monotonic() > self._priced_at + PRICE_SECONDS:
            base, top = self.web3.eth.get_block("latest").get("baseFeePerGas", 0), self.web3.eth.max_priority_fee
            self._price, self._priced_at = (2 * int(base) + int(top), int(top)), monotonic()
        fee, tip = self._price
        if before:
            fee = max(fee, before[-1].max_fee * FEE_STEP_PERCENT // 100 + 1)
            tip = max(tip, before[-1].tip * FEE_STEP_PERCENT // 100 + 1)
        return {"maxFeePerGas": max(fee, tip), "maxPriorityFeePerGas": tip}

    def _await(self, number: int, what: str) -> TxReceipt:
        attempts = self.journal.steps[number]
        deadline, pause = monotonic() + PATIENCE_SECONDS, FIRST_POLL_SECONDS
        while True:
            for receipt in self._receipts(attempts):
                if receipt["status"]:
                    return receipt
                if Web3.to_hex(receipt["transactionHash"]) == attempts[-1].tx_hash:
                    raise PlanRefused(f"step {number}, {what}, was mined and failed: {attempts[-1].tx_hash}")
            if monotonic() > deadline:
                raise PlanRefused(f"step {number}, {what}, was not mined within {PATIENCE_SECONDS} s: run again")
            sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_SECONDS)

    def _receipts(self, attempts: Sequence[Attempt]) -> Iterator[TxReceipt]:
        for attempt in reversed(attempts):
            try:
                yield self.web3.eth.get_transaction_receipt(attempt.tx_hash)  # type: ignore[arg-type]
            except TransactionNotFound:
                continue

    def write(self, out: Path) -> None:
        """Write one file a contract; the folder is replaced as a whole, so that a reader never meets half of it."""
        fresh, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, record in self.records.items():
            (fresh / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        (fresh / STEPS).write_text(self.journal.summary(self.mined), "utf-8")
        if out.exists():
            out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def plain(value: Any) -> Any:
    """Return constructor arguments as JSON holds them: bytes as 0x-hex, integers beyond 2^53 as strings."""
    match value:
        case bytes():
            return "0x" + value.hex()
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bool() | str():
            return value
        case int():
            return value if abs(value) < 2**53 else str(value)
    return str(value)


def _shown(arguments: Sequence[Any]) -> str:
    texts = [json.dumps(plain(argument)).replace('"', "") for argument in arguments]
    return ", ".join(
        text if len(text) <= SHOWN_CHARACTERS else f"{text[:18]}... ({json_sha256(text)[:8]})" for text in texts
    )
