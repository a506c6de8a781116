"""A log of several accounts with anchors, served as the platform serves it; tests bend its answers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from backend.kernel import merkle
from backend.kernel.canonical import JsonValue, canonical_json, encode_bytes
from backend.kernel.commitment import commit, disclose
from backend.kernel.heads import AccountHead, head_proof, heads_root
from backend.kernel.poseidon import position_commitment
from backend.kernel.signed_note import Checkpoint, checkpoint_text, sign_note
from backend.proofs.engine.kept import word
from backend.proofs.engine.returns import universe_id
from tests.backend.cli.logs import KEY, PRIVATE, problem
from tests.backend.transparency.bundles import anchor

TRADER, OTHER, THIRD = (bytes([n]) * 32 for n in (5, 9, 3))
UNIVERSE = ("MSFT", "AAPL", "IBM")
WITHOUT_ERASED = ("account", "epoch", "event", "position_commitment", "prev", "seq")


def committed(
    epoch: int, held: Mapping[str, int] | None = None, *, universe: tuple[str, ...] = UNIVERSE, salt: int = 77
) -> dict[str, Any]:
    """Return what commits to holdings (1e-6): the fields of `epoch.closed`, of `account.opened` where None."""
    quantities = [(held or {}).get(name, 0) for name in universe]
    commitment = position_commitment(salt + epoch, universe_id(universe), quantities)
    fields: dict[str, Any] = {
        "epoch": epoch, "position_commitment": word(commitment), "position_salt": word(salt + epoch)
    }  # fmt: skip
    return fields if held is None else fields | {"universe_id": word(universe_id(universe))}


@dataclass(slots=True)
class Kept:
    """A record with its salt, its commitment, and what is left of it."""

    account: bytes
    seq: int
    fields: dict[str, JsonValue]
    salt: bytes
    commitment: bytes
    shown: list[str]


@dataclass
class Ledger:
    """Records in the order of the log, and the sizes and heads that were anchored."""

    records: list[Kept] = field(default_factory=list)
    anchors: list[tuple[int, list[AccountHead]]] = field(default_factory=list)
    regulator: bool = True
    instruments: tuple[str, ...] = UNIVERSE

    def record(self, account: bytes, event: str, *, seq: int = 0, prev: bytes = b"", **more: JsonValue) -> Kept:
        """Append a record; `seq` and `prev` follow unless a test bends them."""
        own = self.of(account)
        number, before = seq or len(own) + 1, prev or (own[-1].commitment if own else bytes(32))
        fields = {
            "account": encode_bytes(account), "event": event, "seq": number, "prev": encode_bytes(before),
            "ts_event": f"2026-11-20T10:00:{len(self.records) % 60:02d}.000000Z", **more,
        }  # fmt: skip
        salt = sha256(b"salt%d" % len(self.records)).digest()
        self.records.append(Kept(account, number, fields, salt, commit(fields, salt), sorted(fields)))
        return self.records[-1]

    def erase(self, account: bytes, seq: int) -> None:
        """Forget a record but for what is retained."""
        kept = self.of(account)[seq - 1]
        kept.shown = [name for name in kept.shown if name in WITHOUT_ERASED]

    def of(self, account: bytes) -> list[Kept]:
        """Return an account's records."""
        return [kept for kept in self.records if kept.account == account]

    def place_anchor(self, heads: list[AccountHead] | None = None) -> None:
        """Anchor everything so far."""
        self.anchors.append((len(self.records), self.heads() if heads is None else heads))

    def heads(self) -> list[AccountHead]:
        """Return every account's head."""
        latest = {kept.account: kept for kept in self.records}
        return sorted(AccountHead(account, kept.seq, kept.commitment) for account, kept in latest.items())

    def entries(self) -> list[bytes]:
        """Return the log's entries."""
        return [
            canonical_json({"c": encode_bytes(kept.commitment), "t": str(kept.fields["event"]), "v": 1})
            for kept in self.records
        ]

    def anchor(self, index: int) -> dict[str, Any]:
        """Return an anchor as packs hold it."""
        size, heads = self.anchors[index]
        leaves = [merkle.leaf_hash(entry) for entry in self.entries()]
        return anchor(index, size, merkle.root(leaves[:size])) | {"heads_root": encode_bytes(heads_root(heads))}

    def page(self, account: bytes, after: int, limit: int, at: int = -1) -> tuple[dict[str, Any], bool]:
        """Return a page of records and whether there are more, against the newest anchor unless one is named."""
        index = at % len(self.anchors)
        size, _ = self.anchors[index]
        leaves, own = [merkle.leaf_hash(entry) for entry in self.entries()], self.of(account)
        placed = [(self.records.index(kept), kept) for kept in own]
        due = [(place, kept) for place, kept in placed if place < size and kept.seq > after]
        text = checkpoint_text(Checkpoint(KEY.name, len(leaves), merkle.root(leaves)))
        pack: dict[str, Any] = {
            "format": "refi-evidence/1", "origin": KEY.name, "log_public_key": str(KEY),
            "entries": [self._shown(leaves, place, kept) for place, kept in due[:limit]],
            "checkpoint": sign_note(text, KEY, PRIVATE.sign), "anchor": self.anchor(index),
            "consistency": [encode_bytes(node) for node in merkle.consistency_proof(leaves, size)],
        }  # fmt: skip
        if len(due) <= limit:
            pack["heads"] = self.head(account, index)
        return pack, len(due) > limit

    def head(self, account: bytes, index: int) -> dict[str, Any]:
        """Return an account's proof of its head at an anchor."""
        proof = head_proof(self.anchors[index][1], account)
        return {
            "id": encode_bytes(proof.head.id), "count": proof.head.count, "head": encode_bytes(proof.head.head),
            "index": proof.index, "of": proof.of, "path": [encode_bytes(node) for node in proof.path],
        }  # fmt: skip

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Answer a request as the platform does."""
        if path == "/api/v1/log/anchors":
            listed = [self.anchor(at) | {"state": "safe"} for at in range(len(self.anchors))]
            return 200, json.dumps({"chain_id": 42069, "contract": listed[0]["contract"], "anchors": listed}).encode()
        if path == "/api/v1/market/instruments":
            return 200, json.dumps({"instruments": self.instruments}).encode()
        if match := re.fullmatch(r"/api/v1/evidence/accounts/([A-Za-z0-9_-]+)(/heads)?", path):
            return self.account_heads() if match[2] else self.account_page(int(query["after"]), int(query["limit"]))
        if (match := re.fullmatch(r"/api/v1/evidence/heads/([0-9]+)", path)) and self.regulator:
            return 200, json.dumps(self.all_heads(int(match[1]))).encode()
        return problem(403, "this needs the role regulator")

    def account_page(self, after: int, limit: int) -> tuple[int, bytes]:
        """Answer with a page of the trader's records."""
        pack, _ = self.page(TRADER, after, limit)
        return (200, json.dumps(pack).encode()) if pack["entries"] else problem(404, "nothing is anchored after that")

    def account_heads(self) -> tuple[int, bytes]:
        """Answer with the trader's heads."""
        there = [at for at, (_, heads) in enumerate(self.anchors) if any(head.id == TRADER for head in heads)]
        heads = [{"anchor": self.anchor(at), "heads": self.head(TRADER, at)} for at in there]
        return 200, json.dumps({"account": encode_bytes(TRADER), "heads": heads}).encode()

    def all_heads(self, index: int) -> dict[str, Any]:
        """Return every account's head at an anchor."""
        heads = self.anchors[index][1]
        listed = [{"id": encode_bytes(h.id), "count": h.count, "head": encode_bytes(h.head)} for h in heads]
        return {"anchor": self.anchor(index), "heads": listed}

    def _shown(self, leaves: list[bytes], place: int, kept: Kept) -> dict[str, Any]:
        return {
            "index": place, "entry": self.entries()[place].decode(),
            "disclosed": disclose(kept.fields, kept.salt, kept.shown),
            "inclusion": [encode_bytes(node) for node in merkle.inclusion_path(leaves, place)],
        }  # fmt: skip


def honest() -> Ledger:
    """Return a log with three accounts, four anchors, an erasure and a reconciliation of the trader."""
    log = Ledger()
    log.record(OTHER, "account.opened", subject="0x" + "cd" * 20)
    log.place_anchor()
    log.record(TRADER, "account.opened", subject="0x" + "ab" * 20, **committed(20_000))
    log.record(TRADER, "order.filled", instrument="AAPL", quantity="10", price="187.25")
    log.place_anchor()
    log.record(OTHER, "order.filled", instrument="MSFT", quantity="1", price="50")
    log.record(TRADER, "order.refused", instrument="AAPL", reason="var_limit")
    log.record(TRADER, "reconciliation.matched", day="2026-11-20")
    log.place_anchor()
    log.record(THIRD, "account.opened", subject="0x" + "ef" * 20)
    log.record(TRADER, "order.filled", instrument="AAPL", quantity="-2", price="190")
    log.record(TRADER, "erasure", erased=1)
    log.erase(TRADER, 2)
    log.place_anchor()
    log.record(TRADER, "order.filled", instrument="AAPL", quantity="1", price="191")
    return log
