"""Print how well and how fast names are screened, on people and lists that are made up by stated rules.

Sources. Given names and surnames are common tokens of the kind that the U.S. Census Bureau's name tables (public
domain) and everyday romanisation hold, and invented surnames made of syllables for the long tail; no list is copied.
The rules follow what guidance on screening names: Wolfsberg Group, "Guidance on Sanctions Screening" (2019).
Every person is invented; the seed fixes them all.
"""

import argparse
import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from backend.adapters.screening.entries import Birth, Entry, ListedName, entry_of
from backend.adapters.screening.index import ListIndex
from backend.adapters.screening.list_files import THRESHOLD, hits_in
from backend.ports.screening import HitKind, ListFormat, ScreeningList, ScreeningSubject, SubjectKind


def listed_words(text: str) -> list[str]:
    """Return the words of a text in their order."""
    return text.split()


GIVEN = listed_words(
    "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard "
    "Susan Joseph Jessica "
    "Thomas Sarah Charles Karen Daniel Nancy Matthew Lisa Anthony Margaret Mark Sandra Paul Ashley Steven Emily Andrew "
    "Mohammed Ahmed Ali Hassan Hussein Ibrahim Yusuf Omar Khalid Abdullah Mustafa Fatima Aisha Khadija Zainab Mariam "
    "Abdulrahman Salim Karim Rashid Tariq Jamal Nasser Faisal Hamid Samir Bilal Ismail Idris Farid Walid Nabil "
    "Vladimir Sergei Dmitri Aleksandr Alexei Mikhail Nikolai Andrei Yuri Igor Oleg Boris Natalia Svetlana Olga Tatiana "
    "Irina Ekaterina Anastasia Viktor Konstantin Gennady Vasily Jose Juan Luis Carlos Miguel Jorge Pedro Francisco "
    "Alejandro Fernando Rafael Guadalupe Rosa Carmen Ana Lucia Sofia Gabriela Wei Jing Li Min Xiaoming Jianguo Hui Yan "
    "Min-jun Seo-yeon Ji-ho Hiroshi Kenji Yuki Sakura Takashi Priya Rahul Amit Sunita Vikram Deepak Arjun Lakshmi "
    "Jean Pierre Marie-Claire Jean-Paul Francois Michel Hans Jurgen Wolfgang Heinrich Ingrid Sven "
    "Bjorn Soren Nguyen Thi"
)
SURNAMES = listed_words(
    "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez "
    "Gonzalez Wilson Anderson "
    "Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker "
    "Ivanov Petrov Sidorov Smirnov Kuznetsov Popov Volkov Sokolov Lebedev Kozlov Novikov Morozov Pavlov Fedorov "
    "Hassan Ali Hussein Khan Ahmed Mahmoud Saleh Mansour Haddad Khoury Nasser al-Hashimi al-Masri al-Tikriti al-Saadi "
    "al-Zawahri Rahimi Karimi Ahmadi Mohammadi Hosseini Rezaei Sharifi Wang Zhang Liu Chen Yang Huang Zhao Wu Zhou "
    "Kim Park Choi Tanaka Suzuki Sato Watanabe Patel Singh Sharma Gupta Kumar Muller Schmidt Schneider Fischer Weber "
    "Dubois Moreau Lefebvre Rousseau Nguyen Tran Pham O'Brien O'Connor MacDonald van-Dijk Silva Santos Oliveira Costa"
)
SYLLABLES = listed_words(
    "ba be bo da de do fa ga gor ha hem ka kar kel kov lan lev lin mar mel mir na nar nov or pa pel ran rev ros sa sel "
    "shi sor ta tar tov ur va vel ver vin yar za zel zor"
)
ENDINGS = listed_words("ov ev enko ski sky man sen son ez ian yan idze shvili oglu ani awi oto ura berg stein a o i")
BUSINESS = listed_words(
    "Trading Shipping Industries Holding Bank Import Export Petroleum Logistics Technologies Foundation"
)
FORMS = ("Ltd", "LLC", "GmbH", "JSC", "S.A.", "Co. Ltd.", "Inc")
SPELLINGS = (
    ("Mohammed", "Muhammad"), ("Mohammed", "Mohamad"), ("Yusuf", "Youssef"), ("Hussein", "Husayn"), ("Hassan", "Hasan"),
    ("Abdullah", "Abdallah"), ("Khalid", "Khaled"), ("Omar", "Umar"), ("Ahmed", "Ahmad"), ("Aleksandr", "Alexander"),
    ("Sergei", "Sergey"), ("Dmitri", "Dmitry"), ("Yuri", "Iurii"), ("Abdulrahman", "Abd al-Rahman"), ("al-", "el-"),
    ("kh", "h"), ("ph", "f"), ("ou", "u"), ("ee", "i"), ("ov", "off"), ("ck", "k"), ("w", "v"), ("ss", "s"),
    ("sh", "sch"), ("ei", "ey"), ("z", "s"), ("th", "t"), ("j", "dj"), ("mm", "m"), ("ks", "x"), ("i", "y"),
)  # fmt: skip
CYRILLIC = {
    "sh": "ш", "zh": "ж", "ch": "ч", "kh": "х", "ts": "ц", "yu": "ю", "ya": "я", "a": "а", "b": "б", "v": "в",
    "g": "г", "d": "д", "e": "е", "z": "з", "i": "и", "y": "й", "k": "к", "l": "л", "m": "м", "n": "н", "o": "о",
    "p": "п", "r": "р", "s": "с", "t": "т", "u": "у", "f": "ф", "h": "х", "c": "к", "j": "дж", "w": "в", "x": "кс",
    "q": "к",
}  # fmt: skip
MARKED = {"a": "á", "e": "é", "i": "í", "o": "ö", "u": "ü", "n": "ñ", "s": "š", "c": "č", "z": "ž"}
SHORT = {"William": "Bill", "Robert": "Bob", "Richard": "Dick", "Aleksandr": "Sasha", "Elizabeth": "Betty"}
Rule = Callable[["Listed", random.Random], ScreeningSubject | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """An invented person or organisation on the list."""

    entry: Entry
    given: str
    middle: str
    surname: str
    birth: date


@dataclass(frozen=True, slots=True)
class Tally:
    """How many were to be found, and how many were."""

    of: int
    found: int

    @property
    def share(self) -> float:
        """Return the share found."""
        return self.found / self.of if self.of else 1.0


def surname(chance: random.Random) -> str:
    """Return a surname: one in three is common, the others are of the long tail."""
    if chance.random() < 0.34:
        # Zipf's law: the nth name is n times as rare as the first.
        return chance.choices(SURNAMES, weights=[1 / (place + 1) for place in range(len(SURNAMES))])[0]
    return "".join(chance.choices(SYLLABLES, k=chance.choice((1, 2, 2, 3)))).capitalize() + chance.choice(ENDINGS)


def given(chance: random.Random) -> str:
    """Return a given name."""
    return chance.choices(GIVEN, weights=[1 / (place + 3) for place in range(len(GIVEN))])[0]


def born(chance: random.Random) -> date:
    """Return a birth date of an adult."""
    return date(1945, 1, 1) + timedelta(days=chance.randrange(55 * 365))


def made_up(count: int, seed: int) -> list[Listed]:
    """Return an invented list: four people to one organisation, one in three with aliases, most with birth dates."""
    chance, made = random.Random(seed), []  # noqa: S311 - reproducible, not secret
    for number in range(count):
        if chance.random() < 0.2:
            made.append(_organisation(number, chance))
            continue
        first, last, day = given(chance), surname(chance), born(chance)
        middle = given(chance) if chance.random() < 0.5 else ""
        names = [ListedName(_whole(first, middle, last))]
        if chance.random() < 0.33:
            names.append(ListedName(_whole(given(chance), "", surname(chance))))
        births = [Birth(day.year, day.year, day.month, day.day)] if chance.random() < 0.7 else []
        births = births or ([Birth(day.year, day.year)] if chance.random() < 0.6 else [])
        entry = entry_of(str(number), (SubjectKind.PERSON,), HitKind.SANCTION, names, births)
        made.append(Listed(entry, first, middle, last, day))
    return made


def _organisation(number: int, chance: random.Random) -> Listed:
    name = f"{surname(chance)} {chance.choice(BUSINESS)}"
    if chance.random() < 0.5:
        name = f"{surname(chance)} {name}"
    names = [ListedName(f"{name} {chance.choice(FORMS)}")]
    entry = entry_of(str(number), (SubjectKind.ORGANISATION,), HitKind.SANCTION, names)
    return Listed(entry, "", "", name, date(2000, 1, 1))


def _whole(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _person(listed: Listed, name: str | None, birth: date | int | None = None) -> ScreeningSubject | None:
    if not listed.given or name is None or name == listed.entry.names[0].text:
        return None
    return ScreeningSubject(SubjectKind.PERSON, (name,), listed.birth if birth is None else birth)


def _edited(name: str, chance: random.Random) -> str | None:
    places = [place for place, letter in enumerate(name) if letter.isalpha() and place > 0]
    words = [word for word in name.replace("-", " ").split() if len(word) >= 4]
    if not words:
        return None
    word = chance.choice(words)
    start = name.index(word)
    place = chance.choice([place for place in places if start <= place < start + len(word)])
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
    kind = chance.randrange(4)
    if kind == 0:
        return name[:place] + letter + name[place + 1 :]
    if kind == 1:
        return name[:place] + letter + name[place:]
    if kind == 2:
        return name[:place] + name[place + 1 :]
    swapped = name[:place] + name[place + 1 : place + 2] + name[place] + name[place + 2 :]
    return swapped if swapped != name else name[:place] + name[place + 1 :]


def exact(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """The name as it stands there."""
    kind = listed.entry.kinds[0]
    return ScreeningSubject(kind, (listed.entry.names[0].text,), listed.birth if listed.given else None)


def reordered(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """Surname first."""
    return _person(listed, _whole(listed.surname + ",", listed.given, listed.middle))


def typo(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """One edit in one word."""
    return _person(listed, _edited(listed.entry.names[0].text, chance))


def dropped_middle(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """Without the middle name."""
    return _person(listed, _whole(listed.given, listed.surname) if listed.middle else None)


def added_middle(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """With a middle name that the list does not know."""
    return _person(listed, None if listed.middle else _whole(listed.given, given(chance), listed.surname))


def initial(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """The given name as an initial."""
    return _person(listed, _whole(f"{listed.given[:1]}.", listed.middle, listed.surname))


def middle_initial(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """The middle name as an initial."""
    return _person(listed, _whole(listed.given, f"{listed.middle[:1]}.", listed.surname) if listed.middle else None)


def diacritics(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """Every letter that can carry a mark does."""
    return _person(listed, "".join(MARKED.get(letter, letter) for letter in listed.entry.names[0].text))


def hyphens(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """Hyphens as spaces, left out, or put between given names."""
    name = listed.entry.names[0].text
    if "-" in name:
        return _person(listed, name.replace("-", chance.choice((" ", ""))))
    return _person(listed, f"{listed.given}-{listed.middle} {listed.surname}" if listed.middle else None)


def spelling(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """Another romanisation of one sound or name."""
    name = listed.entry.names[0].text
    can = [(written, other) for written, other in SPELLINGS if written in name]
    if not can:
        return None
    written, other = chance.choice(can)
    return _person(listed, name.replace(written, other, 1))


def script(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """Written in Cyrillic letters."""
    name = listed.entry.names[0].text.lower()
    for latin in sorted(CYRILLIC, key=len, reverse=True):
        name = name.replace(latin, CYRILLIC[latin])
    return _person(listed, name)


def alias(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """Under a listed alias."""
    return _person(listed, listed.entry.names[1].text if len(listed.entry.names) > 1 else None)


def swapped_date(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """The birth date's day and month swapped."""
    if not listed.given or listed.birth.day > 12:
        return None
    swapped = listed.birth.replace(month=listed.birth.day, day=listed.birth.month)
    return ScreeningSubject(SubjectKind.PERSON, (listed.entry.names[0].text,), swapped)


def year_only(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """One edit, and only the birth year is known."""
    return _person(listed, _edited(listed.entry.names[0].text, chance), listed.birth.year)


def title(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """In capitals, with a title."""
    return _person(listed, f"DR. {listed.entry.names[0].text.upper()} Jr.")


def legal_form(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """An organisation under another legal form."""
    if listed.given:
        return None
    return ScreeningSubject(SubjectKind.ORGANISATION, (f"{listed.surname} {chance.choice(FORMS)}".upper(),))


def organisation_typo(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """An organisation with one edit."""
    name = None if listed.given else _edited(listed.surname, chance)
    return None if name is None else ScreeningSubject(SubjectKind.ORGANISATION, (name,))


def two_typos(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """Two edits."""
    once = _edited(listed.entry.names[0].text, chance)
    return _person(listed, _edited(once, chance) if once else None)


def nickname(listed: Listed, _chance: random.Random) -> ScreeningSubject | None:
    """A pet form of the given name."""
    short = SHORT.get(listed.given)
    return _person(listed, _whole(short, listed.middle, listed.surname) if short else None)


CLAIMED: Sequence[Rule] = (
    exact, reordered, typo, dropped_middle, added_middle, initial, middle_initial, diacritics, hyphens, spelling,
    script, alias, swapped_date, year_only, title, legal_form, organisation_typo,
)  # fmt: skip
BEYOND: Sequence[Rule] = (two_typos, nickname)


def same_surname(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """The surname of somebody listed, another given name, another birth date."""
    return _person(listed, _whole(_other(listed.given, chance), listed.surname), born(chance))


def namesake(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """The whole name of somebody listed, born three to thirty years apart."""
    if not listed.given or not listed.entry.births:
        return None
    year = listed.birth.year + chance.choice((-1, 1)) * chance.randint(3, 30)
    return ScreeningSubject(SubjectKind.PERSON, (listed.entry.names[0].text,), date(year, 3, 4))


def sibling(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """Another given name, the same middle name and surname, born two to four years apart."""
    if not listed.middle:
        return None
    year = listed.birth.year + chance.choice((-1, 1)) * chance.randint(2, 4)
    return _person(listed, _whole(_other(listed.given, chance), listed.middle, listed.surname), date(year, 3, 4))


def common_name(_listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """A common given name with a common surname."""
    return ScreeningSubject(
        SubjectKind.PERSON, (f"{chance.choice(GIVEN[:60])} {chance.choice(SURNAMES[:60])}",), born(chance)
    )


def anybody(_listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """Anybody."""
    return ScreeningSubject(SubjectKind.PERSON, (f"{given(chance)} {surname(chance)}",), born(chance))


def plain_business(listed: Listed, chance: random.Random) -> ScreeningSubject | None:
    """An organisation in the same business under another name."""
    name = f"{surname(chance)} {listed.surname.rpartition(' ')[2]}"
    return None if listed.given else ScreeningSubject(SubjectKind.ORGANISATION, (name,))


HARD: Sequence[Rule] = (same_surname, namesake, sibling, common_name, anybody, plain_business)


def _other(name: str, chance: random.Random) -> str:
    while (found := given(chance)) == name:
        continue
    return found


def is_listed(subject: ScreeningSubject, known: Mapping[str, Sequence[tuple[Listed, frozenset[str]]]]) -> bool:
    """Return whether a stranger happens to be somebody listed: the same words but for middle names, a date that fits.

    By the rules above such a stranger's details are those of the entry: no screening can tell the two apart.
    """
    words = _words(subject.names[0])
    for listed, name in (found for word in words for found in known.get(word, ())):
        if not (words <= name or (len(name) > 1 and name <= words)):
            continue
        years = [birth.first for birth in listed.entry.births]
        year = subject.birth_date.year if isinstance(subject.birth_date, date) else None
        if year is None or not years or any(abs(year - other) <= 1 for other in years):
            return True
    return False


def _words(name: str) -> frozenset[str]:
    forms = {part.lower() for form in FORMS for part in form.split()}
    return frozenset(name.lower().replace(",", "").split()) - forms


def cases(
    people: Sequence[Listed], rule: Rule, count: int, chance: random.Random
) -> Iterator[tuple[Listed, ScreeningSubject]]:
    """Yield so many subjects by a rule, with whom of the list they are made from."""
    left = count
    for _attempt in range(count * 400):
        if left == 0:
            return
        listed = chance.choice(people)
        subject = rule(listed, chance)
        if subject is not None:
            left -= 1
            yield listed, subject


def quality(size: int, count: int, seed: int, threshold: int) -> dict[str, Any]:
    """Return recall by rule and false alarms by kind of stranger, and precision over all of them."""
    people, chance = made_up(size, seed), random.Random(seed + 1)  # noqa: S311 - reproducible, not secret
    index, known = ListIndex([listed.entry for listed in people]), _a_list(size)
    recall = {rule.__name__: _recall(rule, people, index, known, count, chance, threshold) for rule in CLAIMED}
    beyond = {rule.__name__: _recall(rule, people, index, known, count, chance, threshold) for rule in BEYOND}
    by_words: dict[str, list[tuple[Listed, frozenset[str]]]] = defaultdict(list)
    for listed in people:
        for words in [_words(name.text) for name in listed.entry.names]:
            for word in words:
                by_words[word].append((listed, words))
    alarms = {}
    for rule in HARD:
        strangers = [
            subject for _listed, subject in cases(people, rule, count, chance) if not is_listed(subject, by_words)
        ]
        flagged = sum(bool(hits_in(subject, known, index, threshold)) for subject in strangers)
        alarms[rule.__name__] = Tally(len(strangers), flagged)
    found, of = sum(tally.found for tally in recall.values()), sum(tally.of for tally in recall.values())
    false = sum(tally.found for tally in alarms.values())
    return {
        "recall": Tally(of, found),
        "precision": Tally(found + false, found),
        "rules": recall,
        "beyond": beyond,
        "alarms": alarms,
    }


def _recall(
    rule: Rule,
    people: Sequence[Listed],
    index: ListIndex,
    known: ScreeningList,
    count: int,
    chance: random.Random,
    threshold: int,
) -> Tally:
    asked = list(cases(people, rule, count, chance))
    found = sum(
        any(hit.entry_id == listed.entry.entry_id for hit in hits_in(subject, known, index, threshold))
        for listed, subject in asked
    )
    return Tally(len(asked), found)


def speed(size: int, names: int, seed: int, threshold: int) -> dict[str, float]:
    """Return how long it takes to index a list and to screen names against it; one process, one thread."""
    entries, chance = [listed.entry for listed in made_up(size, seed)], random.Random(seed + 2)  # noqa: S311 - reproducible, not secret
    strangers = [subject for _listed, subject in cases(made_up(1, seed), anybody, names, chance)]
    started, cpu = time.perf_counter(), time.process_time()
    index = ListIndex(entries)
    indexed, indexed_cpu = time.perf_counter(), time.process_time()
    known = _a_list(size)
    hits = sum(bool(hits_in(subject, known, index, threshold)) for subject in strangers)
    return {
        "index_wall": indexed - started,
        "index_cpu": indexed_cpu - cpu,
        "screen_wall": time.perf_counter() - indexed,
        "screen_cpu": time.process_time() - indexed_cpu,
        "flagged": hits,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _a_list(size: int) -> ScreeningList:
    return ScreeningList("generated", ListFormat.OPENSANCTIONS_JSON, "0" * 64, size)


def told(measured: Mapping[str, Any], took: Mapping[str, float], options: argparse.Namespace) -> Iterator[str]:
    """Yield the report's lines."""
    yield f"threshold {options.threshold}, list of {options.entries:,} invented entries, seed {options.seed}"
    yield f"recall     {measured['recall'].share:8.2%}  ({measured['recall'].found} of {measured['recall'].of})"
    yield f"precision  {measured['precision'].share:8.2%}  (hard negatives and positives as counted below)"
    for name, tally in measured["rules"].items():
        yield f"  {name:<20} {tally.share:8.2%}  ({tally.found} of {tally.of} found)"
    yield "beyond what is claimed:"
    for name, tally in measured["beyond"].items():
        yield f"  {name:<20} {tally.share:8.2%}  ({tally.found} of {tally.of} found)"
    yield "strangers who raise a false alarm:"
    for name, tally in measured["alarms"].items():
        yield f"  {name:<20} {tally.share:8.2%}  ({tally.found} of {tally.of})"
    yield (
        f"speed: index {took['index_wall']:.2f} s ({took['index_cpu']:.2f} s CPU), {options.names:,} names in "
        f"{took['screen_wall']:.2f} s ({took['screen_cpu']:.2f} s CPU), one thread, {took['memory_mib']:.0f} MiB"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threshold", type=int, default=THRESHOLD)
    options = parser.parse_args()
    took = speed(options.entries, options.names, options.seed, options.threshold)
    measured = quality(options.entries, options.cases, options.seed, options.threshold)
    print("\n".join(told(measured, took, options)))


if __name__ == "__main__":
    main()
