"""OFAC's Specially Designated Nationals: the SDN XML (sdnList) and the CSV files without headers.

Source: U.S. Treasury, "SDN data specification" (sdn.csv, alt.csv, add.csv: positions, -0- for null) and the sdn.xsd.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import IO
from xml.etree.ElementTree import Element

from backend.adapters.screening.countries import alpha2
from backend.adapters.screening.entries import Entry, ListedName, birth_of, entry_of
from backend.adapters.screening.markup import children, elements, text
from backend.kernel.errors import Invalid
from backend.ports.screening import HitKind, SubjectKind

PARTS = ("sdn.csv", "alt.csv", "add.csv")
NULL = "-0-"
XML_KINDS: Mapping[str, tuple[SubjectKind, ...]] = {
    "individual": (SubjectKind.PERSON,),
    "entity": (SubjectKind.ORGANISATION,),
}
CSV_KINDS: Mapping[str, tuple[SubjectKind, ...]] = {
    "individual": (SubjectKind.PERSON,),
    "": (SubjectKind.ORGANISATION,),
}
CURRENCY = "Digital Currency Address"
REMARK_WALLET = re.compile(CURRENCY + r" - [A-Z0-9]{2,8} ([0-9A-Za-z:]{20,130})")
REMARK_BIRTH = re.compile(r"(?:^|;|\()\s*(?:alt\. )?DOB ([^;.]+)")
REMARK_COUNTRY = re.compile(r"(?:nationality|citizen) ([^;.]+)")
REMARK_WEAK = re.compile(r"a\.k\.a\. [‘'\"]([^’'\"]+)[’'\"]", re.IGNORECASE)


def read_xml(file: IO[bytes]) -> Iterator[Entry]:
    """Yield the entries of an SDN XML."""
    for node in elements(file, "sdnList", "sdnEntry"):
        uid = text(node, "uid")
        kinds = XML_KINDS.get(text(node, "sdnType").lower(), ())
        names = [ListedName(_full(node))]
        names += [
            ListedName(_full(aka), text(aka, "category").lower() == "weak") for aka in children(node, "akaList", "aka")
        ]
        countries = [
            text(child, "country")
            for path in (("nationalityList", "nationality"), ("citizenshipList", "citizenship"))
            for child in children(node, *path)
        ]
        births = [birth_of(text(item, "dateOfBirth")) for item in children(node, "dateOfBirthList", "dateOfBirthItem")]
        yield entry_of(uid, kinds, HitKind.SANCTION, names, births, map(alpha2, countries), _wallets(node))


def read_csv(parts: Mapping[str, bytes]) -> Iterator[Entry]:
    """Yield the entries of sdn.csv with the aliases of alt.csv and the countries of add.csv."""
    aliases: dict[str, list[ListedName]] = defaultdict(list)
    for number, row in _rows("alt.csv", parts["alt.csv"], 5):
        _require_id("alt.csv", number, row[0])
        aliases[row[0]].append(ListedName(_turned(row[3])))
    where: dict[str, list[str]] = defaultdict(list)
    for number, row in _rows("add.csv", parts["add.csv"], 6):
        _require_id("add.csv", number, row[0])
        where[row[0]].append(alpha2(row[4]))
    for number, row in _rows("sdn.csv", parts["sdn.csv"], 12):
        _require_id("sdn.csv", number, row[0])
        remarks = row[11]
        kinds = CSV_KINDS.get(row[2].lower(), ())
        person = kinds == (SubjectKind.PERSON,)
        names = [ListedName(_turned(row[1]) if person else row[1]), *aliases.pop(row[0], [])]
        names += [ListedName(weak, weak=True) for weak in REMARK_WEAK.findall(remarks)]
        # Where somebody lives says less than a nationality, but often is all that there is.
        countries = [alpha2(found) for found in REMARK_COUNTRY.findall(remarks)] or where.get(row[0], [])
        births = [birth_of(found) for found in REMARK_BIRTH.findall(remarks)]
        yield entry_of(row[0], kinds, HitKind.SANCTION, names, births, countries, REMARK_WALLET.findall(remarks))
    if aliases:
        raise Invalid(f"alt.csv: an alias belongs to {next(iter(aliases))}, which sdn.csv does not hold")


def _full(node: Element) -> str:
    return f"{text(node, 'firstName')} {text(node, 'lastName')}"


def _wallets(node: Element) -> Sequence[str]:
    listed = children(node, "idList", "id")
    return [text(paper, "idNumber") for paper in listed if text(paper, "idType").startswith(CURRENCY)]


def _rows(name: str, content: bytes, width: int) -> Iterator[tuple[int, list[str]]]:
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = content.decode("cp1252", errors="replace")
    # The files end with an old end-of-file mark.
    reader = csv.reader(io.StringIO(decoded.rstrip("\x1a\r\n\t "), newline=""), strict=True)
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                raise Invalid(f"{name}, line {reader.line_num}: {len(row)} columns, not {width}")
            yield reader.line_num, ["" if part.strip() == NULL else part.strip() for part in row]
    except csv.Error as broken:
        raise Invalid(f"{name}, line {reader.line_num}: {broken}") from broken


def _require_id(name: str, number: int, value: str) -> None:
    if not value.isdecimal():
        raise Invalid(f"{name}, line {number}: {value[:40]!r} is no entry number")


def _turned(name: str) -> str:
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else name
