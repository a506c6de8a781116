"""What VaR attestations cost on chain, for every size that has a circuit.

Whole transactions of the real contracts. The verifying key's secrets are known here, so that every statement has a
proof and nothing is proved: a verifier does the same work for any key.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3 import Web3
from web3.contract import Contract
from web3.logs import DISCARD
from web3.types import TxReceipt

from backend.cli.local import ROOT
from backend.kernel.field import SCALAR_FIELD, bytes_to_field, limbs
from backend.proofs.engine.claim import attestation_id, context, fold, public_inputs
from backend.proofs.engine.returns import pack_returns, returns_id, universe_id, unpack_returns
from backend.proofs.types import Binding, Matrix, Statement
from scripts.local_node import ask, deploy, send

CIRCUITS: dict[str, dict[str, Any]] = json.loads((ROOT / "circuits" / "circuits.json").read_text("utf-8"))
EAS_BYTECODE = ROOT / "tests" / "vectors" / "eas"
SERVICE, REGISTRY = (Web3.to_checksum_address(f"0x42{place:038x}") for place in (0x21, 0x20))
EPOCH = 17000
POLICY_ID = keccak(text="policy")
LIMIT = 1 << 81
ADD, MULTIPLY = (Web3.to_checksum_address(f"0x{place:040x}") for place in (6, 7))
G1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
G2 = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
TWICE_G2 = bytes.fromhex(
    "203e205db4f19b37b60121b83a7333706db86431c6d835849957ed8c3928ad79"
    "27dc7234fd11d3e8c36c59277c3e6f149d5cd3cfa9a62aee49f8130962b4b3b9"
    "195e8aa5b7827463722b8c153931579d3505566b4edf48d498e185f0509de152"
    "04bb53b8977e5f92a0bc372742c4830944a59b4fe6b1c0466e2a6dad122b5d2e"
)


@dataclass(frozen=True, slots=True)
class Trapdoor:
    """alpha = G1, beta = gamma = G2, delta = 2 G2, IC_i = (i + 3) G1; the node's precompiles do the arithmetic."""

    web3: Web3

    def key(self) -> bytes:
        """Return the verifying key, packed as the contracts hold it."""
        return G1 + G2 + G2 + TWICE_G2 + b"".join(self._times(G1, place + 3) for place in range(4))

    def prove(self, inputs: Sequence[int]) -> list[int]:
        """Return a proof of any public inputs: B = G2, C = G1, A = alpha + IC(inputs) + 2 C."""
        a = self._times(G1, 1 + 3 + 2)
        for place, value in enumerate(inputs):
            a = bytes(self.web3.eth.call({"to": ADD, "data": a + self._times(self._times(G1, place + 4), value)}))
        words = a + G2 + G1
        return [int.from_bytes(words[at : at + 32], "big") for at in range(0, 256, 32)]

    def _times(self, point: bytes, scalar: int) -> bytes:
        return bytes(self.web3.eth.call({"to": MULTIPLY, "data": point + scalar.to_bytes(32, "big")}))


@dataclass(frozen=True, slots=True)
class Attestations:
    """An attestor with one policy of a size."""

    web3: Web3
    oracle: Contract
    attestor: Contract
    trapdoor: Trapdoor
    log_id: bytes
    universe: bytes
    instruments: int
    window: int

    def published(self, epoch: int) -> tuple[Matrix, TxReceipt]:
        """Publish pseudo-random market data of an epoch."""
        prices = tuple(100_000 + noise(1 << 20, epoch, n) for n in range(self.instruments))
        # Within 3.3 %, so that a leading byte is 0x00 or 0xff, as in real returns
        days = range(self.window)
        rows = [[noise(1 << 16, epoch, w, n) - (1 << 15) for n in range(self.instruments)] for w in days]
        market = Matrix(self.universe, epoch, prices, pack_returns(rows))
        call = self.oracle.functions.publish(self.universe, epoch, list(prices), market.packed)
        return market, send(self.web3, call)

    def attest(self, market: Matrix, subject: bytes, previous: bytes = bytes(32)) -> tuple[bytes, TxReceipt]:
        """Attest; return the attestation's id and the receipt."""
        binding = Binding(
            chain_id=self.web3.eth.chain_id,
            attestor=bytes.fromhex(self.attestor.address[2:]),
            subject=subject,
            epoch=market.epoch,
            policy_id=POLICY_ID,
            previous=previous,
            log_id=self.log_id,
            anchor_index=0,
        )
        commitment, r, z = (noise(SCALAR_FIELD, market.epoch, place) for place in range(3))
        identity = attestation_id(context(binding), commitment, returns_id(market))
        e = fold(market.prices, unpack_returns(market.packed, self.instruments), r, z)
        bound = bytes_to_field(identity)
        statement = Statement(bound, commitment, *limbs(market.universe_id), LIMIT, LIMIT, r, z, e)
        claim = (Web3.to_checksum_address(subject), market.epoch, POLICY_ID, self.log_id, 0, commitment, r, z)
        proof = self.trapdoor.prove(public_inputs(statement))
        call = self.attestor.functions.attest(claim, list(market.prices), market.packed, proof)
        return identity, send(self.web3, call)


def noise(below: int, *place: int) -> int:
    """Return a number below another, the same for the same place."""
    return int.from_bytes(keccak(repr(place).encode()), "big") % below


def place_eas(web3: Web3) -> None:
    """Put the Ethereum Attestation Service where OP-stack chains have it."""
    placed = (REGISTRY, "SchemaRegistry", b""), (SERVICE, "EAS", encode(["address"], [REGISTRY]))
    for address, name, arguments in placed:
        creation = bytes.fromhex(json.loads((EAS_BYTECODE / f"{name}.json").read_text("utf-8"))["bytecode"][2:])
        sent = web3.eth.send_transaction({"from": web3.eth.accounts[0], "data": creation + arguments})
        made = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
        ask(web3, "anvil_setCode", address, "0x" + bytes(web3.eth.get_code(Web3.to_checksum_address(str(made)))).hex())


def sizes() -> list[tuple[int, int]]:
    """Return every (N, W) that has a circuit."""
    return sorted({(entry["instruments"], entry["window"]) for entry in CIRCUITS.values()})


def attestations(web3: Web3, instruments: int, window: int) -> Attestations:
    """Deploy an attestor and everything it needs, with a policy of a size that has a circuit."""
    owner = web3.eth.accounts[0]
    of = next(it for it in CIRCUITS.values() if (it["instruments"], it["window"]) == (instruments, window))
    trapdoor = Trapdoor(web3)
    oracle, anchor = deploy(web3, "ReturnsOracle", owner), deploy(web3, "AuditAnchor", owner)
    verifier = deploy(web3, "Groth16Verifier", trapdoor.key())
    attestor = deploy(web3, "VarAttestor", owner, oracle.address, anchor.address)
    names = [f"INST{number:02d}" for number in range(instruments)]
    universe, words = universe_id(names), [name.encode().ljust(32, b"\0") for name in names]
    log_key = keccak(text="log")
    named = encode(["string", "bytes32", "uint256", "address"], ["gas", log_key, web3.eth.chain_id, anchor.address])
    log_id = keccak(named)
    policy = (
        *(universe, verifier.address, instruments, window, of["k"], *of["tail"]),
        *(of["quantity_bits"], of["limit_bits"], of["pnl_bits"], LIMIT, LIMIT),
        *(bytes(32), keccak(trapdoor.key())),
    )
    head = (1, keccak(text="root"), keccak(text="heads"))
    for call in (
        oracle.functions.registerUniverse(universe, words, window),
        oracle.functions.setPublisher(owner, True),
        anchor.functions.registerLog("gas", log_key, [owner]),
        anchor.functions.anchor(log_id, (0, bytes(32), bytes(32)), head, []),
        attestor.functions.definePolicy(POLICY_ID, policy),
        attestor.functions.setAttester(log_id, owner, True),
    ):
        send(web3, call)
    return Attestations(web3, oracle, attestor, trapdoor, log_id, universe, instruments, window)


def measured(web3: Web3, instruments: int, window: int) -> Iterator[tuple[str, TxReceipt, str]]:
    """Yield what publishing and attesting cost: (what, receipt, detail); a detail of attest is the fold's own gas."""
    at = attestations(web3, instruments, window)
    size = f"{instruments} x {window}"
    harness = deploy(web3, "FoldHarness", file="Harnesses")
    first, receipt = at.published(EPOCH)
    yield f"publish {size}", receipt, f"{len(first.packed):,} bytes of returns"
    second, _ = at.published(EPOCH + 1)
    folded = harness.functions.gasOf(list(first.prices), first.packed, SCALAR_FIELD - 2, SCALAR_FIELD - 3).call()
    detail = f"fold {folded:,} gas, {folded / (instruments * window):.1f} an element"
    previous, receipt = at.attest(first, b"\x5b" * 20)
    yield f"attest {size}, the subject's first", receipt, detail
    _, receipt = at.attest(second, b"\x5b" * 20, previous)
    yield f"attest {size}, the next", receipt, detail


def measured_with_eas(web3: Web3, instruments: int, window: int) -> Iterator[tuple[str, TxReceipt, str]]:
    """Yield what an attestation costs where the Ethereum Attestation Service stands; it is put there."""
    place_eas(web3)
    at = attestations(web3, instruments, window)
    market, _ = at.published(EPOCH)
    _, receipt = at.attest(market, b"\x5b" * 20)
    (kept,) = at.attestor.events.EasAttested().process_receipt(receipt, errors=DISCARD)
    yield f"attest {instruments} x {window} with EAS", receipt, f"uid 0x{kept['args']['uid'].hex()[:8]}..."
