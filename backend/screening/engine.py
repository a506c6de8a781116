"""What hits come to, and the hashes that name subjects and lists."""

import hmac
import json
from collections.abc import Iterable, Sequence
from hashlib import sha256

from backend.kernel.errors import Invalid
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


class Fingerprints:
    """Recognise a subject as it was, under keys that stand outside the database: who guesses cannot test the guess.

    The first key makes them, any recognises them. A wallet is public and stands in the record: alone it needs no key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise Invalid("fingerprints need a key")
        self._keys = tuple(keys)

    def of(self, reference: str, subject: ScreeningSubject) -> Sequence[str]:
        """Return a subject's fingerprint under each key, newest first; another one where anything of it changed."""
        known = [
            reference,
            subject.kind.value,
            sorted(subject.names),
            str(subject.birth_date or ""),
            subject.country,
            sorted(wallet.lower() for wallet in subject.wallets),
        ]
        told = json.dumps(known).encode()
        secret = subject.names or subject.birth_date or subject.country
        return [hmac.digest(key, told, "sha256").hex() for key in (self._keys if secret else (b"",))]


def lists_key(lists: Sequence[ScreeningList]) -> str:
    """Return the hash of the lists in force: of their names and versions."""
    named = sorted([known.name, known.version] for known in lists)
    return sha256(json.dumps(named).encode()).hexdigest()
