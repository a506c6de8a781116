"""The lists in force: each replaced as a whole, in one transaction, with its version on record."""

import re
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import Conflict, Invalid, Unavailable
from backend.kit.db import Database
from backend.kit.queue import add_job
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import ListFormat, Screening, ScreeningList
from backend.screening import repository
from backend.screening.engine import lists_key
from backend.screening.models import ScreeningListRow
from backend.screening.types import ListUpdate, LoadedList

log = structlog.get_logger(__name__)

POLICY = "screening:1"
SWEEP_JOB = "screening.sweep"


class ScreeningLists:
    """Takes list files in and knows which are in force."""

    def __init__(
        self, database: Database, screening: Screening, journal: Journal, clock: Clock, max_age: timedelta
    ) -> None:
        self._database = database
        self._screening = screening
        self._journal = journal
        self._clock = clock
        self._max_age = max_age

    async def update(
        self, file: Path, form: ListFormat, *, name: str = "", force: bool = False, actor: str
    ) -> ListUpdate:
        """Put a list file in force and have everybody screened again; what was in force stays where it is refused.

        Conflict where the list has fewer than half the entries of the one before, unless forced.
        """
        if name and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,38}", name) is None:
            raise Invalid("a list's name has lower-case letters, digits and hyphens, 39 at most")
        taken = await self._screening.take_in(file, form)
        kept = ScreeningList(name or taken.name, form, taken.version, taken.entries)
        async with self._database.transaction() as session:
            return await self._put_in_force(session, kept, force=force, actor=actor)

    async def in_force(self, session: AsyncSession) -> tuple[ScreeningList, ...]:
        """Return the lists in force; Unavailable where there is none: nobody is clear then."""
        rows = await repository.lists(session)
        if not rows:
            raise Unavailable("no list is loaded: `refi compliance lists update --file FILE --kind KIND` takes one in")
        for row in rows:
            if self._stale(row):
                log.warning("screening.list_stale", list=row.name, loaded_at=row.loaded_at.isoformat())
        return tuple(ScreeningList(row.name, ListFormat(row.format), row.version, row.entries) for row in rows)

    async def key(self, session: AsyncSession) -> str:
        """Return the hash of the lists in force; Unavailable where there is none."""
        return lists_key(await self.in_force(session))

    async def loaded(self, session: AsyncSession) -> list[LoadedList]:
        """Return the lists in force with their age."""
        return [self._view(row) for row in await repository.lists(session)]

    async def _put_in_force(self, session: AsyncSession, new: ScreeningList, *, force: bool, actor: str) -> ListUpdate:
        row = await repository.list_by_name(session, new.name)
        before, entries_before = ("", 0) if row is None else (row.version, row.entries)
        now = self._clock.wall()
        if row is not None and before == new.version:
            # The same file again says that it is still the newest.
            row.loaded_at = now
            return ListUpdate(self._view(row), before, entries_before, "")
        if 2 * new.entries < entries_before and not force:
            raise Conflict(
                f"the list has {new.entries} entries, the one in force {entries_before}: "
                "is it the right file? --force takes it all the same"
            )
        if row is None:
            row = ScreeningListRow(name=new.name)
            session.add(row)
        row.format, row.version, row.entries, row.loaded_at = new.format.value, new.version, new.entries, now
        await session.flush()
        fields = {
            "list": new.name,
            "format": new.format.value,
            "list_version": new.version,
            "entries": new.entries,
            "list_version_before": before,
            "entries_before": entries_before,
            "forced": force,
        }
        await self._journal.record(
            session, SYSTEM_ACCOUNT, "screening.list_updated", fields, actor=actor, policy=POLICY
        )
        key = f"{SWEEP_JOB}:{new.version[:32]}:{now.timestamp():.6f}"
        job = await add_job(session, SWEEP_JOB, {}, key, None)
        return ListUpdate(self._view(row), before, entries_before, job)

    def _stale(self, row: ScreeningListRow) -> bool:
        return self._clock.wall() - row.loaded_at > self._max_age

    def _view(self, row: ScreeningListRow) -> LoadedList:
        return LoadedList(row.name, ListFormat(row.format), row.version, row.entries, row.loaded_at, self._stale(row))
