"""One screening: what the lists say, what a person has already said to it, and what is new."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.errors import Conflict
from backend.kit.db import Database
from backend.kit.queue import add_job
from backend.ports.clock import Clock
from backend.ports.journal import SYSTEM_ACCOUNT, Journal
from backend.ports.screening import (
    HitKind,
    Outcome,
    Screening,
    ScreeningHit,
    ScreeningList,
    ScreeningResult,
    ScreeningSubject,
    SubjectKind,
)
from backend.screening import repository
from backend.screening.engine import Fingerprints, Judged, lists_key, outcome_of
from backend.screening.models import ScreeningHitRow, ScreeningRecord
from backend.screening.service.lists import POLICY, ScreeningLists
from backend.screening.types import HitState, KnownSubject

SETTLE_JOB = "screening.settle"
TRIES = 3
STANDING = {HitState.OPEN, HitState.CONFIRMED}
# The subject as it is, and the entry as it is.
Key = tuple[str, str, str, str]


class ScreeningService:
    """Screens subjects against the lists in force and keeps what was found under their reference."""

    def __init__(
        self,
        database: Database,
        screening: Screening,
        lists: ScreeningLists,
        journal: Journal,
        clock: Clock,
        fingerprints: Fingerprints,
    ) -> None:
        self._database = database
        self._screening = screening
        self._lists = lists
        self._journal = journal
        self._clock = clock
        self._fingerprints = fingerprints

    async def screen(
        self, reference: str, subject: ScreeningSubject, *, actor: str = SYSTEM_ACCOUNT
    ) -> ScreeningResult:
        """Return what the lists and the reviewers say of a subject; Unavailable where no list is loaded.

        The reference names a case or an account and says nothing of who it is. Asks in transactions of its own.
        """
        return (await self.screen_all([KnownSubject(reference, subject)], actor=actor))[0]

    async def screen_all(
        self, known: Sequence[KnownSubject], *, actor: str = SYSTEM_ACCOUNT
    ) -> Sequence[ScreeningResult]:
        """Screen several, all against the same versions of the lists; Conflict where these change all the time."""
        for _ in range(TRIES):
            async with self._database.reading() as session:
                lists = await self._lists.in_force(session)
            # The lists are searched outside of any transaction: that takes long.
            results = await self._screening.screen([one.subject for one in known], lists)
            async with self._database.transaction() as session:
                # What older lists say must not stand over what newer ones said meanwhile.
                if await self._lists.key(session) == lists_key(lists):
                    pairs = zip(known, results, strict=True)
                    return [await self._keep(session, one, result, actor) for one, result in pairs]
        raise Conflict("the lists change while they are searched; try again")

    async def peek(self, subject: ScreeningSubject) -> ScreeningResult:
        """Return what the lists say of somebody, and keep nothing."""
        async with self._database.reading() as session:
            lists = await self._lists.in_force(session)
        return (await self._screening.screen([subject], lists))[0]

    async def names(self, wallet: str) -> bool:
        """Return whether a list in force names a wallet as sanctioned; where none is in force none does."""
        async with self._database.reading() as session:
            if not await self._lists.loaded(session):
                return False
        found = await self.peek(ScreeningSubject(SubjectKind.PERSON, (), wallets=(wallet,)))
        return found.decided is Outcome.BLOCKED

    async def lists_key(self) -> str:
        """Return the hash of the lists in force; Unavailable where there is none."""
        async with self._database.reading() as session:
            return await self._lists.key(session)

    async def _keep(
        self, session: AsyncSession, known: KnownSubject, result: ScreeningResult, actor: str
    ) -> ScreeningResult:
        fingerprint, *older = self._fingerprints.of(known.reference, known.subject)
        row = await self._row(session, known)
        before = _recognised(await repository.hits_of(session, known.reference), fingerprint, older)
        found = {(fingerprint, hit.list_name, hit.entry_id, hit.content_sha256): hit for hit in result.hits}
        for key, new in found.items():
            old = before.get(key)
            if old is None:
                before[key] = await self._open(session, known.reference, fingerprint, new, actor)
            elif old.state == HitState.LAPSED.value:
                old.state = HitState.OPEN.value
        waiting = {entry_of(before[key]) for key in found if before[key].state == HitState.OPEN.value}
        for key, hit in before.items():
            if key in found or HitState(hit.state) not in STANDING:
                continue
            # Entry or subject changed, and nobody has looked yet: what was confirmed blocks until somebody has.
            if hit.state != HitState.CONFIRMED.value or entry_of(hit) not in waiting:
                hit.state = HitState.LAPSED.value
        outcome = outcome_of(judged(hit for key, hit in before.items() if key in found or still_confirmed(hit)))
        was = row.outcome
        row.outcome, row.lists_key = outcome.value, lists_key(result.lists)
        row.wallets = sorted({*(wallet.lower() for wallet in known.subject.wallets)})
        row.screened_at = self._clock.wall()
        if was != outcome.value:
            await self._record(session, known.reference, outcome, result.lists, len(found), actor)
            await settle_later(session, known.reference, {was, outcome.value}, row)
        await session.flush()
        left = [hit for key, hit in found.items() if before[key].state != HitState.CLEARED.value]
        return replace(result, hits=tuple(left), decided=outcome)

    async def _row(self, session: AsyncSession, known: KnownSubject) -> ScreeningRecord:
        fresh = {
            "reference": known.reference,
            "outcome": "",
            "lists_key": "",
            "wallets": [],
            "listed": [],
            "unsettled": False,
            "screened_at": self._clock.wall(),
        }
        row = await repository.add_record(session, fresh)
        if row is None:
            raise Conflict("the subject is being forgotten; try again")
        return row

    async def _open(
        self, session: AsyncSession, reference: str, fingerprint: str, hit: ScreeningHit, actor: str
    ) -> ScreeningHitRow:
        row = ScreeningHitRow(
            reference=reference,
            fingerprint=fingerprint,
            list_name=hit.list_name,
            list_version=hit.list_version,
            entry_id=hit.entry_id,
            content_sha256=hit.content_sha256,
            matched_name=hit.matched_name,
            kind=hit.kind.value,
            score=hit.score,
            reasons=list(hit.reasons),
            wallet=hit.wallet,
            state=HitState.OPEN.value,
            opened_at=self._clock.wall(),
        )
        session.add(row)
        await session.flush()
        await self._journal.record(session, SYSTEM_ACCOUNT, "screening.hit", told(row), actor=actor, policy=POLICY)
        return row

    async def _record(
        self,
        session: AsyncSession,
        reference: str,
        outcome: Outcome,
        lists: Sequence[ScreeningList],
        hits: int,
        actor: str,
    ) -> None:
        fields = {
            "reference": reference,
            "outcome": outcome.value,
            "hits": hits,
            "lists": [f"{known.name}:{known.version}" for known in lists],
        }
        await self._journal.record(session, SYSTEM_ACCOUNT, "screening.completed", fields, actor=actor, policy=POLICY)


def judged(hits: Iterable[ScreeningHitRow]) -> list[Judged]:
    """Return hits as far as their outcome goes."""
    return [(HitState(hit.state), HitKind(hit.kind), hit.wallet) for hit in hits]


def entry_of(hit: ScreeningHitRow) -> tuple[str, str]:
    """Return which entry of which list a hit is about, whatever that entry says."""
    return hit.list_name, hit.entry_id


def still_confirmed(hit: ScreeningHitRow) -> bool:
    """Return whether a hit blocks until it is decided anew."""
    return hit.state == HitState.CONFIRMED.value


def told(hit: ScreeningHitRow) -> Mapping[str, str | int | bool]:
    """Return what the log says of a hit: nothing of the subject but its reference."""
    return {
        "hit": hit.id,
        "reference": hit.reference,
        "list": hit.list_name,
        "list_version": hit.list_version,
        "entry_id": hit.entry_id,
        "content_sha256": hit.content_sha256,
        "kind": hit.kind,
        "score": hit.score,
        "wallet": hit.wallet,
    }


async def settle_later(session: AsyncSession, reference: str, outcomes: set[str], row: ScreeningRecord) -> None:
    """Queue what follows from another outcome, in the transaction that decides it."""
    if outcomes - {"", Outcome.CLEAR.value}:
        row.unsettled = True
        key = f"{SETTLE_JOB}:{reference}:{row.screened_at.timestamp():.6f}:{row.outcome}"
        await add_job(session, SETTLE_JOB, {"reference": reference}, key[:128], None)


def _recognised(rows: Sequence[ScreeningHitRow], newest: str, older: Sequence[str]) -> dict[Key, ScreeningHitRow]:
    """Return hits by what they are about; those under an older key are put under the newest."""
    found: dict[Key, ScreeningHitRow] = {_key(hit): hit for hit in rows}
    for hit in rows:
        renamed = (newest, hit.list_name, hit.entry_id, hit.content_sha256)
        if hit.fingerprint in older and renamed not in found:
            found[renamed] = found.pop(_key(hit))
            hit.fingerprint = newest
    return found


def _key(hit: ScreeningHitRow) -> Key:
    # A forgotten subject's hits differ from all that comes, and from each other.
    return hit.fingerprint or f"forgotten:{hit.id}", hit.list_name, hit.entry_id, hit.content_sha256
