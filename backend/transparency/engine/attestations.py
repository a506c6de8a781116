"""A wallet's VaR attestations as the chain alone tells them: every event, link, matrix, fold and proof redone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from backend.transparency.engine.findings import Faults, Finding
from backend.transparency.engine.verifier import (
    KEY_BYTES,
    SCALAR_FIELD,
    Failed,
    Market,
    VarPolicy,
    attestation_id,
    fold,
    from_hex,
    keccak256,
    market,
    public_inputs,
    read_policy,
    require_groth16,
    selector,
    words,
)

ATTESTED = keccak256(b"Attested(address,uint64,bytes32,bytes32,bytes32,bytes32,uint64,uint256,bytes32)")
PUBLISHED = keccak256(b"Published(bytes32,uint64,bytes32,address)")
ANCHORED = keccak256(b"Anchored(bytes32,uint256,uint64,bytes32,bytes32)")
POLICY_DEFINED = keccak256(
    b"PolicyDefined(bytes32,(bytes32,address,uint16,uint16,uint16,uint16,uint8,uint8,uint8,uint8,"
    b"uint128,uint128,bytes32,bytes32))"
)
ATTEST = selector("attest((address,uint64,bytes32,bytes32,uint64,uint256,uint256,uint256),uint256[],bytes,uint256[8])")
POLICY, EVENTS, LINKS, RETURNS, ANCHORS, PROOFS = "policy", "events", "links", "returns", "anchors", "proofs"
WORD = 32
HEAD_WORDS = 18
# A claim that is handed on by another contract stands somewhere in its input, perhaps after tries that failed.
MAX_PLACES = 64
MAX_TRIES = 8

# Fails unless a proof holds for a key and public inputs.
Groth16 = Callable[[bytes, bytes, tuple[int, ...]], None]
State = Literal["attested", "skipped", "open", "breached"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a contract, with its place on the chain."""

    topics: tuple[bytes, ...]
    data: bytes
    block: int
    place: int
    tx_hash: str

    @property
    def at(self) -> tuple[int, int]:
        """Where it stands: what is lower came before."""
        return self.block, self.place


@dataclass(frozen=True, slots=True)
class Attestation:
    """What an Attested event says."""

    subject: bytes
    epoch: int
    policy_id: bytes
    id: bytes
    previous: bytes
    log_id: bytes
    anchor_index: int
    commitment: bytes
    returns_id: bytes
    event: Event

    @classmethod
    def of(cls, event: Event) -> Attestation:
        """Read an event; fail where it has another form."""
        if len(event.topics) != 4 or event.topics[0] != ATTESTED or len(event.data) != 6 * WORD:
            raise Failed("an Attested event has another form")
        parts = [event.data[at : at + WORD] for at in range(0, 6 * WORD, WORD)]
        return cls(
            subject=event.topics[1][12:],
            epoch=_number(event.topics[2]),
            policy_id=event.topics[3],
            id=parts[0],
            previous=parts[1],
            log_id=parts[2],
            anchor_index=_number(parts[3]),
            commitment=parts[4],
            returns_id=parts[5],
            event=event,
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """What an attesting transaction hands to the contract: the matrix, the challenges and the proof."""

    claim: tuple[int, ...]
    prices: tuple[int, ...]
    packed: bytes
    proof: bytes

    @property
    def challenges(self) -> tuple[int, int]:
        """The circuit's r and z."""
        return self.claim[6], self.claim[7]


@dataclass(frozen=True, slots=True)
class Told:
    """All that one RPC tells of a wallet under a policy, as of one block.

    at, returns: attestation and matrix id an epoch; anchors: the stored word of (log id, index); inputs: calldata by
    transaction hash.
    """

    policy: bytes
    key: bytes
    latest: bytes
    attested: tuple[Event, ...]
    defined: tuple[Event, ...]
    published: tuple[Event, ...]
    anchored: tuple[Event, ...]
    at: Mapping[int, bytes]
    returns: Mapping[int, bytes]
    countersigned: frozenset[int]
    anchors: Mapping[tuple[bytes, int], bytes]
    inputs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the chain: an epoch with published returns or an attestation."""

    epoch: int
    state: State
    attestation: Attestation | None = None
    countersigned: bool = False
    fault: str = ""


@dataclass(slots=True)
class AttestationAudit:
    """One wallet under one policy: what is wrong is noted by check, and at the epoch that it is about."""

    chain_id: int
    attestor: str
    subject: str
    policy_id: bytes
    told: Told
    circuit_hash: str | None = None
    groth16: Groth16 = require_groth16
    policy: VarPolicy | None = None
    attestations: list[Attestation] = field(default_factory=list)
    statements: dict[bytes, tuple[list[int], bytes]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    wrong: dict[int, str] = field(default_factory=dict)

    def run(self, verified: Callable[[int], None] = lambda _count: None) -> None:
        """Check everything; `verified` hears how many proofs are done."""
        self._read_policy()
        for event in sorted(self.told.attested, key=lambda event: event.at):
            try:
                self._add(Attestation.of(event))
            except Failed as error:
                self.faults.add(EVENTS, str(error))
        self._check_links()
        self._check_untold()
        for count, made in enumerate(self.attestations, start=1):
            self._check_returns(made)
            self._check_anchor(made)
            self._check_proof(made)
            verified(count)

    def findings(self) -> list[Finding]:
        """Return one finding a check."""
        count = len(self.attestations)
        countersigned = sum(made.epoch in self.told.countersigned for made in self.attestations)
        shown = self.policy.shown() if self.policy else ""
        pinned = self.policy.pinned() if self.policy else ""
        return [
            self.faults.finding(POLICY, f"{shown}, {pinned}, defined once"),
            self.faults.finding(EVENTS, f"{count} attestation ids recomputed"),
            self.faults.finding(LINKS, f"{count} in one chain from the first to the contract's latest"),
            self.faults.finding(RETURNS, f"{count} matrices published before, {countersigned} countersigned"),
            self.faults.finding(ANCHORS, f"{count} named anchors of {self._logs()} on chain before"),
            self.faults.finding(PROOFS, f"{len(self.statements)} folds and Groth16 proofs verified from calldata"),
        ]

    def epochs(self) -> list[Epoch]:
        """Return every epoch from the first attested one on, gaps shown as such."""
        if not self.attestations:
            return []
        made = {one.epoch: one for one in self.attestations}
        first, last = min(made), max(made)
        due = {epoch for epoch, held in self.told.returns.items() if any(held)} | self._published()
        return [
            Epoch(
                epoch,
                "attested" if epoch in made else "skipped" if epoch < last else "open",
                made.get(epoch),
                epoch in self.told.countersigned,
                self.wrong.get(epoch, ""),
            )
            for epoch in sorted({epoch for epoch in due if epoch >= first} | made.keys())
        ]

    # --- checks

    def _read_policy(self) -> None:
        try:
            self.policy = read_policy(self.told.policy, lambda _verifier: self.told.key)
        except Failed as error:
            self.faults.add(POLICY, str(error))
            return
        hash_ = "0x" + self.policy.circuit_hash.hex()
        self.faults.require(POLICY, self.circuit_hash in {None, hash_}, f"the policy's circuit is another: {hash_}")
        defined = self.told.defined
        same = len(defined) == 1 and defined[0].data == self.told.policy
        if self.faults.require(POLICY, same, "the contract holds another policy than the one event that defined it"):
            early = all(defined[0].at < event.at for event in self.told.attested)
            self.faults.require(POLICY, early, "attested before the policy was defined")

    def _add(self, made: Attestation) -> None:
        self.attestations.append(made)
        own = made.subject == from_hex(self.subject) and made.policy_id == self.policy_id
        self._require(EVENTS, own, made, "is about another wallet or policy")
        place = (self.subject, made.epoch, made.policy_id, made.previous, made.log_id, made.anchor_index)
        expected = attestation_id((self.chain_id, self.attestor, *place), made.commitment, made.returns_id)
        self._require(EVENTS, made.id == expected, made, "its id does not follow from what it binds")
        held = self.told.at.get(made.epoch) == made.id
        self._require(EVENTS, held, made, "the contract holds another attestation")

    def _check_links(self) -> None:
        made = self.attestations
        if made:
            self._require(
                LINKS, not any(made[0].previous), made[0], "the first names one before it: an event is missing"
            )
        if len({one.previous for one in made}) != len(made):
            self.faults.add(LINKS, "two name the same one before: a branch")
        for before, one in pairwise(made):
            self._require(LINKS, one.previous == before.id, one, f"does not follow epoch {before.epoch}")
            self._require(LINKS, one.epoch > before.epoch, one, f"is not after epoch {before.epoch}")
        last = made[-1].id if made else bytes(WORD)
        self.faults.require(
            LINKS, self.told.latest == last, "the contract's latest attestation is another: an event is missing"
        )
        listed = {one.epoch for one in made}
        for epoch, held in sorted(self.told.at.items()):
            told = epoch in listed or not any(held)
            self.faults.require(LINKS, told, f"the contract holds an attestation of epoch {epoch} that no event tells")

    def _check_untold(self) -> None:
        """An epoch with returns that no event tells could hide that it was not attested."""
        published = self._published()
        for epoch, held in sorted(self.told.returns.items()):
            told = epoch in published or not any(held)
            self.faults.require(RETURNS, told, f"the oracle holds returns of epoch {epoch} that no event tells")

    def _published(self) -> set[int]:
        return {_number(event.topics[2]) for event in self.told.published if len(event.topics) == 4}

    def _check_returns(self, made: Attestation) -> None:
        same = self.told.returns.get(made.epoch) == made.returns_id
        self._require(RETURNS, same, made, "the oracle holds other returns")
        found = [event for event in self.told.published if _number(event.topics[2]) == made.epoch]
        published = len(found) == 1 and found[0].topics[3] == made.returns_id and found[0].at < made.event.at
        self._require(RETURNS, published, made, "its returns were not published once and before it")

    def _check_anchor(self, made: Attestation) -> None:
        names = (ANCHORED, made.log_id, words(made.anchor_index))
        found = [event for event in self.told.anchored if event.topics == names]
        if not self._require(ANCHORS, len(found) == 1, made, f"the log has no anchor {made.anchor_index}"):
            return
        stored = self.told.anchors.get((made.log_id, made.anchor_index))
        word = keccak256(made.log_id + words(made.anchor_index) + found[0].data)
        self._require(ANCHORS, stored == word, made, f"the contract holds no such anchor {made.anchor_index}")
        self._require(ANCHORS, found[0].at < made.event.at, made, "names an anchor that came later")

    def _check_proof(self, made: Attestation) -> None:
        if self.policy is None:
            self._require(PROOFS, False, made, "cannot be verified without the policy")
            return
        wrong = "its transaction's input holds no such claim: another contract has to hand it on as it is"
        for handed in submissions(self.told.inputs.get(made.event.tx_hash, b""), made):
            try:
                stated = _stated(handed, made, self.policy)
                self.groth16(self.policy.key, handed.proof, public_inputs(stated))
            except Failed as error:
                wrong = str(error)
            else:
                self.statements[made.id] = stated, handed.proof
                return
        self._require(PROOFS, False, made, wrong)

    def _require(self, check: str, holds: bool, made: Attestation, detail: str) -> bool:
        if not holds:
            self.wrong.setdefault(made.epoch, detail)
        return self.faults.require(check, holds, f"epoch {made.epoch}: {detail}")

    def _logs(self) -> str:
        return ", ".join(sorted({f"log 0x{made.log_id.hex()}" for made in self.attestations})) or "no log"


def submissions(content: bytes, made: Attestation) -> Iterator[Submission]:
    """Yield the claims in a transaction's input that an event can tell of: one of them is the one that succeeded."""
    bound = (_number(made.subject), made.epoch, _number(made.policy_id), _number(made.log_id), made.anchor_index)
    at, tries = content.find(ATTEST), 0
    for _ in range(MAX_PLACES):
        if at < 0 or tries == MAX_TRIES:
            return
        found = read_submission(content[at + 4 :])
        if found is not None and found.claim[:6] == (*bound, _number(made.commitment)):
            tries += 1
            yield found
        at = content.find(ATTEST, at + 1)


def read_submission(content: bytes) -> Submission | None:
    """Decode attest's arguments, None where they are cut off."""
    if len(content) < HEAD_WORDS * WORD:
        return None
    head = [_number(content[at : at + WORD]) for at in range(0, HEAD_WORDS * WORD, WORD)]
    prices, packed = _dynamic(content, head[8], WORD), _dynamic(content, head[9], 1)
    if prices is None or packed is None:
        return None
    listed = tuple(_number(prices[at : at + WORD]) for at in range(0, len(prices), WORD))
    return Submission(tuple(head[:8]), listed, packed, content[10 * WORD : HEAD_WORDS * WORD])


def _dynamic(content: bytes, at: int, size: int) -> bytes | None:
    if at + WORD > len(content):
        return None
    end = at + WORD + size * _number(content[at : at + WORD])
    return content[at + WORD : end] if end <= len(content) else None


def _stated(handed: Submission, made: Attestation, policy: VarPolicy) -> list[int]:
    """Return the nine values, rebuilt from policy, event and calldata."""
    matrix = _matrix(handed, policy, made)
    r, z = handed.challenges
    universe = int.from_bytes(policy.universe_id[:16], "big"), int.from_bytes(policy.universe_id[16:], "big")
    stated = [_number(made.id) % SCALAR_FIELD, _number(made.commitment), *universe, policy.limit, policy.es_limit]
    stated += [r, z, fold(matrix.prices, matrix.rows, r, z)]
    if any(value >= SCALAR_FIELD for value in stated):
        raise Failed("a value of the statement is above the field order")
    return stated


def _matrix(handed: Submission, policy: VarPolicy, made: Attestation) -> Market:
    matrix = market(policy.universe_id, made.epoch, list(handed.prices), handed.packed)
    if (len(matrix.prices), len(matrix.rows)) != (policy.instruments, policy.window):
        raise Failed("the returns have another size than the policy")
    if matrix.returns_id != made.returns_id:
        raise Failed("the returns in its transaction are not the published ones")
    return matrix


def key_in(answer: bytes) -> bytes:
    """Return the packed key in verifyingKey's answer."""
    return answer[64 : 64 + min(_number(answer[32:64]), KEY_BYTES)]


def pack_faults(claim: Mapping[str, object], made: Attestation, stated: Sequence[int], proof: bytes) -> list[str]:
    """Return the members of a pack's `var` that say something else than the chain."""
    told: dict[str, object] = {
        "previous": "0x" + made.previous.hex(),
        "anchor_index": made.anchor_index,
        "position_commitment": "0x" + made.commitment.hex(),
        "returns_id": "0x" + made.returns_id.hex(),
        "public_inputs": [f"0x{value:064x}" for value in stated],
        "proof": "0x" + proof.hex(),
        "tx_hash": made.event.tx_hash,
    }
    return [name for name, value in told.items() if claim.get(name) != value]


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
