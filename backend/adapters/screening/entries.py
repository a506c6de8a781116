"""What every list format comes down to: entries with names, birth dates, countries and wallets."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import sha256

from backend.kernel.errors import Invalid
from backend.ports.screening import HitKind, SubjectKind

MAX_NAMES = 2_000
MAX_NAME_LENGTH = 1_000
MAX_WALLETS = 5_000
BOTH = (SubjectKind.ORGANISATION, SubjectKind.PERSON)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TEXT_DATE = re.compile(r"(?:(\d{1,2})\s+)?(?:([a-z]{3})[a-z]*\s+)?(\d{4})$", re.IGNORECASE)
YEARS = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class ListedName:
    """A name of an entry; weak: the list itself calls it a low-quality alias."""

    text: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth date as far as a list knows it: years first to last, month and day 0 where unknown."""

    first: int
    last: int
    month: int = 0
    day: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody on a list; kinds: what its names are compared with, nothing for ships and planes."""

    entry_id: str
    kinds: tuple[SubjectKind, ...]
    why: HitKind
    names: tuple[ListedName, ...]
    births: tuple[Birth, ...] = ()
    countries: tuple[str, ...] = ()
    wallets: tuple[str, ...] = ()

    def content_sha256(self) -> str:
        """Return the hash of all that a decision on this entry rests on."""
        return sha256(json.dumps(asdict(self), sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def entry_of(
    entry_id: str,
    kinds: Sequence[SubjectKind],
    why: HitKind,
    names: Iterable[ListedName],
    births: Iterable[Birth | None] = (),
    countries: Iterable[str] = (),
    wallets: Iterable[str] = (),
) -> Entry:
    """Return an entry in one order whatever the file's, within bounds; Invalid names the entry."""
    if not entry_id:
        raise Invalid("an entry has no id")
    kept: dict[str, bool] = {}
    for name in names:
        text = " ".join(name.text.split())
        if len(text) > MAX_NAME_LENGTH:
            raise Invalid(f"entry {entry_id}: a name is longer than {MAX_NAME_LENGTH} characters")
        if text:
            kept[text] = kept.get(text, True) and name.weak
    keys = {wallet_key(wallet) for wallet in wallets} - {""}
    if len(kept) > MAX_NAMES or len(keys) > MAX_WALLETS:
        raise Invalid(f"entry {entry_id}: more than {MAX_NAMES} names or {MAX_WALLETS} wallets")
    if not kept and not keys:
        raise Invalid(f"entry {entry_id} has neither a name nor a wallet")
    born = {birth for birth in births if birth is not None}
    return Entry(
        entry_id[:200],
        tuple(kinds),
        why,
        tuple(ListedName(text, weak) for text, weak in kept.items()),
        tuple(sorted(born, key=lambda birth: (birth.first, birth.last, birth.month, birth.day))),
        tuple(sorted({country for country in countries if country})),
        tuple(sorted(keys)),
    )


def wallet_key(wallet: str) -> str:
    """Return what wallets are compared by; case never tells two apart, so that none slips through."""
    return "".join(wallet.split()).casefold()


def birth_of(text: str) -> Birth | None:
    """Return a birth date in the ways lists write it: 1970-01-31, 31 Jan 1970, Jan 1970, circa 1970, 1970 to 1972."""
    text = text.strip()
    try:
        day = date.fromisoformat(text[:10])
        return Birth(day.year, day.year, day.month, day.day)
    except ValueError:
        pass
    written = TEXT_DATE.match(text)
    if written is not None and (written[2] is None or written[2].lower() in MONTHS):
        month = MONTHS.index(written[2].lower()) + 1 if written[2] else 0
        number = int(written[1]) if written[1] and month else 0
        return Birth(int(written[3]), int(written[3]), month, number if number <= 31 else 0)
    partial = re.match(r"(\d{4})-(\d{2})$", text)
    if partial is not None and 1 <= int(partial[2]) <= 12:
        return Birth(int(partial[1]), int(partial[1]), int(partial[2]))
    years = [int(year) for year in YEARS.findall(text)]
    return Birth(min(years), max(years)) if years else None
