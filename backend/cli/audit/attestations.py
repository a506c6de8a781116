"""What the chain tells of a wallet's VaR attestations: read from every RPC as of one block, and compared."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backend.cli.verify import Trusted
from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.transparency.engine.attestations import (
    ANCHORED,
    ATTESTED,
    POLICY_DEFINED,
    PUBLISHED,
    Attestation,
    Event,
    Told,
)
from backend.transparency.engine.verifier import POLICY_BYTES, Failed, Rpc, Unreachable, selector, verifying_key, words

SECONDS = 30.0
# So many values of one topic an endpoint is asked for at once.
TOPICS = 200
# After a published epoch so many days are asked for, in case that an event is left out.
DAYS_AHEAD = 31
# A transaction is below 128 KiB on Ethereum's networks.
INPUT_BYTES = 256 << 10
WORD_BYTES = 32
HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")

Topic = bytes | list[bytes] | None


@dataclass(frozen=True, slots=True)
class Attestor:
    """The attestor that the user names, on the chain that they name."""

    address: str
    anchor: str
    chain_id: int

    @classmethod
    def of(cls, named: Trusted) -> "Attestor":
        """Return what is named; all of it is needed."""
        if named.contract is None or named.chain_id is None or named.attestor is None:
            raise Invalid("name --network, or --contract, --chain-id and --attestor")
        return cls(named.attestor.lower(), named.contract.lower(), named.chain_id)


class Chain:
    """Several RPCs that must tell the same, as of the newest block that all of them have."""

    def __init__(self, attestor: Attestor, urls: Sequence[str]) -> None:
        if not urls:
            raise Invalid("name a chain to ask: --rpc URL")
        self.attestor = attestor
        self._urls = tuple(urls)
        with _asking():
            self._rpcs = [Rpc(url, SECONDS) for url in urls]
            for rpc in self._rpcs:
                if rpc.quantity("eth_chainId") != attestor.chain_id:
                    raise Unavailable(f"{rpc.url} is on another chain")
            self.block = min(rpc.quantity("eth_blockNumber") for rpc in self._rpcs)

    def policies(self, subject: str) -> list[bytes]:
        """Return the policies that some RPC tells an attestation of the wallet under, or a latest one."""
        found: set[bytes] = set()
        for teller in self._tellers():
            found |= teller.policies(subject)
        return sorted(found)

    def told(self, subject: str, policy_id: bytes) -> Told:
        """Return what all RPCs tell alike; raise Conflict where they do not, or tell of another contract."""
        answers = [teller.told(subject, policy_id) for teller in self._tellers()]
        for url, answer in zip(self._urls, answers, strict=True):
            if answer != answers[0]:
                raise Conflict(f"{self._urls[0]} and {url} tell two things of the wallet")
        return answers[0]

    def _tellers(self) -> list["Teller"]:
        return [Teller(rpc, self.attestor, self.block) for rpc in self._rpcs]


@dataclass(frozen=True, slots=True)
class Teller:
    """One RPC as of one block."""

    rpc: Rpc
    attestor: Attestor
    block: int

    def policies(self, subject: str) -> set[bytes]:
        """Return the policies under which the wallet has attestations."""
        with _asking():
            attested = self._events(self.attestor.address, ATTESTED, [words(subject)], 4)
            defined = {event.topics[1] for event in self._events(self.attestor.address, POLICY_DEFINED, [], 2)}
            held = {policy for policy in defined if any(self._latest(subject, policy))}
            return held | {event.topics[3] for event in attested}

    def told(self, subject: str, policy_id: bytes) -> Told:
        """Return all that is needed to check the wallet's attestations under a policy."""
        with _asking():
            return self._told(subject, policy_id)

    def _told(self, subject: str, policy_id: bytes) -> Told:
        attestor = self.attestor.address
        if self._address(attestor, "ANCHOR()") != self.attestor.anchor:
            raise Failed(f"{attestor} attests to the anchors of another contract")
        policy = self._view(attestor, "policyOf(bytes32)", policy_id, least=POLICY_BYTES)[:POLICY_BYTES]
        verifier = "0x" + policy[44:64].hex()
        if not any(policy[44:64]):
            raise Failed("the attestor has no such policy")
        oracle, universe = self._address(attestor, "ORACLE()"), policy[:32]
        attested = self._events(attestor, ATTESTED, [words(subject), None, policy_id], 4)
        published = self._events(oracle, PUBLISHED, [universe], 4)
        made = [Attestation.of(event) for event in attested]
        anchors = {(one.log_id, one.anchor_index) for one in made}
        listed = {int.from_bytes(event.topics[2]) for event in published} | {one.epoch for one in made}
        epochs = sorted(listed | self._left_out(oracle, universe, listed, made))
        return Told(
            policy=policy,
            key=verifying_key(self.rpc, verifier, self.block),
            latest=self._latest(subject, policy_id),
            attested=attested,
            defined=self._events(attestor, POLICY_DEFINED, [policy_id], 2),
            published=published,
            anchored=self._anchored(anchors),
            at={epoch: self._at(subject, epoch, policy_id) for epoch in epochs},
            returns={epoch: self._view(oracle, "returnsIdOf(bytes32,uint64)", universe, epoch) for epoch in epochs},
            countersigned=frozenset(
                epoch for epoch in epochs if any(self._view(oracle, "isCountersigned(bytes32,uint64)", universe, epoch))
            ),
            anchors={place: self._view(self.attestor.anchor, "anchorAt(bytes32,uint256)", *place) for place in anchors},
            inputs={one.event.tx_hash: self._input(one.event.tx_hash) for one in made},
        )

    def _left_out(
        self, oracle: str, universe: bytes, listed: Collection[int], made: Collection[Attestation]
    ) -> set[int]:
        """Return the epochs since the first attested one that have returns without an event that tells them."""
        first = min((one.epoch for one in made), default=None)
        days = {day for epoch in listed if first is not None and epoch >= first for day in _days_after(epoch)}
        asked = sorted(days.difference(listed))
        return {day for day in asked if any(self._view(oracle, "returnsIdOf(bytes32,uint64)", universe, day))}

    def _anchored(self, anchors: Collection[tuple[bytes, int]]) -> tuple[Event, ...]:
        """Return the events of these anchors; a log has many more."""
        found: list[Event] = []
        for log_id in sorted({log for log, _ in anchors}):
            indices = sorted(index for log, index in anchors if log == log_id)
            for start in range(0, len(indices), TOPICS):
                some = [words(index) for index in indices[start : start + TOPICS]]
                found += self._events(self.attestor.anchor, ANCHORED, [log_id, some], 3)
        return tuple(found)

    def _latest(self, subject: str, policy_id: bytes) -> bytes:
        return self._view(self.attestor.address, "latestOf(address,bytes32)", subject, policy_id)

    def _at(self, subject: str, epoch: int, policy_id: bytes) -> bytes:
        return self._view(self.attestor.address, "attestationAt(address,uint64,bytes32)", subject, epoch, policy_id)

    def _view(self, to: str, signature: str, *arguments: int | str | bytes, least: int = 32) -> bytes:
        answer = self.rpc.read(to, selector(signature) + words(*arguments), least, self.block)
        return answer if least > 32 else answer[:32]

    def _address(self, of: str, signature: str) -> str:
        return "0x" + self._view(of, signature)[12:].hex()

    def _input(self, tx_hash: str) -> bytes:
        found = self.rpc.ask("eth_getTransactionByHash", tx_hash)
        content = _hex(found.get("input")) if isinstance(found, dict) else None
        if content is None:
            raise Failed(f"{self.rpc.url} has no transaction {tx_hash}")
        if len(content) > INPUT_BYTES:
            raise Failed(f"the input of {tx_hash} is larger than {INPUT_BYTES} bytes")
        return content

    def _events(self, address: str, name: bytes, topics: Sequence[Topic], count: int) -> tuple[Event, ...]:
        wanted = [_asked(topic) for topic in (name, *topics)]
        query = {"address": address, "topics": wanted, "fromBlock": "0x0", "toBlock": hex(self.block)}
        logs = self.rpc.ask("eth_getLogs", query)
        if not isinstance(logs, list):
            raise Failed(f"{self.rpc.url} answers eth_getLogs with no list")
        events = [self._event(log, address) for log in logs]
        for event in events:
            pairs = zip(event.topics, (name, *topics), strict=False)
            fits = all(
                topic is None or held in (topic if isinstance(topic, list) else [topic]) for held, topic in pairs
            )
            if not fits or len(event.topics) != count or event.block > self.block:
                raise Failed(f"{self.rpc.url} tells an event that was not asked for")
        return tuple(sorted(events, key=lambda event: event.at))

    def _event(self, log: Any, address: str) -> Event:
        if isinstance(log, Mapping) and str(log.get("address")).lower() == address:
            topics = log.get("topics")
            listed = [_hex(topic) for topic in topics] if isinstance(topics, list) else [None]
            data, tx_hash = _hex(log.get("data")), _hex(log.get("transactionHash"))
            block, place = _quantity(log.get("blockNumber")), _quantity(log.get("logIndex"))
            if data is not None and tx_hash is not None and block is not None and place is not None:
                held = tuple(topic for topic in listed if topic is not None)
                if len(held) == len(listed) and {len(word) for word in (*held, tx_hash)} == {WORD_BYTES}:
                    return Event(held, data, block, place, "0x" + tx_hash.hex())
        raise Failed(f"{self.rpc.url} tells an event of another form")


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except Unreachable as silence:
        raise Unavailable(str(silence)) from silence
    except Failed as wrong:
        raise Conflict(str(wrong)) from wrong


def _asked(topic: Topic) -> Any:
    if isinstance(topic, list):
        return [_asked(one) for one in topic]
    return topic and "0x" + topic.hex()


def _days_after(epoch: int) -> range:
    return range(epoch + 1, min(epoch + 1 + DAYS_AHEAD, 1 << 64))


def _hex(text: object) -> bytes | None:
    return bytes.fromhex(text[2:]) if isinstance(text, str) and HEX.fullmatch(text) else None


def _quantity(text: object) -> int | None:
    return int(text, 16) if isinstance(text, str) and QUANTITY.fullmatch(text) else None
