"""Sees on chain what a verdict may rest on, and moves the rules' version when any of it changes."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from backend.compliance.repository.rules import RulesSeen, lock_rules, rules_seen
from backend.kernel.errors import NotFound
from backend.kit.db import Database
from backend.ports.chain import Block, Chain, Log, Reverted
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal

log = structlog.get_logger(__name__)

POLICY = "compliance:1"
GATE, ENGINE = "OrderGate", "PolicyEngine"
# What policies and the engine read beside themselves, where the deployment has it.
REGISTRIES = (
    "IdentityRegistry",
    "CredentialRegistry",
    "TrustedIssuerRegistry",
    "ModelRegistry",
    "LimitSteward",
)
# A policy that looks at yet another contract of ours; its events count only where orders meet the policy.
BEHIND = {"VarAttestationPolicy": "VarAttestor"}
# What is written down when an order passes, volumes are settled or a model is put forward: no verdict rests on it. What
# leaves the window's sum of unsettled trades enters its sum of recorded ones.
BOOKKEEPING = frozenset({"PolicyRunComplete", "OrderSubmitted", "VolumeSettled", "VolumeRecorded", "ModelProposed"})
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Polled:
    """What a look at the chain found: the version in force, the head, and what changed ("Contract.Event")."""

    version: int
    head: Block
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The engine that guards orders (address), and the policies of a function's chain (addresses)."""

    engine: str
    policies: tuple[str, ...]


class RulesWatcher:
    """Looks at the chain again and again; any number may, and whoever comes late looks from where another left off."""

    def __init__(self, database: Database, chain: Chain, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._chain = chain
        self._journal = journal
        self._clock = clock
        self._watched: tuple[str, ...] = ()
        self._watched_for = -1

    async def poll(self) -> Polled:
        """Look at everything since the last look; what changed is durable, with the version, when this returns.

        Whatever the contracts' set itself went through since the last look shows in the logs of a contract that was in
        it all along, the gate or its engine: to read the set at the head is enough.
        """
        async with self._database.reading() as session:
            seen = await rules_seen(session)
        head = await self._chain.block()
        if self._watched_for != seen.version or not self._watched:
            self._watched, self._watched_for = await watched(self._chain, head), seen.version
        changes = await self._changes(seen, head)
        return await self._write(seen, head, changes)

    async def _changes(self, seen: RulesSeen, head: Block) -> tuple[str, ...]:
        if seen.seen_at is None:
            return ("first look",)
        if not await self._stands(seen, head):
            return ("reorganised",)
        logs = await self._chain.logs(self._watched, from_block=seen.block_number + 1, to_block=head.number)
        return tuple(dict.fromkeys(_name(entry) for entry in logs if _counts(entry)))

    async def _stands(self, seen: RulesSeen, head: Block) -> bool:
        """Tell whether the chain still holds the block that was seen last."""
        if head.number < seen.block_number:
            return False
        try:
            found = head if head.number == seen.block_number else await self._chain.block(seen.block_number)
        except NotFound:
            return False
        return found.hash == seen.block_hash

    async def _write(self, seen: RulesSeen, head: Block, changes: Sequence[str]) -> Polled:
        async with self._database.transaction() as session:
            row = await lock_rules(session)
            if (row.version, row.block_number, row.block_hash) != (seen.version, seen.block_number, seen.block_hash):
                # Another watcher was faster; what it has not seen is seen from where it stands.
                return Polled(row.version, head, ())
            row.version += bool(changes)
            row.block_number, row.block_hash, row.seen_at = head.number, head.hash, self._clock.wall()
            if changes:
                fields = {
                    "version": row.version,
                    "block_number": head.number,
                    "block_hash": head.hash,
                    "changes": ", ".join((*changes[:MOST_NAMED], *(["..."] if len(changes) > MOST_NAMED else []))),
                }
                await self._journal.record(
                    session, SYSTEM_ACCOUNT, "compliance.rules_changed", fields, actor=SYSTEM_ACCOUNT, policy=POLICY
                )
            polled = Polled(row.version, head, tuple(changes))
        if changes:
            log.info("compliance.rules_changed", version=polled.version, block=head.number, changes=polled.changes)
        return polled


async def watched(chain: Chain, head: Block) -> tuple[str, ...]:
    """Return the contracts, by name or address, whose logs tell of what a verdict on an order may rest on."""
    names = [GATE, *(name for name in REGISTRIES if _is_deployed(chain, name))]
    found = await order_rules(chain, "submitOrder", head)
    if found is not None:
        behind = [
            name for policy, name in BEHIND.items()
            if _is_deployed(chain, policy) and _is_deployed(chain, name) and chain.address(policy) in found.policies
        ]  # fmt: skip
        names += [f"{ENGINE}@{found.engine}", *found.policies, *behind]
    return tuple(names)


async def order_rules(chain: Chain, function: str, head: Block | None = None) -> Rules | None:
    """Return what guards a function of OrderGate; None where nothing does, and every call is refused."""
    at = None if head is None else head.number
    gate, selector = chain.address(GATE), selector_of(chain, function)
    try:
        engine = str(await chain.call(GATE, "getPolicyEngine", block=at)).lower()
        policies = await chain.call(f"{ENGINE}@{engine}", "getPolicies", gate, selector, block=at)
    except Reverted:
        return None
    return Rules(engine, tuple(str(policy).lower() for policy in policies))


def selector_of(chain: Chain, function: str) -> bytes:
    """Return the selector of one of OrderGate's protected functions."""
    gate = chain.address(GATE)
    arguments: dict[str, tuple[object, ...]] = {"submitOrder": (gate, bytes(32), 0, bytes(32)), "settleVolumes": ([],)}
    return chain.calldata(GATE, function, *arguments[function])[:4]


def _is_deployed(chain: Chain, name: str) -> bool:
    try:
        chain.address(name)
    except NotFound:
        return False
    return True


def _counts(entry: Log) -> bool:
    return entry.event not in BOOKKEEPING


def _name(entry: Log) -> str:
    return f"{entry.contract.partition('@')[0]}.{entry.event or 'undecoded'}"
