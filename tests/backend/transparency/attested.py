"""A chain on which one wallet attested some epochs of published returns, and ways to lie about it."""

from dataclasses import dataclass, replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.anchoring.engine import log_id
from backend.kernel.canonical import decode_bytes
from backend.kernel.field import bytes_to_field, limbs
from backend.proofs.engine.claim import attestation_id, context, fold, public_inputs
from backend.proofs.engine.returns import returns_id, unpack_returns
from backend.proofs.types import Binding, Matrix, Statement
from tests.backend.transparency.claims import (
    ATTESTOR,
    COMMITMENT,
    ES_LIMIT,
    GROTH16,
    KEY,
    LIMIT,
    MATRIX,
    ORACLE,
    POLICY_ID,
    SUBJECT,
    policy_words,
    simulated_proof,
)
from tests.backend.transparency.conftest import CHAIN_ID, CONTRACT, ORIGIN, Chain, word
from tests.backend.transparency.conftest import KEY as LOG_KEY
from tests.backend.transparency.examined import raw, selector

LOG_ID = log_id(ORIGIN, LOG_KEY.public_key, CHAIN_ID, CONTRACT)
POLICY_TYPE = "(bytes32,address,uint16,uint16,uint16,uint16,uint8,uint8,uint8,uint8,uint128,uint128,bytes32,bytes32)"
CLAIM_TYPE = "(address,uint64,bytes32,bytes32,uint64,uint256,uint256,uint256)"
PUBLISHED, SKIPPED, OPEN = range(17000, 17006), (17002,), (17005,)
ATTESTED = [epoch for epoch in PUBLISHED if epoch not in (*SKIPPED, *OPEN)]


@dataclass(frozen=True)
class Made:
    """One attestation, as its transaction and its event tell it."""

    binding: Binding
    commitment: int
    matrix: Matrix
    statement: Statement
    proof: bytes
    id: bytes

    @property
    def tx_hash(self) -> str:
        """A hash that names the epoch."""
        return f"0x{self.binding.epoch:064x}"

    def calldata(self) -> bytes:
        """Return the call of attest."""
        bound = self.binding
        claim = (
            bound.subject, bound.epoch, bound.policy_id, bound.log_id, bound.anchor_index,
            self.commitment, self.statement.r, self.statement.z,
        )  # fmt: skip
        proof = [int.from_bytes(self.proof[at : at + 32], "big") for at in range(0, 256, 32)]
        types = [CLAIM_TYPE, "uint256[]", "bytes", "uint256[8]"]
        return selector(f"attest({','.join(types)})") + encode(
            types, [claim, list(self.matrix.prices), self.matrix.packed, proof]
        )


def made(epoch: int, previous: bytes, anchor_index: int, es_limit: int = ES_LIMIT) -> Made:
    """Return an epoch's attestation with a proof of the toy key."""
    matrix = replace(MATRIX, epoch=epoch)
    binding = Binding(CHAIN_ID, raw(ATTESTOR), raw(SUBJECT), epoch, POLICY_ID, previous, LOG_ID, anchor_index)
    commitment = COMMITMENT + epoch
    named = attestation_id(context(binding), commitment, returns_id(matrix))
    universe = limbs(matrix.universe_id)
    statement = Statement(bytes_to_field(named), commitment, *universe, LIMIT, es_limit, 777, 888, 0)
    rows = unpack_returns(matrix.packed, 2)
    statement = replace(statement, e=fold(matrix.prices, rows, statement.r, statement.z))
    return Made(binding, commitment, matrix, statement, simulated_proof(public_inputs(statement)), named)


class AttestedChain(Chain):
    """Returns of six epochs, four of them attested: block 100 + n publishes, 200 + n anchors, 300 + n attests."""

    def __init__(self) -> None:
        super().__init__()
        self.unasked: list[dict[str, Any]] = []
        self.made: dict[int, Made] = {}
        self.answer_call(ATTESTOR, selector("ORACLE()"), encode(["address"], [ORACLE]))
        self.answer_call(ATTESTOR, selector("ANCHOR()"), encode(["address"], [CONTRACT]))
        self.answer_call(GROTH16, selector("verifyingKey()"), encode(["bytes"], [KEY]))
        self.define(policy_words())
        for place, epoch in enumerate(PUBLISHED):
            self._publish(place, epoch, countersigned=epoch % 2 == 0)
        for epoch in range(PUBLISHED.stop, PUBLISHED.stop + 31):
            asked = MATRIX.universe_id + word(epoch)
            self.answer_call(ORACLE, selector("returnsIdOf(bytes32,uint64)") + asked, bytes(32))
        previous = bytes(32)
        for place, epoch in enumerate(PUBLISHED):
            self._anchor(place)
            if epoch in ATTESTED:
                one = made(epoch, previous, place)
                self.put(one)
                previous = one.id
            else:
                self.hold(epoch, bytes(32))
        self.latest(previous)

    # --- what the contracts hold

    def define(self, words: bytes) -> None:
        """Let the attestor hold and have defined a policy."""
        self.answer_call(ATTESTOR, selector("policyOf(bytes32)") + POLICY_ID, words)
        self.log(ATTESTOR, f"PolicyDefined(bytes32,{POLICY_TYPE})", [POLICY_ID], words, 50)

    def latest(self, held: bytes) -> None:
        """Let the attestor hold a latest attestation."""
        asked = encode(["address", "bytes32"], [SUBJECT, POLICY_ID])
        self.answer_call(ATTESTOR, selector("latestOf(address,bytes32)") + asked, held)

    def hold(self, epoch: int, held: bytes) -> None:
        """Let the attestor hold an epoch's attestation."""
        asked = encode(["address", "uint64", "bytes32"], [SUBJECT, epoch, POLICY_ID])
        self.answer_call(ATTESTOR, selector("attestationAt(address,uint64,bytes32)") + asked, held)

    def put(self, one: Made) -> None:
        """Let an attestation have happened, in the place of the epoch's other one."""
        epoch = one.binding.epoch
        self.drop(one.tx_hash)
        self.made[epoch] = one
        self.inputs[one.tx_hash] = one.calldata()
        self.hold(epoch, one.id)
        bound = one.binding
        data = encode(
            ["bytes32", "bytes32", "bytes32", "uint64", "uint256", "bytes32"],
            [one.id, bound.previous, bound.log_id, bound.anchor_index, one.commitment, returns_id(one.matrix)],
        )
        names = [word(bound.subject), word(epoch), bound.policy_id]
        signature = "Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)"
        self.log(ATTESTOR, signature, names, data, 300 + epoch - PUBLISHED[0], one.tx_hash)

    def _publish(self, place: int, epoch: int, *, countersigned: bool) -> None:
        named, asked = returns_id(replace(MATRIX, epoch=epoch)), MATRIX.universe_id + word(epoch)
        self.answer_call(ORACLE, selector("returnsIdOf(bytes32,uint64)") + asked, named)
        self.answer_call(ORACLE, selector("isCountersigned(bytes32,uint64)") + asked, word(int(countersigned)))
        names = [MATRIX.universe_id, word(epoch), named]
        self.log(ORACLE, "Published(bytes32,uint64,bytes32,address)", names, word(1), 100 + place)

    def _anchor(self, index: int) -> None:
        data = word(index + 1) + bytes([index]) * 64
        self.answer_call(
            CONTRACT, selector("anchorAt(bytes32,uint256)") + LOG_ID + word(index), keccak(LOG_ID + word(index) + data)
        )
        signature = "Anchored(bytes32,uint256,uint64,bytes32,bytes32)"
        self.log(CONTRACT, signature, [LOG_ID, word(index)], data, 200 + index)

    def anchor_pack(self, pack: dict[str, Any]) -> None:
        """Let the contract hold the anchor of a pack in the place of its own of the same index."""
        anchor = pack["anchor"]
        data = word(anchor["size"]) + decode_bytes(anchor["root"]) + decode_bytes(anchor["heads_root"])
        place = LOG_ID + word(anchor["index"])
        self.answer_call(CONTRACT, selector("anchorAt(bytes32,uint256)") + place, keccak(place + data))
        event = self.events("Anchored(bytes32,uint256,uint64,bytes32,bytes32)")[anchor["index"]]
        event["data"] = "0x" + data.hex()
        anchor |= {"block_number": int(event["blockNumber"], 16), "tx_hash": event["transactionHash"]}
        self.receipts[anchor["tx_hash"]] = {"blockNumber": event["blockNumber"], "logs": [event]}

    # --- events

    def log(
        self, address: str, signature: str, names: list[bytes], data: bytes, block: int, tx_hash: str = ""
    ) -> dict[str, Any]:
        """Let an event have happened."""
        topics = ["0x" + topic.hex() for topic in (keccak(text=signature), *names)]
        event = {"address": address, "topics": topics, "data": "0x" + data.hex(), "blockNumber": hex(block)}
        event |= {"logIndex": hex(len(self.logs)), "transactionHash": tx_hash or f"0x{block:064x}"}
        self.logs.append(event)
        return event

    def event(self, epoch: int) -> dict[str, Any]:
        """Return an epoch's Attested event."""
        return next(event for event in self.logs if event["transactionHash"] == self.made[epoch].tx_hash)

    def events(self, signature: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        return [event for event in self.logs if event["topics"][0] == "0x" + keccak(text=signature).hex()]

    def drop(self, tx_hash: str) -> None:
        """Leave out a transaction's events."""
        self.logs = [event for event in self.logs if event["transactionHash"] != tx_hash]

    # --- JSON-RPC

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """Return what the chain, or who lies about it, answers."""
        if method == "eth_blockNumber":
            return hex(1000)
        if method == "eth_getLogs":
            return [event for event in self.logs if _matches(event, parameters[0])] + self.unasked
        return super().answer(method, parameters)


def _matches(event: dict[str, Any], query: dict[str, Any]) -> bool:
    within = int(query["fromBlock"], 16) <= int(event["blockNumber"], 16) <= int(query["toBlock"], 16)
    pairs = zip(query["topics"], event["topics"], strict=False)
    return (
        within
        and event["address"] == query["address"]
        and len(query["topics"]) <= len(event["topics"])
        and all(wanted is None or held in (wanted if isinstance(wanted, list) else [wanted]) for wanted, held in pairs)
    )
