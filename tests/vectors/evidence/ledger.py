"""A made-up log with one account's records among others', and the chain that holds its anchor."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.kernel import merkle
from backend.kernel.canonical import JsonValue, canonical_json, decode_bytes, encode_bytes
from backend.kernel.commitment import commit, disclose
from backend.kernel.heads import AccountHead, head_proof, heads_root
from backend.kernel.keccak import keccak256
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note
from scripts.chaos.pack_cases import Replay, question

ORIGIN = "refi.trading/vectors"
RECORDS, OTHERS, UNANCHORED = 12, 3, 7
BLOCK, TX_HASH, ANCHOR_INDEX = 4321, "0x" + "7a" * 32, 5
OPENED, CLOSED, FIRST_EPOCH = 1, (7, 12), 16_953
RETAINED = ("account", "epoch", "event", "position_commitment", "prev", "seq")
ATTESTED_FIELDS = ("event", "subject", "epoch", "position_commitment")
WALLET = "0x" + "5b" * 20
ACCOUNT = sha256(b"account").digest()


class Ledger:
    """Twelve records of one account, each followed by three entries of others; three of them commit to positions."""

    chain_id = 42069

    def __init__(
        self, seed: bytes = b"ledger", contract: str = "0x" + "c0" * 20, committed: Mapping[int, int] | None = None
    ) -> None:
        self._seed = seed
        self.contract = contract
        self.block_number, self.tx_hash, self.anchor_index = BLOCK, TX_HASH, ANCHOR_INDEX
        self._committed = committed or {seq: seq for seq in (OPENED, *CLOSED)}
        self._private = Ed25519PrivateKey.from_private_bytes(sha256(seed).digest())
        self.key = VerifierKey(ORIGIN, self._private.public_key().public_bytes_raw())
        self.records: list[dict[str, JsonValue]] = []
        self.salts: list[bytes] = []
        self.commitments: list[bytes] = []
        self.entries: list[bytes] = []
        for seq in range(1, RECORDS + 1):
            self._append(seq)
        self.anchored = len(self.entries)
        for at in range(UNANCHORED):
            self._other(b"late%d" % at)

    def page(self, start: int, end: int, erased: set[int] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
        """Return the account's records from place `start` up to `end`, of erased ones what is retained."""
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        pack: dict[str, Any] = {
            "format": "refi-evidence/1",
            "origin": ORIGIN,
            "log_public_key": str(self.key),
            "entries": [self._shown(leaves, place, erased=place in erased) for place in range(start, end)],
            "checkpoint": self._checkpoint(leaves),
            "anchor": self._anchor(leaves),
            "consistency": [encode_bytes(node) for node in merkle.consistency_proof(leaves, self.anchored)],
        }
        return pack | {"heads": self._heads()} if end == len(self.records) else pack

    def attested(self, seq: int, var: dict[str, JsonValue]) -> dict[str, Any]:
        """Return what anybody may see of an attested epoch's record."""
        pack = self.page(seq - 1, seq)
        pack.pop("heads", None)
        shown = pack["entries"][0]["disclosed"]
        pack["entries"][0]["disclosed"] = {name: shown[name] for name in ATTESTED_FIELDS}
        return pack | {"var": var}

    def content(self, seq: int) -> dict[str, JsonValue]:
        """Return what a record says beside its place in the account's chain."""
        return _content(seq, self._committed)

    def leaves(self) -> list[bytes]:
        """Return the hashes of all entries."""
        return [merkle.leaf_hash(entry) for entry in self.entries]

    def heads_root(self) -> bytes:
        """Return the root of the heads tree of the anchor."""
        return heads_root(self._accounts())

    @property
    def log_id(self) -> bytes:
        """The id under which the contract registers the log."""
        return self._log_id()

    def _append(self, seq: int) -> None:
        record: dict[str, JsonValue] = {
            "account": encode_bytes(ACCOUNT),
            "seq": seq,
            "prev": encode_bytes(self.commitments[-1] if self.commitments else bytes(32)),
            **self.content(seq),
        }
        salt = sha256(self._seed + b"salt%d" % seq).digest()
        self.records.append(record)
        self.salts.append(salt)
        self.commitments.append(commit(record, salt))
        self._entry(self.commitments[-1], str(record["event"]))
        for at in range(OTHERS):
            self._other(b"%d/%d" % (seq, at))

    def _entry(self, commitment: bytes, event: str) -> None:
        self.entries.append(canonical_json({"c": encode_bytes(commitment), "t": event, "v": 1}))

    def _other(self, name: bytes) -> None:
        self._entry(sha256(self._seed + name).digest(), "order.placed")

    def _shown(self, leaves: list[bytes], place: int, *, erased: bool) -> dict[str, Any]:
        index = place * (1 + OTHERS)
        record = self.records[place]
        names = [name for name in sorted(record) if not erased or name in RETAINED]
        return {
            "index": index,
            "entry": self.entries[index].decode(),
            "disclosed": disclose(record, self.salts[place], names),
            "inclusion": [encode_bytes(node) for node in merkle.inclusion_path(leaves, index)],
        }

    def _checkpoint(self, leaves: list[bytes]) -> str:
        text = checkpoint_text(Checkpoint(ORIGIN, len(leaves), merkle.root(leaves)))
        return sign_note(text, self.key, self._private.sign)

    def _anchor(self, leaves: list[bytes]) -> dict[str, Any]:
        return {
            "chain_id": self.chain_id,
            "contract": self.contract,
            "log_id": "0x" + self._log_id().hex(),
            "index": self.anchor_index,
            "size": self.anchored,
            "root": encode_bytes(merkle.root(leaves[: self.anchored])),
            "heads_root": encode_bytes(heads_root(self._accounts())),
            "block_number": self.block_number,
            "tx_hash": self.tx_hash,
        }

    def _log_id(self) -> bytes:
        origin = ORIGIN.encode()
        head = _word(128) + self.key.public_key + _word(self.chain_id) + bytes(12) + bytes.fromhex(self.contract[2:])
        return keccak256(head + _word(len(origin)) + origin.ljust(32, b"\0"))

    def _accounts(self) -> list[AccountHead]:
        others = [AccountHead(sha256(b"%d" % at).digest(), at, sha256(b"h%d" % at).digest()) for at in range(1, 6)]
        return [AccountHead(ACCOUNT, len(self.records), self.commitments[-1]), *others]

    def _heads(self) -> dict[str, Any]:
        proof = head_proof(self._accounts(), ACCOUNT)
        return {
            "id": encode_bytes(proof.head.id),
            "count": proof.head.count,
            "head": encode_bytes(proof.head.head),
            "index": proof.index,
            "of": proof.of,
            "path": [encode_bytes(node) for node in proof.path],
        }


class LedgerChain(Replay):
    """The few answers of a chain that holds a pack's anchor."""

    def __init__(self, pack: dict[str, Any]) -> None:
        anchor = pack["anchor"]
        anchored = bytes.fromhex(anchor["log_id"][2:]) + _word(anchor["index"]) + _word(anchor["size"])
        anchored += decode_bytes(anchor["root"]) + decode_bytes(anchor["heads_root"])
        call = keccak256(b"anchorAt(bytes32,uint256)")[:4] + anchored[:64]
        topics = [keccak256(b"Anchored(bytes32,uint256,uint64,bytes32,bytes32)"), anchored[:32], anchored[32:64]]
        log = {
            "address": anchor["contract"],
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + anchored[64:].hex(),
        }
        to = {"to": anchor["contract"], "data": "0x" + call.hex()}
        self.kept = [
            _answer("eth_call", [to, "latest"], "0x" + keccak256(anchored).hex()),
            _answer(
                "eth_getTransactionReceipt",
                [anchor["tx_hash"]],
                {"blockNumber": hex(anchor["block_number"]), "logs": [log]},
            ),
            _answer("eth_getBlockByNumber", ["finalized", False], {"number": hex(anchor["block_number"])}),
        ]
        super().__init__({question(item["method"], item["params"]): item["result"] for item in self.kept})


def _content(seq: int, committed: Mapping[int, int]) -> dict[str, JsonValue]:
    shared: dict[str, JsonValue] = {
        "ts_event": f"2016-06-{seq:02}T14:30:00.000000Z",
        "ts_recorded": f"2016-06-{seq:02}T14:30:00.000250Z",
        "clock": "replay:0",
        "actor": "trader",
        "policy": "1",
    }
    if seq in committed:
        event = "account.opened" if seq == OPENED else "epoch.closed"
        closed: dict[str, JsonValue] = {"subject": WALLET, "epoch": FIRST_EPOCH + seq}
        return shared | closed | {"event": event, "position_commitment": f"0x{committed[seq]:064x}"}
    order: dict[str, JsonValue] = {"instrument": "AAPL", "quantity": str(seq), "price": f"97.{seq:02}1", "side": "buy"}
    return shared | order | {"event": "order.filled"}


def _answer(method: str, parameters: list[Any], result: object) -> dict[str, Any]:
    return {"method": method, "params": parameters, "result": result}


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
