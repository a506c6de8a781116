"""Names as they are compared: one alphabet, one case, no titles; and the ways in which one name is cut into parts.

Source of the rules: Unicode NFKD (UAX 15), anyascii's transliteration tables, and what guidance on screening names
asks for (Wolfsberg Group, "Guidance on Sanctions Screening", 2019): order, spelling, particles, initials, legal forms.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from anyascii import anyascii

from backend.ports.screening import SubjectKind

Parts = tuple[str, ...]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


TITLES = words_of(
    "mr mrs ms miss dr prof professor sir dame lord lady sheikh shaikh shaykh sheik hajj haji hajji mullah mawlawi "
    "maulvi mufti imam ayatollah sayyid seyyed general gen colonel col major maj captain capt lieutenant lt brigadier "
    "brig admiral commander cmdr president minister senator hon honorable jr sr ii iii iv esq phd"
)
PARTICLES = words_of(
    "al el ad an ar as ash at ul bin ibn ben bint bat abu abou umm van von der den de del della di da dos das du la le "
    "lo y e zu zur ter ten mac mc o st"
)
# Joined to what follows they make one name: Abd al-Rahman is Abdulrahman, not Rahman.
BINDING = words_of("abd abdul abdal abdel abdol abu umm")
LEGAL_FORMS = words_of(
    "ltd limited llc llp lp inc incorporated corp corporation co company plc gmbh ag kg sa sarl sas spa srl bv nv oy "
    "ab as asa aps kft zrt doo dd ooo oao zao pao ao jsc ojsc cjsc pjsc pte pty fze fzco fzc est sdn bhd tbk pt kk "
    "sp z oo the and of for"
)
PLAIN_WORDS = words_of(
    "bank trading international group holding holdings general industries industrial services shipping import export "
    "company foundation organization organisation center centre national global trade investment investments "
    "development enterprise enterprises commercial technology technologies engineering"
)
APOSTROPHES = re.compile(r"['`\u2018\u2019\u02bb\u02bc\u02be\u02bf\u00b4]")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
# An acronym's full stops hold its letters together.
# Digits and signs that stand for letters, and those that only hang on a word.
STAND_INS = str.maketrans("0134578@$", "oieastbas")
BETWEEN = re.compile(r"(?<=[^\W\d_])[@$](?=[^\W\d_])")
ACRONYM = re.compile(r"(?<![a-z])(?:[a-z]\.)+[a-z]?(?![a-z])")


@dataclass(frozen=True, slots=True)
class Name:
    """A name to compare: the ways to cut it into parts, each in the name's own order."""

    cuts: tuple[Parts, ...]


def latin(text: str) -> str:
    """Return a text in plain lower-case ASCII, words apart; a second time changes nothing."""
    text = HAN.sub(lambda found: _han(found[0]), text)
    text = BETWEEN.sub(lambda found: found[0].translate(STAND_INS), text)
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    ascii_ = APOSTROPHES.sub("", anyascii(bare)).lower()
    return " ".join(re.sub(r"[^a-z0-9.\-]+", " ", ascii_).split())


def _han(word: str) -> str:
    # A surname of one character and a given name: Xi Jinping, not Xi Jin Ping.
    return f" {anyascii(word[0]).lower()} {anyascii(word[1:]).lower()} "


@lru_cache(maxsize=200_000)
def name_of(text: str, kind: SubjectKind) -> Name:
    """Return a name cut into comparable parts; without any parts where nothing of it can be compared."""
    plain = latin(text)
    if kind is SubjectKind.ORGANISATION:
        return Name(_organisation(plain))
    cuts = [cut for version in _without_digits(plain) for cut in _person(version)]
    return Name(tuple(dict.fromkeys(cuts)))


def _without_digits(plain: str) -> tuple[str, ...]:
    """Return a person's name as written and, where digits stand within words, as it is without that disguise."""
    if not re.search(r"[a-z]\d|\d[a-z]", plain):
        return (plain,)
    read = " ".join(word if word.isdigit() else word.translate(STAND_INS) for word in plain.split())
    return plain, read, re.sub(r"\d+", "", plain)


def _person(plain: str) -> tuple[Parts, ...]:
    words = [word for word in re.split(r"[\s.]+", plain) if word.strip("-")]
    bare = [word for word in words if word not in TITLES]
    words = bare if len(bare) >= 2 else words
    apart = [part for word in words for part in word.split("-") if part]
    cuts = (_without_particles(apart), _joined(apart), _without_particles([word.replace("-", "") for word in words]))
    return tuple(cut for cut in cuts if cut)


def _organisation(plain: str) -> tuple[Parts, ...]:
    whole = ACRONYM.sub(lambda found: found[0].replace(".", ""), plain)
    words = [word for word in re.split(r"[\s.\-]+", whole) if word]
    bare = tuple(word for word in words if word not in LEGAL_FORMS) or tuple(words)
    hyphened = tuple(word.replace("-", "") for word in re.split(r"[\s.]+", whole) if word not in LEGAL_FORMS)
    return tuple(dict.fromkeys(cut for cut in (bare, tuple(word for word in hyphened if word)) if cut))


def _without_particles(words: list[str]) -> Parts:
    """Return the parts without particles; those that bind are joined to what follows."""
    parts: list[str] = []
    held = ""
    for place, word in enumerate(words):
        last = place == len(words) - 1
        if word in BINDING and not last:
            held += word
        elif word in PARTICLES and not last and (held or len(words) > 2):
            continue
        else:
            parts.append(held + word)
            held = ""
    # Le Van Dung is no Dung.
    return tuple(parts) if len(parts) > 1 else tuple(words)


def _joined(words: list[str]) -> Parts:
    """Return the parts with every particle joined to what follows."""
    parts: list[str] = []
    held = ""
    for place, word in enumerate(words):
        if (word in PARTICLES or word in BINDING) and place < len(words) - 1:
            held += word
        else:
            parts.append(held + word)
            held = ""
    return tuple(parts)


SOUNDS = (
    ("sch", "s"), ("tsch", "c"), ("tch", "c"), ("dzh", "j"), ("zh", "j"), ("dj", "j"), ("kh", "h"), ("gh", "g"),
    ("ph", "f"), ("th", "t"), ("dh", "d"), ("sh", "s"), ("ch", "c"), ("ck", "k"), ("ts", "s"), ("tz", "s"), ("cz", "c"),
    ("x", "ks"), ("qu", "k"), ("q", "k"), ("c", "k"), ("w", "f"), ("v", "f"), ("z", "s"),
)  # fmt: skip


@lru_cache(maxsize=200_000)
def skeleton(word: str) -> str:
    """Return what is left of a word over all spellings of its sounds: its consonants, and how it begins."""
    for written, sound in SOUNDS:
        word = word.replace(written, sound)
    start = "a" if word[:1] in "aeiouy" else ""
    consonants = re.sub(r"[aeiouyh]", "", word[:1]) + re.sub(r"[aeiouyh]", "", word[1:])
    if word[:1] == "h":
        consonants = "h" + consonants
    return start + re.sub(r"(.)\1+", r"\1", consonants)
