"""Puts what accounts have traded off chain on chain, where the rules over volumes count it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from backend.compliance.repository import volumes
from backend.compliance.repository.volumes import Volume
from backend.compliance.service.watching import GATE, order_rules
from backend.kernel.canonical import decimal_string
from backend.kernel.errors import NotFound
from backend.kernel.fixed import NOTIONAL_DECIMALS, from_units
from backend.kit.db import Database
from backend.ports.chain import Chain, Reverted
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.signer import KeyRole

log = structlog.get_logger(__name__)

POLICY = "compliance:1"
# A settlement costs some 40,000 gas: a hundred fit into a block beside others.
MOST_AT_ONCE = 100
LOST_RACES = 3
COUNTER = "SlidingVolumePolicy"


@dataclass(frozen=True, slots=True)
class Settled:
    """One transaction that settled accounts; added is what it added over all, USD x 1e6."""

    tx_hash: str
    block_number: int
    accounts: int
    added: int


@dataclass(frozen=True, slots=True)
class OnChain:
    """The newest settlement of an account that a reorganisation could still take back."""

    cumulative: int
    added: int
    tx_hash: str
    block_number: int


class SettlementService:
    """Settles; the chain says what is settled, the database only remembers what it said."""

    def __init__(self, database: Database, chain: Chain, journal: Journal) -> None:
        self._database = database
        self._chain = chain
        self._journal = journal
        self._one_at_a_time = asyncio.Lock()
        self._told = False

    async def settle(self) -> Sequence[Settled]:
        """Settle every account that has traded more than is settled on chain; return the transactions.

        Safe to repeat after a lost answer, beside another relay and after a reorganisation: nothing is sent that the
        chain holds, and never less than it holds.
        """
        async with self._one_at_a_time:
            if not await self._is_ruled():
                return ()
            final = await self._final()
            recent = await self._recent(final)
            await self._forget_what_was_dropped(final, recent)
            made: list[Settled] = []
            after, lost = "", 0
            while True:
                async with self._database.reading() as session:
                    page = await volumes.unsettled(session, MOST_AT_ONCE, after)
                if not page:
                    return made
                try:
                    made += await self._settle(page, recent)
                except Reverted as error:
                    # Another relay was faster, or the chain moved on since the gas was estimated: read it again.
                    lost += 1
                    if lost > LOST_RACES:
                        raise
                    log.info("volume.race_lost", reason=error.name)
                    recent = await self._recent(final)
                    continue
                after = page[-1].address

    async def settled_of(self, address: str) -> int:
        """Return what of an account's trades is settled on chain, USD x 1e6."""
        return int(await self._chain.call(GATE, "settledOf", address.lower()))

    async def _settle(self, page: Sequence[Volume], recent: Mapping[str, OnChain]) -> list[Settled]:
        held = await asyncio.gather(*(self.settled_of(volume.address) for volume in page))
        found = {volume.address: units for volume, units in zip(page, held, strict=True)}
        made = await self._write_what_stands(page, found, recent)
        missing = [volume for volume in page if volume.cumulative > found[volume.address]]
        if not missing:
            return made
        # Each account once and in ascending order, as the contract asks.
        pairs = sorted(((volume.address.lower(), volume.cumulative) for volume in missing), key=_by_number)
        receipt = await self._chain.send(KeyRole.ANCHORER, GATE, "settleVolumes", pairs)
        added = sum(volume.cumulative - found[volume.address] for volume in missing)
        settled = Settled(receipt.tx_hash, receipt.block_number, len(missing), added)
        addresses = [volume.address for volume in missing]
        await self._write(
            {volume.address: volume.cumulative for volume in missing},
            dict.fromkeys(addresses, settled.block_number),
            [settled],
        )
        return [*made, settled]

    async def _write_what_stands(
        self, page: Sequence[Volume], found: Mapping[str, int], recent: Mapping[str, OnChain]
    ) -> list[Settled]:
        """Write down what the chain holds without our knowing: an answer was lost, or another relay was faster."""
        grown = {volume.address: found[volume.address] for volume in page if found[volume.address] > volume.settled}
        ahead = [volume for volume in page if found[volume.address] > volume.cumulative]
        if ahead:
            log.error("volume.ahead", accounts=len(ahead), hint="the database is older than the chain")
        if not grown:
            return []
        transactions: dict[str, list[OnChain]] = {}
        for address, units in grown.items():
            event = recent.get(address.lower())
            if event is not None and event.cumulative == units:
                transactions.setdefault(event.tx_hash, []).append(event)
        made = [
            Settled(tx_hash, events[0].block_number, len(events), sum(event.added for event in events))
            for tx_hash, events in transactions.items()
        ]
        blocks = {address: recent[address.lower()].block_number for address in grown if address.lower() in recent}
        await self._write(grown, blocks, made)
        return made

    async def _forget_what_was_dropped(self, final: int, recent: Mapping[str, OnChain]) -> None:
        """Take settlements back that a reorganised chain lost: they are sent again as if they had never been."""
        async with self._database.reading() as session:
            # Those that became final since the last look too: they may have been dropped before, unseen. Once read,
            # they are settled since "long ago" and not asked about again.
            kept = await volumes.settled_after(session, min(final, 0))
        doubtful = [volume for volume, block in kept if not _is_shown(volume, block, recent)]
        for volume in doubtful:
            event = recent.get(volume.address.lower())
            held = await self.settled_of(volume.address)
            if held < volume.settled:
                log.warning("volume.settlement_dropped", settled=volume.settled, held=held)
            await self._write({volume.address: held}, {volume.address: event.block_number if event else 0})

    async def _write(self, units: Mapping[str, int], blocks: Mapping[str, int], made: Sequence[Settled] = ()) -> None:
        async with self._database.transaction() as session:
            for address, settled in sorted(units.items()):
                await volumes.set_settled(session, address, settled, blocks.get(address, 0))
            for one in made:
                fields = {
                    "tx_hash": one.tx_hash,
                    "block_number": one.block_number,
                    "accounts": one.accounts,
                    "added": decimal_string(from_units(one.added, NOTIONAL_DECIMALS)),
                }
                await self._journal.record(
                    session, SYSTEM_ACCOUNT, "volume.settled", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
                )

    async def _is_ruled(self) -> bool:
        """Tell whether rules on chain count what is settled; say once where none do."""
        try:
            self._chain.address(COUNTER)
            rules = await order_rules(self._chain, "settleVolumes")
        except NotFound:
            rules = None
        ruled = rules is not None and bool(rules.policies)
        if not ruled and not self._told:
            log.info("volume.not_settled", hint="no rules of this deployment count volumes")
        self._told = not ruled
        return ruled

    async def _final(self) -> int:
        try:
            return (await self._chain.block("finalized")).number
        except NotFound:
            return -1

    async def _recent(self, final: int) -> Mapping[str, OnChain]:
        events = await self._chain.events(GATE, "VolumeSettled", from_block=final + 1)
        return {
            str(event["account"]).lower(): OnChain(
                int(event["cumulative"]), int(event["added"]), str(event["tx_hash"]), int(event["block_number"])
            )
            for event in events
        }


def _is_shown(volume: Volume, block: int, recent: Mapping[str, OnChain]) -> bool:
    event = recent.get(volume.address.lower())
    return event is not None and (event.cumulative, event.block_number) == (volume.settled, block)


def _by_number(pair: tuple[str, int]) -> int:
    return int(pair[0], 16)
