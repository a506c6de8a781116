"""The journal that takes records, the sequencer that gives them their index, and the reader that proves them."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit import repository
from backend.audit.engine.checkpoints import require_signed
from backend.audit.engine.entries import entry_text
from backend.audit.engine.nodes import position
from backend.audit.engine.tiles import MAX_TILE_LEVEL, TILE_HEIGHT, TileAddress, entry_bundle
from backend.audit.types import Head, LogCheckpoint, LogState, StoredRecord
from backend.kernel import merkle
from backend.kernel.canonical import JsonValue, canonical_json, decode_bytes, encode_bytes, time_string
from backend.kernel.clock import epoch_of
from backend.kernel.commitment import commit
from backend.kernel.errors import Invalid, NotFound, RefiError, Tampered
from backend.kernel.heads import AccountHead
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Recorded
from backend.ports.signer import Signer

log = structlog.get_logger(__name__)

BATCH = 1_000
# What a database or a signer that is away for a while raises: the next turn catches up.
FAULTS = (SQLAlchemyError, RefiError, OSError)
ACCOUNT_BYTES = 32
OWN_FIELDS = frozenset({"event", "account", "seq", "prev", "ts_event", "ts_recorded", "clock", "actor", "policy"})


class AuditJournal:
    """Fixes a record in the caller's transaction: durable means acknowledged."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def record(
        self,
        session: AsyncSession,
        account: str,
        event: str,
        fields: Mapping[str, JsonValue],
        *,
        actor: str,
        policy: str,
        ts_event: datetime | None = None,
    ) -> Recorded:
        """Add a record to the account's chain and return its place and commitment."""
        if taken := OWN_FIELDS & fields.keys():
            raise Invalid(f"the journal itself writes {', '.join(sorted(taken))}")
        if account == SYSTEM_ACCOUNT:
            account = await repository.system_account(session)
        decode_bytes(account, ACCOUNT_BYTES)
        head = await repository.lock_head(session, account)
        happened = ts_event or self._clock.business()
        # A clock that was set back must not turn the account's history round.
        recorded = max(time_string(self._clock.wall()), head.ts_recorded)
        whole: dict[str, JsonValue] = {
            **fields,
            "event": event,
            "account": account,
            "seq": head.seq + 1,
            "prev": encode_bytes(head.commitment),
            "ts_event": time_string(happened),
            "ts_recorded": recorded,
            "clock": self._clock.source(),
            "actor": actor,
            "policy": policy,
        }
        salt = secrets.token_bytes(32)
        commitment = commit(whole, salt)
        entry_text(commitment, event)
        record_id = await repository.append(
            session,
            Head(account, head.seq + 1, commitment, recorded),
            {
                "account": account,
                "seq": head.seq + 1,
                "event": event,
                "commitment": commitment,
                "prev": head.commitment,
                "salt": salt,
                "fields": canonical_json(whole).decode(),
                "ts_recorded": recorded,
                "epoch": epoch_of(happened),
            },
        )
        return Recorded(record_id, account, head.seq + 1, commitment)

    async def system_account(self, session: AsyncSession) -> str:
        """Return the pseudonym behind SYSTEM_ACCOUNT."""
        return await repository.system_account(session)


class Sequencer:
    """Gives durable records their index and signs the tree that they make; one is elected, any may take over.

    The election only saves work: the state row's lock and the tables' keys keep an index from being given twice.
    """

    def __init__(
        self,
        database: Database,
        signer: Signer,
        clock: Clock,
        origin: str,
        *,
        interval: timedelta = timedelta(seconds=1),
        lease: timedelta = timedelta(seconds=5),
        batch: int = BATCH,
    ) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock
        self._key = VerifierKey(origin, signer.log_public_key())
        self._interval = interval
        self._lease = lease
        self._batch = batch
        self._name = secrets.token_hex(16)

    async def integrate(self) -> int:
        """Bring every durable record into the log and return how many there were."""
        total = 0
        while True:
            async with self._database.transaction() as session:
                done = await self._integrate_batch(session)
            total += done
            if done < self._batch:
                return total

    async def run(self, stop: asyncio.Event) -> None:
        """Integrate once an interval while elected, until told to stop."""
        while not stop.is_set():
            try:
                if await self._is_elected():
                    await self.integrate()
            except FAULTS as error:
                log.warning("audit.sequencer_failed", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval.total_seconds()):
                    await stop.wait()
        with suppress(*FAULTS):
            await self._resign()

    async def _is_elected(self) -> bool:
        now = self._clock.wall()
        async with self._database.transaction() as session:
            state = await repository.lock_state(session)
            if state.holder != self._name and state.lease_until > time_string(now):
                return False
            if state.holder != self._name or state.lease_until < time_string(now + self._lease / 2):
                await repository.save_state(session, holder=self._name, lease_until=time_string(now + self._lease))
        return True

    async def _resign(self) -> None:
        async with self._database.transaction() as session:
            if (await repository.lock_state(session)).holder == self._name:
                await repository.save_state(session, holder="", lease_until="")

    async def _integrate_batch(self, session: AsyncSession) -> int:
        state = await repository.lock_state(session)
        records = await repository.pending(session, self._batch)
        if records:
            # A log never signs what does not extend its last signature, whatever the database says.
            latest = await repository.latest_checkpoint(session)
            require_signed(self._key, latest, state.size, merkle.join(state.frontier))
            entries = [(record.record_id, entry_text(record.commitment, record.event)) for record in records]
            await repository.add_entries(session, state.size, entries)
            await self._extend(session, state, [merkle.leaf_hash(text.encode()) for _, text in entries])
        return len(records)

    async def _extend(self, session: AsyncSession, state: LogState, leaves: Sequence[bytes]) -> None:
        frontier, completed = merkle.grow(state.size, state.frontier, leaves)
        await repository.add_nodes(session, [(position(level, index), digest) for level, index, digest in completed])
        size, root = state.size + len(leaves), merkle.join(frontier)
        note = sign_note(checkpoint_text(Checkpoint(self._key.name, size, root)), self._key, self._signer.sign_note)
        await repository.add_checkpoint(session, LogCheckpoint(size, root, note, time_string(self._clock.wall())))
        await repository.save_state(session, size=size, frontier=b"".join(frontier))


class LogReader:
    """Reads the log and proves what is in it, from stored nodes only."""

    async def latest(self, session: AsyncSession) -> LogCheckpoint | None:
        """Return the checkpoint over the whole log, nothing while the log is empty."""
        return await repository.latest_checkpoint(session)

    async def checkpoint(self, session: AsyncSession, size: int | None = None) -> LogCheckpoint:
        """Return the latest checkpoint, or the one that was signed at a size."""
        found = await (
            repository.latest_checkpoint(session) if size is None else repository.checkpoint_of(session, size)
        )
        if found is None:
            raise NotFound("the log has no such checkpoint")
        return found

    async def entry(self, session: AsyncSession, index: int) -> str:
        """Return an entry's exact text."""
        found = await repository.entries_between(session, index, index + 1)
        if not found:
            raise NotFound(f"the log has no entry {index}")
        return found[0]

    async def entries_at(self, session: AsyncSession, indices: Sequence[int]) -> list[str]:
        """Return the exact texts of several entries, in the order asked for."""
        found = await repository.entries_at(session, indices)
        if missing := [index for index in indices if index not in found]:
            raise NotFound(f"the log has no entry {missing[0]}")
        return [found[index] for index in indices]

    async def tile(self, session: AsyncSession, level: int, address: TileAddress) -> bytes:
        """Return the hashes of a tile."""
        if not 0 <= level <= MAX_TILE_LEVEL:
            raise NotFound(f"the log has no tiles on level {level}")
        size = (await self.checkpoint(session)).size >> (TILE_HEIGHT * level)
        if address.end > size:
            raise NotFound("the log has no such tile yet")
        positions = [position(TILE_HEIGHT * level, at) for at in range(address.start, address.end)]
        nodes = await repository.nodes_at(session, positions)
        return b"".join(_stored(nodes, at) for at in positions)

    async def entry_bundle(self, session: AsyncSession, address: TileAddress) -> bytes:
        """Return the entries under a tile of level 0."""
        if address.end > (await self.checkpoint(session)).size:
            raise NotFound("the log has no such entry bundle yet")
        entries = await repository.entries_between(session, address.start, address.end)
        return entry_bundle(entries)

    async def root(self, session: AsyncSession, size: int) -> bytes:
        """Return the root over the first `size` entries."""
        await self._require_size(session, size)
        return (await self._joined(session, [merkle.subtrees(0, size)]))[0]

    async def inclusion(self, session: AsyncSession, index: int, size: int) -> list[bytes]:
        """Return the path of an entry in the tree of a size."""
        return (await self.inclusions(session, [index], size))[0]

    async def inclusions(self, session: AsyncSession, indices: Sequence[int], size: int) -> list[list[bytes]]:
        """Return the paths of several entries in the tree of a size."""
        await self._require_size(session, size)
        if not all(0 <= index < size for index in indices):
            raise NotFound(f"a tree of {size} entries has no such index")
        groups = [merkle.inclusion_nodes(index, size) for index in indices]
        joined = iter(await self._joined(session, [nodes for group in groups for nodes in group]))
        return [[next(joined) for _ in group] for group in groups]

    async def consistency(self, session: AsyncSession, first: int, second: int) -> list[bytes]:
        """Return the proof that the tree of size `second` extends the one of size `first`."""
        await self._require_size(session, second)
        if not 0 <= first <= second:
            raise Invalid("a tree only extends a smaller one")
        return await self._joined(session, merkle.consistency_nodes(first, second))

    async def record(self, session: AsyncSession, index: int) -> StoredRecord:
        """Return the record behind an entry, with everything that is private about it."""
        found = await repository.record_at(session, index)
        if found is None:
            raise NotFound(f"the log has no entry {index}")
        return found

    async def chain(self, session: AsyncSession, account: str, first_seq: int, size: int) -> list[StoredRecord]:
        """Return an account's records from a seq on, among the first `size` entries."""
        return await repository.chain_of(session, account, first_seq, size)

    async def heads(self, session: AsyncSession, size: int) -> list[AccountHead]:
        """Return the head of every account that has a record among the first `size` entries."""
        await self._require_size(session, size)
        found = await repository.heads_at(session, size)
        return [AccountHead(decode_bytes(account, ACCOUNT_BYTES), seq, head) for account, seq, head in found]

    async def pending(self, session: AsyncSession) -> int:
        """Return how many durable records wait for their index."""
        return await repository.count_pending(session)

    async def _require_size(self, session: AsyncSession, size: int) -> None:
        latest = await self.latest(session)
        if not 0 <= size <= (latest.size if latest else 0):
            raise NotFound(f"the log never had {size} entries")

    async def _joined(self, session: AsyncSession, groups: Sequence[Sequence[merkle.Node]]) -> list[bytes]:
        places = [[position(level, index) for level, index in group] for group in groups]
        nodes = await repository.nodes_at(session, [place for group in places for place in group])
        return [merkle.join([_stored(nodes, place) for place in group]) for group in places]


def _stored(nodes: Mapping[int, bytes], place: int) -> bytes:
    if place not in nodes:
        raise Tampered("the log's tree has a hole", position=place)
    return nodes[place]
