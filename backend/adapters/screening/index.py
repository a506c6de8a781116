"""A list ready to be searched: which of its names share words with a name, found without comparing them all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.adapters.screening.alike import (
    Likeness,
    best,
    organisation_likeness,
    outer,
    person_likeness,
    same_letters,
    same_letters_of_person,
    wholes,
    word_likeness,
)
from backend.adapters.screening.entries import Entry, wallet_key
from backend.adapters.screening.names import Parts, name_of, skeleton
from backend.ports.screening import SubjectKind

# Enough of a name's words must be alike for it to be looked at at all.
LEAST_SHARE = 0.7
KEPT_WORDS = 200_000
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to cut one name of one entry."""

    entry: int
    name: int
    parts: Parts


class NameIndex:
    """Every name of one kind in a list, by words, by words with a letter left out, and by how they sound."""

    def __init__(self, entries: Sequence[Entry], kind: SubjectKind) -> None:
        self._kind = kind
        person = kind is SubjectKind.PERSON
        self._compare = person_likeness if person else organisation_likeness
        self._together = same_letters_of_person if person else same_letters
        self.rows = [
            Row(place, number, cut)
            for place, entry in enumerate(entries)
            if kind in entry.kinds
            for number, name in enumerate(entry.names)
            for cut in name_of(name.text, kind).cuts
        ]
        self._length = np.array([len(row.parts) for row in self.rows], dtype=np.float32)
        initials = [sum(len(part) == 1 for part in row.parts) for row in self.rows]
        self._initials = np.array(initials, dtype=np.float32)
        holders: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            for part in set(row.parts):
                holders[part].append(place)
        self._holders: Mapping[str, Sequence[int]] = holders
        self._wholes: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            for whole in wholes(row.parts) | (outer(row.parts) if person else frozenset()):
                self._wholes[whole].append(place)
        self._near: dict[str, list[str]] = defaultdict(list)
        for word in sorted(holders):
            for key in _keys(word):
                self._near[key].append(word)
        self._known: dict[str, Found] = {}

    def candidates(self, parts: Parts) -> NDArray[np.int64]:
        """Return the rows that share enough words with a name."""
        if not self.rows:
            return np.empty(0, dtype=np.int64)
        words = [part for part in dict.fromkeys(parts) if len(part) > 1]
        shared, several = np.zeros(len(self.rows), dtype=np.float32), np.zeros(len(self.rows), dtype=np.int8)
        for word in words:
            rows, alike = self._alike(word)
            shared[rows] += alike
            several[rows] += 1
        initials = self._initials + (len(parts) - len(words))
        least = np.minimum(self._length, len(parts)) - initials
        # One common word is a family, not a person; a name of one word has no more than that.
        enough = np.minimum(np.minimum(self._length, len(words)) - self._initials, 2)
        found = (shared >= LEAST_SHARE * np.maximum(least, 1)) & (several >= np.maximum(enough, 1))
        for whole in wholes(parts):
            found[self._wholes.get(whole, [])] = True
        return np.nonzero(found)[0]

    def likeness(self, parts: Parts, row: int) -> Likeness:
        """Return how alike a name and a row are."""
        listed = self.rows[row].parts
        return best((self._compare(parts, listed), self._together(parts, listed)))

    def _alike(self, word: str) -> Found:
        """Return the rows with a word like this one, and how alike it is."""
        known = self._known.get(word)
        if known is not None:
            return known
        if len(self._known) >= KEPT_WORDS:
            self._known.clear()
        best: dict[int, float] = {}
        for other in {near for key in _keys(word) for near in self._near.get(key, ())}:
            alike = word_likeness(word, other)
            if alike > 0:
                for row in self._holders[other]:
                    best[row] = max(best.get(row, 0.0), alike)
        found = (np.fromiter(best, dtype=np.int64, count=len(best)), np.fromiter(best.values(), dtype=np.float32))
        self._known[word] = found
        return found


class ListIndex:
    """A list's entries with their wallets and names."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.contents = [entry.content_sha256() for entry in entries]
        self.names = {kind: NameIndex(entries, kind) for kind in SubjectKind}
        holders: dict[str, list[int]] = defaultdict(list)
        for place, entry in enumerate(entries):
            for wallet in entry.wallets:
                holders[wallet].append(place)
        self._wallets: Mapping[str, Sequence[int]] = holders

    def with_wallet(self, wallet: str) -> Sequence[int]:
        """Return the entries that a wallet belongs to."""
        return self._wallets.get(wallet_key(wallet), ())


def _keys(word: str) -> set[str]:
    """Return what a word is found by: two words an edit apart share one of these, as do two that sound alike."""
    keys = {word, "~" + skeleton(word)}
    if len(word) >= 3:
        keys |= {word[:place] + word[place + 1 :] for place in range(len(word))}
    return keys
