"""Measure what log and attestations cost on chain: `python -m scripts.gas [--json]`, on fresh local nodes.

L2 figures are execution and calldata as the L2 counts them; what a chain charges for its data on L1 comes on top.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.types import TxReceipt

from backend.adapters.chain.l2_proof import l2_proof
from backend.cli.local import ROOT
from backend.kernel.merkle import consistency_ranges, inclusion_ranges, leaf_hash, node_hash
from scripts.local_node import LOG_KEY, ORIGIN, ask, deploy, node, send
from scripts.var_gas import measured as var_measured
from scripts.var_gas import measured_with_eas, sizes

L2_CHAIN_ID, L1_CHAIN_ID = 42069, 31337
ANCHOR_BOUND = 85_000
ATTEST_BOUNDS = {"attest 16 x 90,": 450_000, "attest 64 x 250,": 2_000_000}
ENTRY = b'{"c":"ESIzRFVmd4iZqrvM3e7_ABEiM0RVZneImaq7zN3u_wA","t":"order.filled","v":1}'
# The relay anchors at 4,096 new leaves at the latest.
BATCH = 4096
ACCOUNTS, L1_ANCHORS = 300, 40

EAS = ROOT / "tests" / "vectors" / "eas" / "EAS.json"
SCHEMA_REGISTRY = Web3.to_checksum_address("0x4200000000000000000000000000000000000020")
EAS_ABI: list[dict[str, Any]] = [
    {"type": "constructor", "inputs": [{"name": "registry", "type": "address"}], "stateMutability": "nonpayable"},
    {
        "type": "function",
        "name": "timestamp",
        "inputs": [{"name": "data", "type": "bytes32"}],
        "outputs": [{"name": "", "type": "uint64"}],
        "stateMutability": "nonpayable",
    },
]

Head = tuple[int, bytes, bytes]
BLANK: Head = (0, bytes(32), bytes(32))


@dataclass(frozen=True, slots=True)
class Row:
    """One measured transaction."""

    what: str
    gas: int
    calldata_bytes: int
    detail: str


@cache
def tree_root(size: int) -> bytes:
    """Return the root over `size` equal leaves: any size at once."""
    if size == 1:
        return leaf_hash(ENTRY)
    split = 1 << (size - 1).bit_length() - 1
    return node_hash(tree_root(split), tree_root(size - split))


def growth(old: int, size: int) -> list[bytes]:
    """Return the consistency proof between two trees of equal leaves."""
    return [tree_root(end - start) for start, end in consistency_ranges(old, size)]


def place(index: int, size: int) -> list[bytes]:
    """Return the inclusion path of a leaf in a tree of equal leaves."""
    return [tree_root(end - start) for start, end in inclusion_ranges(index, size)]


def head_of(size: int) -> Head:
    """Return the head of a log of equal entries."""
    return size, tree_root(size), sha256(b"heads %d" % size).digest()


@dataclass(frozen=True, slots=True)
class Anchors:
    """An AuditAnchor on a node."""

    web3: Web3
    contract: Contract

    def log(self, name: str) -> bytes:
        """Register a log and return its id."""
        send(self.web3, self.contract.functions.registerLog(name, LOG_KEY, [self.web3.eth.accounts[0]]))
        types = ["string", "bytes32", "uint256", "address"]
        return keccak(encode(types, [name, LOG_KEY, L2_CHAIN_ID, self.contract.address]))

    def anchor(self, log_id: bytes, old: int, size: int) -> TxReceipt:
        """Anchor a log of a size, which extends one of the old size."""
        previous = head_of(old) if old else BLANK
        proof = growth(old, size) if old else []
        return send(self.web3, self.contract.functions.anchor(log_id, previous, head_of(size), proof))


def _row(web3: Web3, what: str, receipt: TxReceipt, detail: str) -> Row:
    sent = web3.eth.get_transaction(receipt["transactionHash"])
    return Row(what, receipt["gasUsed"], len(bytes(sent["input"])), detail)


def anchors(web3: Web3) -> Iterator[Row]:
    """Measure anchors: the first, those of growing logs, and the dearest that there is at 2^20 leaves."""
    audit = Anchors(web3, deploy(web3, "AuditAnchor", web3.eth.accounts[0]))
    first = audit.log("first")
    yield _row(web3, "anchor, the first of a log", audit.anchor(first, 0, BATCH), "no proof")
    for what, old, size in (
        ("anchor at 10^3 leaves", 900, 1_000),
        ("anchor at 2^10 leaves, longest proof", 2**9 - 1, 2**10),
        ("anchor at 10^6 leaves", 10**6 - BATCH, 10**6),
        ("anchor at 2^20 leaves, longest proof", 2**19 - 1, 2**20),
    ):
        log_id = audit.log(what)
        audit.anchor(log_id, 0, old)
        receipt = audit.anchor(log_id, old, size)
        yield _row(web3, what, receipt, f"{old:,} to {size:,} leaves, {len(growth(old, size))} hashes")


def inclusion(web3: Web3) -> Iterator[Row]:
    """Measure a contract that lets through whoever shows an entry of an anchored log."""
    audit = Anchors(web3, deploy(web3, "AuditAnchor", web3.eth.accounts[0]))
    gate = deploy(web3, "EntryGate", file="Harnesses")
    log_id, size, index = audit.log("inclusion"), 2**20, 0b1010_1010_1010_1010_1010
    audit.anchor(log_id, 0, size)
    path = place(index, size)
    shown = (0, head_of(size), ENTRY, index, path)
    receipt = send(web3, gate.functions.enter(audit.contract.address, log_id, shown))
    yield _row(web3, "inclusion of an entry, depth 20", receipt, f"{len(ENTRY)} bytes, {len(path)} hashes")


def l1_proof(l2: Web3, l1: Web3) -> Iterator[Row]:
    """Measure the proof of an anchor on L1."""
    for number in range(ACCOUNTS):
        ask(l2, "anvil_setBalance", "0x" + keccak(b"%d" % number)[:20].hex(), hex(number + 1))
    audit = Anchors(l2, deploy(l2, "AuditAnchor", l2.eth.accounts[0]))
    log_id, index = audit.log(ORIGIN), L1_ANCHORS // 2
    for number in range(L1_ANCHORS):
        audit.anchor(log_id, number * BATCH, (number + 1) * BATCH)
    proof = asyncio.run(l2_proof(_url(l2), audit.contract.address, log_id, index, l2.eth.block_number))
    registry = deploy(l1, "StandInRegistry", file="OptimismStandIns")
    game = deploy(l1, "StandInGame", proof["output_root"], file="OptimismStandIns")
    verifier = deploy(l1, "L1AnchorVerifier", registry.address, audit.contract.address, L2_CHAIN_ID)
    send(l1, registry.functions.settle(game.address, True))
    preimage = (bytes(32), *(proof[name] for name in ("state_root", "message_passer_storage_root", "block_hash")))
    nodes = proof["account_proof"], proof["storage_proof"]
    receipt = send(l1, verifier.functions.prove(game.address, preimage, log_id, index, *nodes))
    detail = f"{len(nodes[0])} account and {len(nodes[1])} storage nodes; registry and game are stand-ins"
    yield _row(l1, "L1 proof of an anchor", receipt, detail)


def timestamp(web3: Web3) -> Iterator[Row]:
    """Measure the Ethereum Attestation Service's timestamp of an anchor's word."""
    bytecode = json.loads(EAS.read_text("utf-8"))["bytecode"]
    eas = web3.eth.contract(abi=EAS_ABI, bytecode=bytecode)
    deployed = web3.eth.wait_for_transaction_receipt(eas.constructor(SCHEMA_REGISTRY).transact())["contractAddress"]
    call = web3.eth.contract(address=deployed, abi=EAS_ABI).functions.timestamp(sha256(b"an anchor's word").digest())
    yield _row(web3, "EAS timestamp of an anchor's word", send(web3, call), "sent by the relay where EAS stands")


def attestations(web3: Web3) -> Iterator[Row]:
    """Measure publishing and attesting for every size that has a circuit, and attesting where EAS stands."""
    for instruments, window in sizes():
        for what, receipt, detail in var_measured(web3, instruments, window):
            yield _row(web3, what, receipt, detail)
    for what, receipt, detail in measured_with_eas(web3, 16, 90):
        yield _row(web3, what, receipt, detail)


def over_bound(rows: list[Row]) -> list[str]:
    """Return what costs more than it may."""
    bounds = {"anchor": ANCHOR_BOUND} | ATTEST_BOUNDS
    return [row.what for row in rows if any(row.what.startswith(of) and row.gas > most for of, most in bounds.items())]


def _url(web3: Web3) -> str:
    return str(web3.provider.endpoint_uri)  # type: ignore[attr-defined]


def measured() -> list[Row]:
    """Return every row, measured now."""
    optimism = ("--network", "optimism", "--timestamp", "1451606400")
    with node(L2_CHAIN_ID, *optimism) as l2, node(L1_CHAIN_ID) as l1:
        return [*anchors(l2), *inclusion(l2), *timestamp(l2), *l1_proof(l2, l1), *attestations(l2)]


def table(rows: list[Row]) -> str:
    """Return the rows as lines of text."""
    width = max(len(row.what) for row in rows)
    lines = [f"{'':{width}}  {'gas':>8}  {'calldata':>8}"]
    lines += [f"{row.what:{width}}  {row.gas:>8,}  {row.calldata_bytes:>6,} B  {row.detail}" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Print the table; exit 1 when something costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    rows = measured()
    over = over_bound(rows)
    if parser.parse_args().json:
        bounds = {"anchor_bound": ANCHOR_BOUND, "attest_bounds": ATTEST_BOUNDS}
        answer: dict[str, Any] = bounds | {"ok": not over, "rows": [asdict(row) for row in rows]}
        print(json.dumps(answer))
    else:
        print(table(rows))
        allowed = f"an anchor may cost {ANCHOR_BOUND:,}, an attestation 450,000 (16 x 90) or 2,000,000 (64 x 250)"
        print(f"{allowed}: {'ok' if not over else 'FAILED by ' + ', '.join(over)}")
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
