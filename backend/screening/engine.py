"""What hits come to, and the hashes that name subjects and lists."""

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

from backend.ports.screening import HitKind, Outcome, ScreeningList, ScreeningSubject
from backend.screening.types import HitState

# A hit as far as its outcome goes: its state, why the entry is listed, and whether a wallet matched.
Judged = tuple[HitState, HitKind, bool]


def outcome_of(hits: Iterable[Judged]) -> Outcome:
    """Return what hits and decisions come to.

    A sanctioned wallet blocks at once and a sanction once a person confirmed it; a politically exposed person is no
    reason to block, but one to look.
    """
    found = list(hits)
    blocks = [
        state is HitState.CONFIRMED or (wallet and state is HitState.OPEN)
        for state, kind, wallet in found
        if kind is HitKind.SANCTION
    ]
    if any(blocks):
        return Outcome.BLOCKED
    return Outcome.REVIEW if any(state is HitState.OPEN for state, _kind, _wallet in found) else Outcome.CLEAR


def subject_sha256(reference: str, subject: ScreeningSubject) -> str:
    """Return what changes when anything of a subject does that a decision rests on."""
    known = [
        reference,
        subject.kind.value,
        sorted(subject.names),
        str(subject.birth_date or ""),
        subject.country,
        sorted(wallet.lower() for wallet in subject.wallets),
    ]
    return sha256(json.dumps(known).encode()).hexdigest()


def lists_key(lists: Sequence[ScreeningList]) -> str:
    """Return the hash of the lists in force: of their names and versions."""
    named = sorted([known.name, known.version] for known in lists)
    return sha256(json.dumps(named).encode()).hexdigest()
