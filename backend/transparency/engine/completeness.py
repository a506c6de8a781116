"""Whether everything of an account was disclosed: no gap, no cut tail, no fork (evidence pages, section 5)."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.kernel.canonical import EncodingError, decode_bytes, parse_canonical
from backend.kernel.commitment import bind_count, field_bytes
from backend.kernel.heads import AccountHead, HeadProof, heads_root, verify_head
from backend.kernel.merkle import leaf_hash, root
from backend.transparency.engine.findings import Faults, Finding
from backend.transparency.engine.log_audit import AnchorClaim
from backend.transparency.engine.positions import Positions

CHAINED = frozenset({"account", "event", "prev", "seq"})
RETAINED = CHAINED | {"epoch", "position_commitment"}
ERASURE, RECONCILIATION = "erasure", "reconciliation."
PAGES, LOG, SEQUENCE, PREV, COMMITMENTS = "pages", "one log", "sequence", "prev chain", "commitments"
HEADS, TAIL, ANCHORS, ALL_HEADS, ON_CHAIN = "heads", "tail", "anchors", "all heads", "anchors on chain"
ASKED = "asked account"
WALLET = re.compile(r"0x[0-9a-f]{40}")
PSEUDONYM = re.compile(r"[A-Za-z0-9_-]{43}")
# The records of an account that name its wallet.
NAMING = frozenset({"account.opened", "epoch.closed"})


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure's record: how many records it took, and of before which epoch; None where that is erased too."""

    seq: int
    erased: int | None
    until: int | None

    @classmethod
    def of(cls, seq: int, values: Mapping[str, Any]) -> Erasure:
        """Read what is disclosed of one; a whole record that names no number took nothing."""
        missing = None if values.keys() <= RETAINED else 0
        erased, until = (values[name] if _is_int(values.get(name)) else missing for name in ("erased", "until"))
        return cls(seq, erased, until)


@dataclass(slots=True)
class Completeness:
    """An account's disclosures as they come in: first the anchors and heads, then page after page."""

    asked: str = ""
    faults: Faults = field(default_factory=Faults)
    account: str = ""
    wallets: set[str] = field(default_factory=set)
    pages: int = 0
    indices: list[int] = field(default_factory=list)
    commitments: list[bytes] = field(default_factory=list)
    erased: dict[int, int | None] = field(default_factory=dict)
    erasures: list[Erasure] = field(default_factory=list)
    reconciliations: list[str] = field(default_factory=list)
    anchors: dict[int, AnchorClaim] = field(default_factory=dict)
    shown: dict[int, AccountHead] = field(default_factory=dict)
    full: int = 0
    positions: Positions = field(init=False)
    _identity: tuple[str, str, str] | None = None
    _last_page: Mapping[str, Any] = field(default_factory=dict)
    _heads: dict[bytes, AccountHead] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the positions from the same records, under the same faults."""
        self.positions = Positions(self.faults)

    # --- what comes in

    def add_anchor(self, listed: Mapping[str, Any]) -> AnchorClaim:
        """Take an anchor that the platform lists."""
        claim = AnchorClaim.of(listed)
        known = self.anchors.setdefault(claim.index, claim)
        self.faults.require(ANCHORS, known == claim, f"anchor {claim.index} is listed in two ways")
        return claim

    def add_heads(self, answer: Mapping[str, Any]) -> None:
        """Take the account's heads, one an anchor, each proved to stand in the anchor's heads tree."""
        account = str(answer["account"])
        self.faults.require(HEADS, self.account in {"", account}, "the heads are those of two accounts")
        self.account, before = account, max((head.count for head in self.shown.values()), default=0)
        for one in answer["heads"]:
            claim, proof = self.add_anchor(one["anchor"]), _head_proof(one["heads"])
            where = f"anchor {claim.index}"
            self.faults.require(HEADS, proof.head.id == decode_bytes(self.account, 32), f"{where}: another account's")
            proved = verify_head(proof, claim.head.heads_root)
            self.faults.require(HEADS, proved, f"{where}: the head is not in the anchored heads tree")
            fell = f"{where}: {proof.head.count} records, {before} before"
            self.faults.require(HEADS, proof.head.count >= before, fell)
            self.faults.require(HEADS, claim.index not in self.shown, f"{where}: two heads")
            before = proof.head.count
            self.shown[claim.index] = proof.head

    def add_page(self, pack: Mapping[str, Any], refused: str = "") -> int:
        """Take a page of records and what the verifier refused of it; return the seq of its last record."""
        self.pages += 1
        self.faults.require(PAGES, not refused, f"page {self.pages}: {refused}")
        anchor = self.add_anchor(pack["anchor"])
        identity = (str(pack["origin"]), str(pack["log_public_key"]), anchor.log_id.hex())
        self._identity = self._identity or identity
        self.faults.require(LOG, identity == self._identity, f"page {self.pages} is of another log")
        for entry in pack["entries"]:
            self._add_record(entry)
        self._last_page = {"heads": pack.get("heads"), "anchor": anchor.index}
        return len(self.indices)

    def add_all_heads(self, index: int, answer: Mapping[str, Any]) -> None:
        """Take every account's head at an anchor: unique, sorted, and exactly those behind its heads root."""
        claim = self.add_anchor(answer["anchor"])
        heads = [
            AccountHead(decode_bytes(h["id"], 32), h["count"], decode_bytes(h["head"], 32)) for h in answer["heads"]
        ]
        where = f"anchor {index}"
        rising = all(one.id < other.id for one, other in itertools.pairwise(heads))
        self.full += 1
        self.faults.require(ALL_HEADS, claim.index == index, f"{where}: the heads of anchor {claim.index}")
        if not self.faults.require(ALL_HEADS, rising, f"{where}: the ids are not unique and sorted"):
            return
        bound = heads_root(heads) == claim.head.heads_root
        self.faults.require(ALL_HEADS, bound, f"{where}: these are not the anchored heads")
        known = {head.id: head for head in heads}
        pairs = [(old, known.get(account)) for account, old in self._heads.items()]
        shrunk = any(new is None or new.count < old.count for old, new in pairs)
        self.faults.require(ALL_HEADS, not shrunk, f"{where}: an account has fewer records than before")
        forked = any(new is not None and new.count == old.count and new != old for old, new in pairs)
        self.faults.require(ALL_HEADS, not forked, f"{where}: an account has another head of as many records")
        self._heads = known
        own = known.get(decode_bytes(self.account, 32))
        self.faults.require(
            ALL_HEADS, own == self.shown.get(index), f"{where}: another head than the account was shown"
        )

    def refuse_all_heads(self, index: int, said: str) -> None:
        """Note that the heads of an anchor are refused to somebody who may see them."""
        self.faults.add(ALL_HEADS, f"anchor {index}: the heads are refused: {said}")

    # --- what it amounts to

    def findings(self, anchors: int) -> list[Finding]:
        """Say what was found; `anchors` is how many there must be."""
        self._require_heads_of_records()
        self._require_every_anchor(anchors)
        self._require_tail()
        total = len(self.indices)
        self._require_erasures()
        erased = f", {len(self.erased)} erased" if self.erased else ""
        return [
            *self._asked(),
            self.faults.finding(PAGES, f"{self.pages} verified"),
            self.faults.finding(LOG, self._identity[0] if self._identity else "no page"),
            self.faults.finding(SEQUENCE, f"seq 1 to {total}"),
            self.faults.finding(PREV, f"{total} records, each naming the one before"),
            self.faults.finding(COMMITMENTS, f"{total - len(self.erased)} recomputed from every field{erased}"),
            self.faults.finding(HEADS, f"at {len(self.shown)} anchors, each extending the one before"),
            self.faults.finding(TAIL, f"record {total} is the head at anchor {self._last_page.get('anchor')}"),
            self.faults.finding(ANCHORS, f"{len(self.anchors)} anchors, none left out"),
            self._all_heads(),
            self.positions.finding(),
            self._reconciled(),
        ]

    def on_chain(self, words: Mapping[int, bytes]) -> Finding:
        """Compare every anchor with the word that the contract stores."""
        for index, claim in sorted(self.anchors.items()):
            held = words.get(index) == claim.word
            self.faults.require(ON_CHAIN, held, f"the contract holds no such anchor {index}")
        return self.faults.finding(ON_CHAIN, f"{len(self.anchors)} anchors as the contract holds them")

    def _add_record(self, entry: Mapping[str, Any]) -> None:
        values = {name: shown["value"] for name, shown in entry["disclosed"].items()}
        expected, prev = len(self.indices) + 1, self.commitments[-1] if self.commitments else bytes(32)
        commitment = decode_bytes(_content(entry)["c"], 32)
        self.faults.require(
            SEQUENCE, values.get("account") == self.account, f"after seq {expected - 1}: another account"
        )
        seen = f"seq {values.get('seq')} where {expected} is due"
        self.faults.require(SEQUENCE, values.get("seq") == expected, seen)
        rises = not self.indices or entry["index"] > self.indices[-1]
        self.faults.require(SEQUENCE, rises, f"seq {expected} stands before the one it follows")
        linked = _decoded(values.get("prev")) == prev
        self.faults.require(PREV, linked, f"prev of seq {expected} is not the commitment before it")
        self._require_commitment(expected, entry["disclosed"], values, commitment)
        self._note_event(expected, values)
        self.positions.add_record(expected, values, erased=expected in self.erased)
        self.indices.append(int(entry["index"]))
        self.commitments.append(commitment)

    def _require_commitment(
        self, seq: int, disclosed: Mapping[str, Any], values: Mapping[str, Any], commitment: bytes
    ) -> None:
        counts = {shown["count"] for shown in disclosed.values()}
        if counts != {len(disclosed)}:
            told = f"seq {seq}: {len(disclosed)} of {max(counts, default=0)} fields"
            if self.faults.require(COMMITMENTS, CHAINED <= disclosed.keys() <= RETAINED, told):
                self.erased[seq] = values["epoch"] if _is_int(values.get("epoch")) else None
            return
        leaves = [
            leaf_hash(field_bytes(name, disclosed[name]["value"], decode_bytes(disclosed[name]["salt"], 32)))
            for name in sorted(disclosed)
        ]
        same = bind_count(len(leaves), root(leaves)) == commitment
        self.faults.require(COMMITMENTS, same, f"seq {seq}: its fields have another commitment")

    def _note_event(self, seq: int, values: Mapping[str, Any]) -> None:
        event = str(values.get("event", ""))
        if event == ERASURE:
            self.erasures.append(Erasure.of(seq, values))
        if event in NAMING and isinstance(values.get("subject"), str):
            self.wallets.add(values["subject"].lower())
        if event.startswith(RECONCILIATION):
            self.reconciliations.append(str(values.get("ts_event", f"seq {seq}")))

    def _require_heads_of_records(self) -> None:
        for index, head in self.shown.items():
            # A head that lags behind the anchored records hides those between.
            due = bisect_left(self.indices, self.anchors[index].head.size)
            told = f"anchor {index}: the head counts {head.count} records, {due} were shown below its size"
            if self.faults.require(HEADS, head.count == due, told):
                same = head.head == self.commitments[head.count - 1]
                self.faults.require(HEADS, same, f"anchor {index}: the head is not record {head.count}: a fork")

    def _require_erasures(self) -> None:
        """Every erased record needs a later erasure that took it, and no erasure took more than it counts."""
        for seq, epoch in self.erased.items():
            later = [erasure for erasure in self.erasures if erasure.seq > seq]
            told = f"fields of seq [{seq}] are withheld, no later erasure is anchored"
            if not self.faults.require(COMMITMENTS, bool(later), told) or epoch is None:
                continue
            due = any(erasure.until is None or epoch < erasure.until for erasure in later)
            told = f"seq {seq} of epoch {epoch} is withheld, later erasures end before it"
            self.faults.require(COMMITMENTS, due, told)
        took: int | None = 0
        for place in reversed(range(len(self.erasures))):
            count, after = self.erasures[place].erased, self.erasures[place - 1].seq if place else 0
            took = None if took is None or count is None else took + count
            # What stands after the erasure before can only be taken by this one or a later one.
            gone = sum(seq > after for seq in self.erased)
            told = f"{gone} records are erased, later erasures count {took}"
            self.faults.require(COMMITMENTS, took is None or gone <= took, told)

    def _require_every_anchor(self, count: int) -> None:
        first = self.indices[0] if self.indices else None
        logs = {claim.log_id for claim in self.anchors.values()}
        self.faults.require(ANCHORS, len(logs) <= 1, "the anchors are those of several logs")
        before = due = 0
        for index, claim in sorted(self.anchors.items()):
            self.faults.require(ANCHORS, index == due, f"anchor {due} is not shown")
            due = index + 1
            grows = claim.head.size > before
            self.faults.require(ANCHORS, grows, f"anchor {index} does not grow: {before} to {claim.head.size}")
            before = claim.head.size
            there = first is not None and first < claim.head.size
            told = f"anchor {index}: the account had records, no head is shown"
            self.faults.require(HEADS, index in self.shown or not there, told)
        self.faults.require(ANCHORS, due >= count, f"anchor {due} is not shown")

    def _require_tail(self) -> None:
        heads, total = self._last_page.get("heads"), len(self.indices)
        if not self.faults.require(TAIL, heads is not None, "the last page does not end at the account's head"):
            return
        whole = heads is not None and heads["count"] == total and _decoded(heads["head"]) == self.commitments[-1]
        self.faults.require(TAIL, whole, f"{total} records were shown, the head counts {heads and heads['count']}")
        newest = max(self.shown, default=0)
        old = f"the last page is of anchor {self._last_page['anchor']}, there is anchor {newest}"
        self.faults.require(TAIL, self._last_page["anchor"] >= newest, old)

    def _all_heads(self) -> Finding:
        if not self.full and ALL_HEADS not in self.faults.first:
            return Finding(ALL_HEADS, "skipped", "the heads of all accounts are for regulators")
        return self.faults.finding(ALL_HEADS, f"{len(self._heads)} accounts, unique, at {self.full} anchors")

    def _asked(self) -> list[Finding]:
        """Say whether the account shown is the one asked for: a pseudonym, or the wallet that its records name."""
        if PSEUDONYM.fullmatch(self.asked):
            told = f"the account shown is {self.account[:43]}, another account was asked for"
            self.faults.require(ASKED, self.account == self.asked, told)
        elif WALLET.fullmatch(self.asked) and not self.wallets:
            return [Finding(ASKED, "skipped", "no record that is left names the wallet: it was erased")]
        elif WALLET.fullmatch(self.asked):
            self.faults.require(ASKED, self.wallets == {self.asked}, "its records name another wallet")
        else:
            return []
        return [self.faults.finding(ASKED, self.asked)]

    def _reconciled(self) -> Finding:
        if not self.reconciliations:
            return Finding("reconciliation", "skipped", "no reconciliation is recorded on this account's chain")
        days = self.reconciliations
        return Finding("reconciliation", "pass", f"{len(days)} recorded, {min(days)} to {max(days)}")


def _head_proof(shown: Mapping[str, Any]) -> HeadProof:
    head = AccountHead(decode_bytes(shown["id"], 32), shown["count"], decode_bytes(shown["head"], 32))
    return HeadProof(head, shown["index"], shown["of"], tuple(decode_bytes(step, 32) for step in shown["path"]))


def _content(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    content = parse_canonical(entry["entry"])
    if not isinstance(content, dict) or not isinstance(content.get("c"), str):
        raise EncodingError("an entry holds no commitment")
    return content


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decoded(value: object) -> bytes:
    try:
        return decode_bytes(value, 32) if isinstance(value, str) else b""
    except EncodingError:
        return b""
