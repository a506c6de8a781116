"""Brings a transaction onto the chain, whatever happens to it on the way.

A nonce is used once, so of all transactions signed for one at most one is ever mined. That makes every step here safe
to repeat: the same one is handed in again when the pool lost it, it is replaced by a dearer one when it is stuck, it
gets a new nonce when another process was faster with this one, and what a dead process left behind is taken up or
pushed through.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.types import TxParams, TxReceipt

from backend.adapters.chain.node import Node
from backend.kernel.errors import Unavailable
from backend.ports.signer import KeyRole, Signer

log = structlog.get_logger(__name__)

# A word that stands when gas is estimated may be a new one in the block that mines: a settlement that adds to a volume
# of the same second costs 60 % less than one that opens the next. What is not used is not paid.
GAS_MARGIN_PERCENT = 100
TRANSFER_GAS = 21_000
POLL_SECONDS = 0.1
SLOWEST_POLL_SECONDS = 1.0
# After this long the same call is a new wish, not the old one asked for again.
RESUMED_WITHIN_SECONDS = 120.0
DISPLACED_AFTER = 3
ATTEMPTS = 24
LOOK_AHEAD = 16

# The words of geth, anvil, reth, erigon and nethermind for one and the same refusal.
KNOWN = ("already known", "already imported", "alreadyknown", "already in mempool", "known transaction")
USED = ("nonce too low", "nonce is too low", "nonce already used", "oldnonce", "lower than the current nonce")
CHEAP = (
    "underpriced", "less than block base fee", "could not replace", "replacementnotallowed", "too low to compete",
    "feetoolow", "fee too low", "max fee per gas less than", "fee cap less than",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Submission:
    """How hard a transaction is pushed: when it counts as stuck, when to give up, and the dearest fee (wei a gas)."""

    patience: timedelta = timedelta(seconds=6)
    deadline: timedelta = timedelta(seconds=30)
    max_fee: int = 500 * 10**9


@dataclass(slots=True)
class Sent:
    """A nonce of ours with every transaction that was signed for it."""

    role: KeyRole
    call: TxParams
    sender: str
    nonce: int
    gas: int
    tip: int
    fee: int
    hashes: list[HexBytes] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    touched: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> tuple[str, str, bytes]:
        """What makes two calls the same one."""
        return _key(self.call)


class Submitter:
    """Signs, hands in, follows and replaces; one nonce sequence an address."""

    def __init__(self, node: Node, signer: Signer, terms: Submission) -> None:
        self._node = node
        self._signer = signer
        self._terms = terms
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._in_flight: defaultdict[str, set[int]] = defaultdict(set)
        self._given_up: dict[tuple[str, str, bytes], Sent] = {}
        self._heads: dict[str, tuple[int, float]] = {}

    async def submit(self, role: KeyRole, call: TxParams, chain_id: int) -> TxReceipt:
        """Return the receipt of a call once it is mined, failed or not.

        Raises Reverted when the contract would refuse it, Unavailable when it is not mined by the deadline: the same
        call is then taken up where it was left.
        """
        call = {**call, "chainId": chain_id}
        deadline = time.monotonic() + self._terms.deadline.total_seconds()
        while True:
            sent = await self._begin(role, call)
            try:
                receipt = await self._until_mined(sent, deadline)
            except BaseException:
                self._give_up(sent)
                raise
            finally:
                self._in_flight[sent.sender].discard(sent.nonce)
            if receipt is not None:
                return receipt
            log.warning("transaction.displaced", sender=sent.sender, nonce=sent.nonce)

    async def _begin(self, role: KeyRole, call: TxParams) -> Sent:
        sender = str(call["from"])
        async with self._locks[sender]:
            sent = self._resumed(call) or await self._left_behind(role, call)
            if sent is None:
                sent = await self._first(role, call)
            self._in_flight[sender].add(sent.nonce)
        return sent

    def _resumed(self, call: TxParams) -> Sent | None:
        now = time.monotonic()
        self._given_up = {
            key: sent for key, sent in self._given_up.items() if now - sent.touched < RESUMED_WITHIN_SECONDS
        }
        return self._given_up.pop(_key(call), None)

    async def _left_behind(self, role: KeyRole, call: TxParams) -> Sent | None:
        sender = str(call["from"])
        mined, pending = await self._node.nonce(sender), await self._node.nonce(sender, pending=True)
        for nonce in range(mined, min(pending, mined + LOOK_AHEAD)):
            found = None if nonce in self._in_flight[sender] else await self._node.waiting(sender, nonce)
            if found is not None and _key({**found, "from": call["from"]}) == _key(call):
                log.info("transaction.resumed", sender=sender, nonce=nonce)
                return self._of(role, call, nonce, found)
        return None

    async def _first(self, role: KeyRole, call: TxParams) -> Sent:
        sender = str(call["from"])
        gas = await self._node.estimate_gas(call) * (100 + GAS_MARGIN_PERCENT) // 100
        for _ in range(ATTEMPTS):
            # Behind what of ours is on its way: a node may be slow to count it.
            pending = await self._node.nonce(sender, pending=True)
            nonce = max([pending, *(taken + 1 for taken in self._in_flight[sender])])
            base, tip = await self._node.fees()
            sent = Sent(role, call, sender, nonce, gas, *self._bounded(tip, 2 * base + tip, base))
            if await self._hand_in(sent):
                return sent
        raise Unavailable("no transaction was accepted: its nonce was always taken")

    async def _hand_in(self, sent: Sent) -> bool:
        """Hand the transaction in as it is priced; tell whether the pool has it now."""
        raw = self._signer.sign_transaction(sent.role, _signable(sent))
        tx_hash = HexBytes(keccak(raw))
        try:
            await self._node.broadcast(raw)
        except Unavailable as refused:
            if _says(refused, KNOWN):
                pass
            elif _says(refused, USED + CHEAP):
                return False
            else:
                # It may have arrived although the answer did not.
                _remember(sent, tx_hash)
                self._give_up(sent)
                raise
        _remember(sent, tx_hash)
        return True

    async def _until_mined(self, sent: Sent, deadline: float) -> TxReceipt | None:
        missed, poll = 0, POLL_SECONDS
        while True:
            mined = await self._node.nonce(sent.sender)
            for tx_hash in reversed(sent.hashes):
                receipt = await self._node.receipt(tx_hash)
                if receipt is not None:
                    return receipt
            if mined > sent.nonce:
                # Its nonce is used and not by us; asked again, for nodes that count sooner than they find.
                missed += 1
                if missed >= DISPLACED_AFTER:
                    return None
            else:
                missed = 0
                await self._push(sent, mined)
            if time.monotonic() > deadline:
                raise Unavailable(f"transaction {sent.hashes[-1].to_0x_hex()} is not mined yet")
            await asyncio.sleep(poll)
            poll = min(1.2 * poll, SLOWEST_POLL_SECONDS)

    async def _push(self, sent: Sent, mined: int) -> None:
        async with self._locks[sent.sender]:
            if not await self._node.knows(sent.hashes[-1]):
                await self._recover(sent)
            elif mined == sent.nonce and self._is_stuck(sent.since):
                await self._replace(sent)
            elif mined < sent.nonce and mined not in self._in_flight[sent.sender]:
                await self._unblock(sent, mined)

    async def _recover(self, sent: Sent) -> None:
        """Hand in again what the pool lost; never outbid at once what another process put in its place."""
        found = await self._node.waiting(sent.sender, sent.nonce)
        if found is None:
            log.info("transaction.sent_again", tx_hash=sent.hashes[-1].to_0x_hex(), nonce=sent.nonce)
            if not await self._hand_in(sent) and self._is_stuck(sent.since):
                await self._replace(sent)
        elif _key({**found, "from": sent.call["from"]}) == sent.key:
            sent.tip, sent.fee = int(found["maxPriorityFeePerGas"]), int(found["maxFeePerGas"])
            _remember(sent, HexBytes(_any(found)["hash"]))
            sent.since = time.monotonic()
        else:
            await self._unblock(sent, sent.nonce)

    async def _replace(self, sent: Sent) -> None:
        sent.since = time.monotonic()
        for _ in range(ATTEMPTS):
            base, tip = await self._node.fees()
            dearer = self._bounded(max(tip, _dearer(sent.tip)), max(2 * base + tip, _dearer(sent.fee)), base)
            if dearer[1] < _dearer(sent.fee):
                log.warning("transaction.fee_bound", nonce=sent.nonce, fee=sent.fee, bound=self._terms.max_fee)
                return
            sent.tip, sent.fee = dearer
            if await self._hand_in(sent):
                log.info("transaction.replaced", tx_hash=sent.hashes[-1].to_0x_hex(), nonce=sent.nonce, fee=sent.fee)
                return
            if await self._node.nonce(sent.sender) > sent.nonce:
                return

    async def _unblock(self, behind: Sent, nonce: int) -> None:
        """Push the transaction of another, perhaps dead, process that holds ours up; fill a hole."""
        seen, since = self._heads.get(behind.sender, (-1, 0.0))
        if seen == nonce and not self._is_stuck(since):
            return
        self._heads[behind.sender] = (nonce, time.monotonic())
        if seen != nonce:
            return
        found = await self._node.waiting(behind.sender, nonce)
        if found is not None:
            head = self._of(behind.role, {**found, "from": behind.call["from"]}, nonce, found)
        else:
            base, tip = await self._node.fees()
            own = to_checksum_address(behind.sender)
            nothing: TxParams = {"from": own, "to": own, "data": HexBytes(b"")}
            fees = self._bounded(tip, 2 * base + tip, base)
            head = Sent(behind.role, nothing, behind.sender, nonce, TRANSFER_GAS, *fees)
        head.call = {**head.call, "chainId": behind.call["chainId"]}
        log.info("transaction.unblocked", sender=head.sender, nonce=nonce, known=found is not None)
        if found is not None or not await self._hand_in(head):
            await self._replace(head)

    def _of(self, role: KeyRole, call: TxParams, nonce: int, found: TxParams) -> Sent:
        fees = int(found["maxPriorityFeePerGas"]), int(found["maxFeePerGas"])
        sent = Sent(role, call, str(call["from"]), nonce, int(found["gas"]), *fees)
        sent.hashes.append(HexBytes(_any(found)["hash"]))
        return sent

    def _give_up(self, sent: Sent) -> None:
        sent.touched = time.monotonic()
        self._given_up[sent.key] = sent

    def _is_stuck(self, since: float) -> bool:
        return time.monotonic() - since > self._terms.patience.total_seconds()

    def _bounded(self, tip: int, fee: int, base: int) -> tuple[int, int]:
        if base > self._terms.max_fee:
            raise Unavailable(f"the base fee {base} is above the bound {self._terms.max_fee}")
        fee = min(fee, self._terms.max_fee)
        return min(tip, fee), fee


def _dearer(price: int) -> int:
    # One eighth more: nodes ask for a tenth (geth) of each price.
    return price + -(-price // 8) + 1


def _remember(sent: Sent, tx_hash: HexBytes) -> None:
    # The last is the one that waits.
    sent.hashes = [*(known for known in sent.hashes if known != tx_hash), tx_hash]


def _signable(sent: Sent) -> dict[str, Any]:
    return {
        "to": sent.call["to"],
        "data": sent.call["data"],
        "value": sent.call.get("value", 0),
        "nonce": sent.nonce,
        "gas": sent.gas,
        "maxPriorityFeePerGas": sent.tip,
        "maxFeePerGas": sent.fee,
        "chainId": sent.call["chainId"],
    }


def _key(call: TxParams) -> tuple[str, str, bytes]:
    return str(call["from"]).lower(), str(call["to"]).lower(), bytes(HexBytes(call["data"]))


def _says(refused: Unavailable, words: tuple[str, ...]) -> bool:
    return any(word in refused.detail.lower() for word in words)


def _any(value: Any) -> Any:
    return value
