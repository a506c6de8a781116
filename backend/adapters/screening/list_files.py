"""Screens against list files that are kept by their hash, each read and indexed once."""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from backend.adapters.screening import eu, ofac, opensanctions, un
from backend.adapters.screening.entries import Entry
from backend.adapters.screening.index import ListIndex
from backend.adapters.screening.names import name_of
from backend.adapters.screening.scoring import weighed
from backend.kernel.errors import Invalid, Tampered, TooLarge, Unavailable
from backend.ports.screening import (
    HitKind,
    ListFormat,
    Outcome,
    ScreeningHit,
    ScreeningList,
    ScreeningResult,
    ScreeningSubject,
)

MAX_BYTES = 512 * 2**20
MAX_ENTRIES = 2_000_000
# See the figures of `python -m scripts.screening_report`.
THRESHOLD = 85
KEPT_INDEXES = 12
CHUNK = 200
BLOCK = 2**20
NAMES: Mapping[ListFormat, str] = {
    ListFormat.OFAC_SDN_XML: "ofac-sdn",
    ListFormat.OFAC_SDN_CSV: "ofac-sdn",
    ListFormat.UN_XML: "un",
    ListFormat.EU_XML: "eu",
    ListFormat.OPENSANCTIONS_JSON: "opensanctions",
}
READERS: Mapping[ListFormat, Callable[[IO[bytes]], Iterable[Entry]]] = {
    ListFormat.OFAC_SDN_XML: ofac.read_xml,
    ListFormat.UN_XML: un.read,
    ListFormat.EU_XML: eu.read,
    ListFormat.OPENSANCTIONS_JSON: opensanctions.read,
}


class ListFiles:
    """Compares subjects with list files under a folder; a score of at least the threshold is a hit."""

    def __init__(self, folder: Path, *, threshold: int = THRESHOLD, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._threshold = threshold
        self._max_bytes = max_bytes
        self._indexes: OrderedDict[str, ListIndex] = OrderedDict()
        self._loading = threading.Lock()

    async def take_in(self, file: Path, form: ListFormat) -> ScreeningList:
        """Read a whole list and keep its bytes by their hash; Invalid names the line or entry that is malformed."""
        return await asyncio.to_thread(self._take_in, file, form)

    async def screen(
        self, subjects: Sequence[ScreeningSubject], lists: Sequence[ScreeningList]
    ) -> Sequence[ScreeningResult]:
        """Compare each subject with every entry of the lists; Unavailable where none is given or one is not kept."""
        if not lists:
            raise Unavailable("no list is loaded: `refi compliance lists update --file FILE --kind KIND` takes one in")
        results: list[ScreeningResult] = []
        for start in range(0, len(subjects), CHUNK):
            results += await asyncio.to_thread(self._screen, subjects[start : start + CHUNK], tuple(lists))
        return results

    def _take_in(self, file: Path, form: ListFormat) -> ScreeningList:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=self._folder) as temporary:
            held = Path(temporary) / "list"
            version = self._copied(file, form, held)
            # Read from the copy: what is kept is what was checked.
            entries = read_list(held, form)
            held.replace(self._folder / version)
        return ScreeningList(NAMES[form], form, version, len(entries))

    def _copied(self, file: Path, form: ListFormat, target: Path) -> str:
        parts = [file] if form is not ListFormat.OFAC_SDN_CSV else [file.with_name(name) for name in ofac.PARTS]
        digest, size = sha256(), 0
        with target.open("wb") as out:
            for part in parts:
                try:
                    length = part.stat().st_size
                    head = f"{part.name} {length}\n".encode() if len(parts) > 1 else b""
                    size += length
                    if size > self._max_bytes:
                        raise TooLarge(f"{part.name}: a list has at most {self._max_bytes} bytes")
                    with part.open("rb") as source:
                        for block in (head, *_blocks(source, length)):
                            digest.update(block)
                            out.write(block)
                except OSError as unreadable:
                    raise Invalid(f"{part.name} cannot be read: {unreadable.strerror}") from unreadable
            # On disk before a transaction says that it is in force.
            out.flush()
            os.fsync(out.fileno())
        return digest.hexdigest()

    def _index(self, known: ScreeningList) -> ListIndex:
        with self._loading:
            index = self._indexes.get(known.version)
            if index is None:
                path = self._folder / known.version
                try:
                    with path.open("rb") as file:
                        digest = sha256()
                        while block := file.read(BLOCK):
                            digest.update(block)
                except OSError as missing:
                    raise Unavailable(f"the file of list {known.name} is not kept: update the list") from missing
                if digest.hexdigest() != known.version:
                    raise Tampered(f"the file of list {known.name} is not what was taken in")
                index = self._indexes[known.version] = ListIndex(read_list(path, known.format))
                while len(self._indexes) > KEPT_INDEXES:
                    self._indexes.popitem(last=False)
            self._indexes.move_to_end(known.version)
            return index

    def _screen(
        self, subjects: Sequence[ScreeningSubject], lists: tuple[ScreeningList, ...]
    ) -> Sequence[ScreeningResult]:
        indexes = [(known, self._index(known)) for known in lists]
        return [self._result(subject, indexes, lists) for subject in subjects]

    def _result(
        self,
        subject: ScreeningSubject,
        indexes: Sequence[tuple[ScreeningList, ListIndex]],
        lists: tuple[ScreeningList, ...],
    ) -> ScreeningResult:
        hits = [hit for known, index in indexes for hit in hits_in(subject, known, index, self._threshold)]
        hits.sort(key=lambda hit: (not hit.wallet, -hit.score, hit.list_name, hit.entry_id))
        return ScreeningResult(tuple(hits), lists, outcome_of(hits))


def outcome_of(hits: Sequence[ScreeningHit]) -> Outcome:
    """Return what hits come to: a sanctioned wallet blocks, anything else waits for a person to look."""
    if any(hit.wallet and hit.kind is HitKind.SANCTION for hit in hits):
        return Outcome.BLOCKED
    return Outcome.REVIEW if hits else Outcome.CLEAR


def hits_in(
    subject: ScreeningSubject, known: ScreeningList, index: ListIndex, threshold: int
) -> Sequence[ScreeningHit]:
    """Return a list's entries that look like the subject, one hit an entry."""
    found: dict[int, ScreeningHit] = {}
    names = index.names[subject.kind]
    for text in subject.names:
        for parts in name_of(text, subject.kind).cuts:
            for place in names.candidates(parts):
                row = names.rows[place]
                entry = index.entries[row.entry]
                listed = entry.names[row.name]
                score = weighed(
                    names.likeness(parts, int(place)),
                    entry,
                    weak=listed.weak,
                    birth=subject.birth_date,
                    country=subject.country,
                )
                rounded = int(score.score + 0.5)
                before = found.get(row.entry)
                if rounded >= threshold and (before is None or rounded > before.score):
                    found[row.entry] = _hit(known, index, row.entry, listed.text, rounded, score.reasons)
    for wallet in subject.wallets:
        for holder in index.with_wallet(wallet):
            entry = index.entries[holder]
            name = entry.names[0].text if entry.names else ""
            found[holder] = _hit(known, index, holder, name, 100, ("the wallet stands on the list",), wallet=True)
    return list(found.values())


def read_list(path: Path, form: ListFormat) -> Sequence[Entry]:
    """Return every entry of a kept list; Invalid where it has none, too many, or one twice."""
    with path.open("rb") as file:
        source = ofac.read_csv(_parts(file)) if form is ListFormat.OFAC_SDN_CSV else READERS[form](file)
        entries: list[Entry] = []
        seen: set[str] = set()
        for entry in source:
            if entry.entry_id in seen:
                raise Invalid(f"entry {entry.entry_id} stands on the list twice")
            if len(entries) >= MAX_ENTRIES:
                raise Invalid(f"a list has at most {MAX_ENTRIES} entries")
            seen.add(entry.entry_id)
            entries.append(entry)
    if not entries:
        raise Invalid("the list has no entry")
    return entries


def _hit(
    known: ScreeningList,
    index: ListIndex,
    place: int,
    name: str,
    score: int,
    reasons: tuple[str, ...],
    *,
    wallet: bool = False,
) -> ScreeningHit:
    entry = index.entries[place]
    return ScreeningHit(
        known.name,
        known.version,
        entry.entry_id,
        name,
        entry.why,
        score,
        reasons,
        wallet=wallet,
        content_sha256=index.contents[place],
    )


def _blocks(source: IO[bytes], length: int) -> Iterable[bytes]:
    while length > 0 and (block := source.read(min(BLOCK, length))):
        length -= len(block)
        yield block


def _parts(file: IO[bytes]) -> Mapping[str, bytes]:
    parts = {}
    for name in ofac.PARTS:
        head, _space, size = file.readline(64).decode().strip().partition(" ")
        if head != name or not size.isdecimal():
            raise Invalid(f"{name} is missing")
        parts[name] = file.read(int(size))
    return parts
