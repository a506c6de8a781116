"""Gives durable records their index and signs the tree that they make."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.audit.engine.checkpoints import require_signed
from backend.audit.engine.entries import entry_text
from backend.audit.engine.nodes import leaves_of
from backend.audit.repository import tree
from backend.audit.types import LogCheckpoint, LogState
from backend.kernel import merkle
from backend.kernel.canonical import time_string
from backend.kernel.errors import RefiError
from backend.kernel.signed_note import Checkpoint, VerifierKey, checkpoint_text, sign_note
from backend.kit.db import Database
from backend.ports.clock import Clock
from backend.ports.signer import Signer

log = structlog.get_logger(__name__)

BATCH = 1_000
# What a database or a signer that is away for a while raises: the next turn catches up.
FAULTS = (SQLAlchemyError, RefiError, OSError)


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
            state = await tree.lock_state(session)
            # A lease that ends later than any that is given now is from a clock that ran ahead.
            valid = time_string(now) < state.lease_until <= time_string(now + 2 * self._lease)
            if state.holder != self._name and valid:
                return False
            if state.holder != self._name or state.lease_until < time_string(now + self._lease / 2):
                await tree.save_state(session, holder=self._name, lease_until=time_string(now + self._lease))
        return True

    async def _resign(self) -> None:
        async with self._database.transaction() as session:
            if (await tree.lock_state(session)).holder == self._name:
                await tree.save_state(session, holder="", lease_until="")

    async def _integrate_batch(self, session: AsyncSession) -> int:
        state = await tree.lock_state(session)
        records = await tree.pending(session, self._batch)
        if records:
            # A log never signs what does not extend its last signature, whatever the database says.
            latest = await tree.latest_checkpoint(session)
            require_signed(self._key, latest, state.size, merkle.join(state.frontier))
            entries = [(record.record_id, entry_text(record.commitment, record.event)) for record in records]
            grown = await extend(session, state, entries)
            await tree.tell_records(session, state.size, [record.record_id for record in records])
            await self._sign(session, grown)
        return len(records)

    async def _sign(self, session: AsyncSession, state: LogState) -> None:
        root = merkle.join(state.frontier)
        text = checkpoint_text(Checkpoint(self._key.name, state.size, root))
        note = sign_note(text, self._key, self._signer.sign_note)
        signed_at = time_string(self._clock.wall())
        await tree.add_checkpoint(session, LogCheckpoint(state.size, root, note, signed_at))


async def extend(session: AsyncSession, state: LogState, entries: Sequence[tuple[int, str]]) -> LogState:
    """Write entries (record id, text) and the tree over them behind a locked state; return the state after them."""
    leaves = leaves_of(text for _, text in entries)
    grown = await tree.extend(session, state, entries, leaves)
    return replace(state, size=grown.size, frontier=grown.frontier)
