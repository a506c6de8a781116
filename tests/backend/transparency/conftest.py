"""A small log with its packs, and a local JSON-RPC endpoint that serves its chain, truthfully or not."""

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.kernel import merkle
from backend.kernel.canonical import canonical_json, decode_bytes, encode_bytes
from backend.kernel.commitment import commit, disclose
from backend.kernel.heads import AccountHead, head_proof, heads_root
from backend.kernel.keccak import keccak256
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note

CONTRACT = "0x" + "c0" * 20
CHAIN_ID = 42069
ORIGIN = "refi.trading/test"
TX_HASH = "0x" + "7a" * 32
BLOCK = 9
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = VerifierKey(ORIGIN, PRIVATE.public_key().public_bytes_raw())
ACCOUNT = bytes([5]) * 32


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


@dataclass
class Log:
    """Records of one account among others' entries; index = 2 + 2 * place."""

    records: list[dict[str, Any]]
    anchored: int = 0
    salts: list[bytes] = field(default_factory=list)
    commitments: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    first_prev: bytes = bytes(32)

    def __post_init__(self) -> None:
        prev = self.first_prev
        for seq, record in enumerate(self.records, start=1):
            record |= {"account": encode_bytes(ACCOUNT), "seq": seq, "prev": encode_bytes(prev)}
            salt = sha256(b"salt%d" % seq).digest()
            prev = commit(record, salt)
            self.salts.append(salt)
            self.commitments.append(prev)
            self.entries += [
                self._entry(sha256(b"other%d" % seq).digest(), "order.placed"),
                self._entry(prev, record["event"]),
            ]
        self.entries += [self._entry(sha256(b"later%d" % at).digest(), "order.placed") for at in range(3)]
        self.anchored = self.anchored or len(self.entries) - 2

    @property
    def log_id(self) -> bytes:
        origin = ORIGIN.encode()
        head = word(128) + KEY.public_key + word(CHAIN_ID) + word(bytes.fromhex(CONTRACT[2:]))
        return keccak256(head + word(len(origin)) + origin.ljust(32, b"\0"))

    @property
    def heads(self) -> list[AccountHead]:
        other = AccountHead(bytes([9]) * 32, 2, bytes([1]) * 32)
        return [AccountHead(ACCOUNT, len(self.records), self.commitments[-1]), other]

    def index(self, place: int) -> int:
        return 2 * place + 1

    def pack(self, shown: dict[int, list[str]], *, heads: bool = True, **sections: Any) -> dict[str, Any]:
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        checkpoint = Checkpoint(ORIGIN, len(leaves), merkle.root(leaves))
        pack: dict[str, Any] = {
            "format": "refi-evidence/1",
            "origin": ORIGIN,
            "log_public_key": str(KEY),
            "entries": [self._shown(leaves, place, names) for place, names in shown.items()],
            "checkpoint": sign_note(checkpoint_text(checkpoint), KEY, PRIVATE.sign),
            "anchor": {
                "chain_id": CHAIN_ID,
                "contract": CONTRACT,
                "log_id": "0x" + self.log_id.hex(),
                "index": 3,
                "size": self.anchored,
                "root": encode_bytes(merkle.root(leaves[: self.anchored])),
                "heads_root": encode_bytes(heads_root(self.heads)),
                "block_number": BLOCK,
                "tx_hash": TX_HASH,
            },
            "consistency": [encode_bytes(node) for node in merkle.consistency_proof(leaves, self.anchored)],
        }
        if heads:
            proof = head_proof(self.heads, ACCOUNT)
            pack["heads"] = {
                "id": encode_bytes(ACCOUNT),
                "count": proof.head.count,
                "head": encode_bytes(proof.head.head),
                "index": proof.index,
                "of": proof.of,
                "path": [encode_bytes(node) for node in proof.path],
            }
        return pack | sections

    def _shown(self, leaves: list[bytes], place: int, names: list[str]) -> dict[str, Any]:
        return {
            "index": self.index(place),
            "entry": self.entries[self.index(place)].decode(),
            "disclosed": disclose(self.records[place], self.salts[place], names),
            "inclusion": [encode_bytes(node) for node in merkle.inclusion_path(leaves, self.index(place))],
        }

    def _entry(self, commitment: bytes, event: str) -> bytes:
        return canonical_json({"c": encode_bytes(commitment), "t": event, "v": 1})


def selector(signature: str) -> str:
    return keccak256(signature.encode())[:4].hex()


class Chain:
    """What the chain holds: views by (address, calldata), receipts, blocks and logs."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], bytes | Exception] = {}
        self.receipts: dict[str, Any] = {}
        self.inputs: dict[str, bytes] = {}
        self.blocks: dict[int, str] = {}
        self.codeless: set[tuple[str, int]] = set()
        self.logs: list[dict[str, Any]] = []
        self.chain_id = CHAIN_ID
        self.seen: list[dict[str, Any]] = []

    def answer_call(self, to: str, data: bytes, content: bytes | Exception) -> None:
        self.calls[to, "0x" + data.hex()] = content

    def revert(self, data: bytes) -> Exception:
        """Return a refusal to answer a call with."""
        return Revert(data)

    def anchor(self, pack: dict[str, Any], index: int | None = None) -> None:
        """Store the pack's anchor, its transaction and its log."""
        anchor = pack["anchor"]
        at = anchor["index"] if index is None else index
        log_id = bytes.fromhex(anchor["log_id"][2:])
        roots = [decode_bytes(anchor["root"]), decode_bytes(anchor["heads_root"])]
        data = word(anchor["size"]) + b"".join(roots)
        call = bytes.fromhex(selector("anchorAt(bytes32,uint256)")) + log_id + word(at)
        self.answer_call(anchor["contract"], call, keccak256(log_id + word(at) + data))
        topics = [keccak256(b"Anchored(bytes32,uint256,uint64,bytes32,bytes32)"), log_id, word(at)]
        log = {
            "address": anchor["contract"],
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + data.hex(),
        }
        self.logs.append(log)
        if index is None:
            self.receipts[anchor["tx_hash"]] = {"blockNumber": hex(anchor["block_number"]), "logs": [log]}

    def answer(self, method: str, parameters: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method in {"eth_getTransactionReceipt", "eth_getTransactionByHash"}:
            return self._transaction(method, parameters[0])
        if method == "eth_getLogs":
            wanted = parameters[0]
            return [
                log for log in self.logs if (log["address"], log["topics"]) == (wanted["address"], wanted["topics"])
            ]
        if method == "eth_getBlockByNumber":
            if parameters[0] in {"finalized", "safe"}:
                return {"number": hex(BLOCK if parameters[0] == "safe" else BLOCK - 1)}
            number = int(parameters[0], 16)
            return {"number": hex(number), "hash": self.blocks[number]} if number in self.blocks else None
        return self._state(method, parameters)

    def _transaction(self, method: str, tx_hash: str) -> Any:
        if method == "eth_getTransactionReceipt":
            return self.receipts.get(tx_hash)
        return {"input": "0x" + self.inputs[tx_hash].hex()} if tx_hash in self.inputs else None

    def _state(self, method: str, parameters: list[Any]) -> str:
        if method == "eth_getCode":
            return "0x" if (parameters[0], int(parameters[1], 16)) in self.codeless else "0x60"
        self.seen.append(parameters[0])
        content = self.calls.get((parameters[0]["to"], parameters[0]["data"]), b"")
        if isinstance(content, Exception):
            raise content
        return "0x" + content.hex()


class Revert(Exception):
    """A contract's refusal with its data."""

    def __init__(self, data: bytes) -> None:
        super().__init__("execution reverted")
        self.data = data


class Endpoint(ThreadingHTTPServer):
    """A JSON-RPC endpoint on a free port: honest, or failing in a named way."""

    daemon_threads = True

    def __init__(self, chain: Chain, mode: str, release: threading.Event) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.chain = chain
        self.mode = mode
        self.release = release

    def reply(self, request: dict[str, Any]) -> bytes:
        """Return the body of an answer."""
        if self.mode == "hanging":
            self.release.wait(5)
        fixed = {"garbage": b"<html>", "null": b'{"id":1,"result":null}', "endless": b'"' + b"a" * (5 * 2**20) + b'"'}
        if self.mode in fixed:
            return fixed[self.mode]
        try:
            return json.dumps({"id": 1, "result": self.chain.answer(request["method"], request["params"])}).encode()
        except Revert as error:
            refusal = {"code": 3, "message": "execution reverted", "data": "0x" + error.data.hex()}
            return json.dumps({"id": 1, "error": refusal}).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_POST(self) -> None:
        """Answer as the endpoint's mode says."""
        server = self.server
        assert isinstance(server, Endpoint)
        body = server.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if server.mode == "failing" else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a chain on a free port, in a mode, and gives its URL."""
    servers: list[Endpoint] = []
    release = threading.Event()

    def start(chain: Chain, mode: str = "honest") -> str:
        server = Endpoint(chain, mode, release)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    release.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def log() -> Log:
    """Return a log with three records of one account: opened, filled, closed."""
    return Log(
        [
            {"event": "account.opened", "subject": "0x" + "5b" * 20},
            {"event": "order.filled", "quantity": "10", "price": "187.25"},
            {"event": "order.filled", "quantity": "-2", "price": "190"},
        ]
    )


@pytest.fixture
def make_log() -> Callable[..., Log]:
    """Return the log's constructor."""
    return lambda records, **options: Log(copy.deepcopy(records), **options)


@pytest.fixture
def reverted() -> type[Revert]:
    return Revert


@pytest.fixture
def stopwatch() -> Callable[[], float]:
    return time.monotonic
