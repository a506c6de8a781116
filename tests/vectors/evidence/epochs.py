"""Two attested epochs of the made-up account on a node of their own: real contracts, anchors and proofs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eth_utils.crypto import keccak

from backend.kernel.canonical import JsonValue, canonical_json, decimal_string, encode_bytes
from backend.kernel.cid import file_cid
from backend.kernel.merkle import consistency_proof, root
from backend.kernel.poseidon import position_commitment
from backend.proofs.engine.claim import attestation_id, context
from backend.proofs.engine.returns import returns_id
from backend.proofs.types import Binding, Limits, Matrix, Statement
from scripts.chaos.attestor_chain import BLANK_HEAD, AttestorChain, Circuit, attestor_chain
from tests.circuits.example import CIRCUIT, KEYS, TICKERS, honest, matrix, positions, proving_key, shape, tightest
from tests.vectors.evidence.ledger import CLOSED, FIRST_EPOCH, OPENED, ORIGIN, OTHERS, WALLET, Ledger

POLICY_ID = keccak(text="vectors")
HELD = {seq: positions(seq) for seq in CLOSED}
MARKETS = {seq: matrix(seq, FIRST_EPOCH + seq) for seq in CLOSED}
INSTRUMENTS = TICKERS[: shape().instruments]


@dataclass(frozen=True, slots=True)
class AttestedEpoch:
    """The pack of the account's last closed epoch, what its verifier names, its returns file, and the node."""

    pack: dict[str, Any]
    named: dict[str, Any]
    returns: bytes
    url: str


@contextmanager
def attested_epoch() -> Iterator[AttestedEpoch]:
    """Run the node while the pack is examined."""
    meta = json.loads((KEYS / CIRCUIT / "meta.json").read_text())
    circuit_hash = bytes.fromhex(meta["circuit_hash"].removeprefix("0x"))
    with attestor_chain({CIRCUIT: Circuit(shape(), proving_key().packed, circuit_hash)}) as chain:
        ledger = _anchored(chain)
        _publish(chain)
        limits = _limits()
        chain.define(POLICY_ID, chain.policy(CIRCUIT, MARKETS[CLOSED[0]].universe_id, limits))
        content = _returns_file(MARKETS[CLOSED[-1]])
        named = {"contract": ledger.contract, "chain_id": ledger.chain_id, "attestor": "0x" + _address(chain).hex()}
        named["circuit_hash"] = "0x" + circuit_hash.hex()
        pack = ledger.attested(CLOSED[-1], _attested(chain, ledger, limits) | {"returns_cid": file_cid(content)})
        yield AttestedEpoch(pack, named, content, str(getattr(chain.web3.provider, "endpoint_uri", "")))


def _anchored(chain: AttestorChain) -> Ledger:
    """Register the account's log and anchor it after each closed epoch."""
    universe = MARKETS[CLOSED[0]].universe_id
    committed = {seq: position_commitment(held.salt, universe, held.quantities) for seq, held in HELD.items()}
    committed[OPENED] = position_commitment(7, universe, (0,) * len(INSTRUMENTS))
    ledger = Ledger(b"epochs", chain.anchor.address.lower(), committed)
    chain.send(chain.anchor.functions.registerLog(ORIGIN, ledger.key.public_key, [chain.owner]))
    leaves, previous = ledger.leaves(), BLANK_HEAD
    for index, size in enumerate((CLOSED[0] * (1 + OTHERS), ledger.anchored)):
        head = (size, root(leaves[:size]), ledger.heads_root() if size == ledger.anchored else keccak(b"heads"))
        proof = consistency_proof(leaves[:size], previous[0]) if index else []
        receipt = chain.send(chain.anchor.functions.anchor(ledger.log_id, previous, head, proof))
        previous = head
    ledger.anchor_index, ledger.block_number = 1, receipt["blockNumber"]
    ledger.tx_hash = "0x" + bytes(receipt["transactionHash"]).hex()
    chain.send(chain.attestor.functions.setAttester(ledger.log_id, chain.attester, True))
    return ledger


def _publish(chain: AttestorChain) -> None:
    """Publish both epochs' returns, the later one's countersigned."""
    chain.register(INSTRUMENTS, MARKETS[CLOSED[0]].universe_id, shape().window)
    for market in MARKETS.values():
        chain.publish(market)
    chain.send(chain.oracle.functions.setPublisher(chain.stranger, True))
    last = MARKETS[CLOSED[-1]]
    chain.send(chain.oracle.functions.countersign(last.universe_id, last.epoch, returns_id(last)), chain.stranger)


def _limits() -> Limits:
    needed = [tightest(HELD[seq], MARKETS[seq]) for seq in CLOSED]
    return Limits(max(limits.var for limits in needed), max(limits.es for limits in needed))


def _returns_file(market: Matrix) -> bytes:
    prices: list[JsonValue] = [decimal_string(Decimal(units).scaleb(-4)) for units in market.prices]
    universe: list[JsonValue] = list(INSTRUMENTS)
    content: dict[str, JsonValue] = {"universe": universe, "epoch": market.epoch, "prices": prices, "v": 1}
    return canonical_json(content | {"returns": encode_bytes(market.packed)})


def _attested(chain: AttestorChain, ledger: Ledger, limits: Limits) -> dict[str, JsonValue]:
    """Attest both epochs; return what a pack says of the later one."""
    previous, part = bytes(32), dict[str, JsonValue]()
    for anchor_index, seq in enumerate(CLOSED):
        binding = Binding(
            chain_id=ledger.chain_id, attestor=_address(chain), subject=bytes.fromhex(WALLET[2:]),
            epoch=FIRST_EPOCH + seq, policy_id=POLICY_ID, previous=previous, log_id=ledger.log_id,
            anchor_index=anchor_index,
        )  # fmt: skip
        statement, proof = _proved(binding, seq, limits)
        receipt = chain.send(chain.attesting(binding, statement, proof, MARKETS[seq]), chain.attester)
        returns = returns_id(MARKETS[seq])
        part = {
            "attestor": "0x" + binding.attestor.hex(),
            "subject": WALLET,
            "epoch": binding.epoch,
            "policy_id": "0x" + POLICY_ID.hex(),
            "previous": "0x" + previous.hex(),
            "anchor_index": anchor_index,
            "position_commitment": f"0x{statement.commitment:064x}",
            "returns_id": "0x" + returns.hex(),
            "public_inputs": [f"0x{value:064x}" for value in statement.values()],
            "proof": "0x" + proof.hex(),
            "tx_hash": "0x" + bytes(receipt["transactionHash"]).hex(),
        }
        previous = attestation_id(context(binding), statement.commitment, returns)
    return part


def _proved(binding: Binding, seq: int, limits: Limits) -> tuple[Statement, bytes]:
    claim = honest(binding, HELD[seq], MARKETS[seq], limits)
    return claim.statement, proving_key().prove(claim)


def _address(chain: AttestorChain) -> bytes:
    return bytes.fromhex(chain.attestor.address[2:])
