"""Orders of a made-up log whose receipts hold a context: on paper and under grace, as the rules allow it and as not."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from eth_abi.abi import encode

from backend.kernel.canonical import JsonValue, canonical_json, encode_bytes
from backend.kernel.keccak import keccak256
from backend.transparency.engine.verifier import words
from scripts.chaos.pack_cases import question
from tests.vectors.evidence.ledger import WALLET, Ledger, LedgerChain

ENGINE, GATE, RELAY = ("0x" + byte * 20 for byte in ("e1", "9a", "4e"))
BLOCK_NUMBER, BLOCK_HASH = 4200, "0x" + "b7" * 32
MODEL = "ab" * 32
TAG = keccak256(b"refi.trading/order-context/1")
SUBMIT_ORDER = keccak256(b"submitOrder(address,bytes32,uint256,bytes32)")[:4]
CHECK = keccak256(b"check((bytes4,address,bytes,bytes))")[:4]
NOTIONAL, TRADED = 1_872_500_000, 250_000_000
# Record of the ledger -> how the order differs from a person's purchase on the venue XNAS.
PAPER, PAPER_ELSEWHERE, GRACE, GRACE_TO_BUY, GRACE_OF_A_MODEL, REFUSED = 2, 3, 4, 5, 6, 8


@dataclass(frozen=True, slots=True)
class Judged:
    """An order's fields in the log, and its receipt."""

    fields: dict[str, JsonValue]
    receipt: dict[str, JsonValue]


def order_call(model: bytes) -> bytes:
    """Return the call that the rules judged; a person's has a model of zeros."""
    arguments = [WALLET, b"AAPL".ljust(32, b"\0"), NOTIONAL, model]
    return SUBMIT_ORDER + encode(["address", "bytes32", "uint256", "bytes32"], arguments)


def judged(*, venue: str, side: str = "buy", model: str = "", paper: bool = False, verdict: str = "allowed") -> Judged:
    """Return an executed order and the receipt that it went with."""
    call = order_call(bytes.fromhex(model) if model else bytes(32))
    receipt: dict[str, JsonValue] = {
        "engine": ENGINE,
        "target": GATE,
        "sender": RELAY,
        "selector": "0x" + SUBMIT_ORDER.hex(),
        "calldata_sha256": encode_bytes(sha256(call).digest()),
        "block_number": BLOCK_NUMBER,
        "block_hash": BLOCK_HASH,
        "verdict": verdict,
        "policy": "",
        "reason": "",
        "context": "0x" + words(TAG, TRADED, int(paper)).hex(),
    }
    fields: dict[str, JsonValue] = {
        "event": "order.filled",
        "subject": WALLET,
        "notional": "1872.5",
        "model": model,
        "side": side,
        "venue": venue,
        "compliance_receipt": sha256(canonical_json(receipt)).hexdigest(),
    }
    return Judged(fields, receipt)


ORDERS = {
    PAPER: judged(venue="PAPER", model=MODEL, paper=True),
    PAPER_ELSEWHERE: judged(venue="XNAS", model=MODEL, paper=True),
    GRACE: judged(venue="XNAS", side="sell", verdict="grace"),
    GRACE_TO_BUY: judged(venue="XNAS", verdict="grace"),
    GRACE_OF_A_MODEL: judged(venue="XNAS", side="sell", model=MODEL, verdict="grace"),
    REFUSED: judged(venue="XNAS"),
}


class Orders(Ledger):
    """The made-up account, six of whose records are orders with a receipt."""

    def __init__(self) -> None:
        super().__init__(b"orders")

    def order(self, seq: int) -> dict[str, Any]:
        """Return the pack of one order with its receipt, without heads."""
        pack = self.page(seq - 1, seq)
        pack.pop("heads", None)
        return pack | {"compliance": ORDERS[seq].receipt}

    def content(self, seq: int) -> dict[str, JsonValue]:
        """Return what a record says; orders with a receipt say more."""
        return super().content(seq) | (ORDERS[seq].fields if seq in ORDERS else {})


class OrdersChain(LedgerChain):
    """A chain that holds the anchor, and an engine that refuses a person's order with this context alone."""

    def __init__(self, pack: dict[str, Any]) -> None:
        super().__init__(pack)
        call, context = order_call(bytes(32)), bytes.fromhex(str(ORDERS[REFUSED].receipt["context"])[2:])
        payload = encode(["(bytes4,address,bytes,bytes)"], [(call[:4], RELAY, call[4:], context)])
        asked = {"to": ENGINE, "data": "0x" + (CHECK + payload).hex(), "from": GATE}
        self.put("eth_getBlockByNumber", [hex(BLOCK_NUMBER), False], {"number": hex(BLOCK_NUMBER), "hash": BLOCK_HASH})
        self.put("eth_getCode", [ENGINE, hex(BLOCK_NUMBER)], "0x60")
        self.put("eth_call", [asked, hex(BLOCK_NUMBER)], {"reverted": "0x"})

    def put(self, method: str, parameters: list[Any], result: object) -> None:
        """Give an answer."""
        item = {"method": method, "params": parameters, "result": result}
        self.kept.append(item)
        self._answers = {**self._answers, question(method, parameters): result}


def bad_cases(orders: Orders) -> list[dict[str, Any]]:
    """Return the same log's packs that fail, as edits of the good ones."""
    return [
        {
            "name": name,
            "fails": "compliance receipt",
            "good": good,
            "edits": [
                {"do": "set", "at": [part], "value": orders.order(seq)[part]} for part in ("entries", "compliance")
            ],
        }
        for name, good, seq in (
            ("an order judged on paper that went to another venue", "good/paper.refi.json", PAPER_ELSEWHERE),
            ("a purchase under grace", "good/grace.refi.json", GRACE_TO_BUY),
            ("a model's sale under grace", "good/grace.refi.json", GRACE_OF_A_MODEL),
            ("an order that the rules refuse with its context", "good/grace.refi.json", REFUSED),
        )
    ]
