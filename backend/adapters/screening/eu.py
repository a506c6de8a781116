"""The European Union's consolidated financial sanctions list (FSF export: sanctionEntity, nameAlias, birthdate)."""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from backend.adapters.screening.entries import Birth, Entry, ListedName, birth_of, entry_of
from backend.adapters.screening.markup import children, elements, text
from backend.ports.screening import HitKind, SubjectKind

KINDS = {"person": (SubjectKind.PERSON,), "enterprise": (SubjectKind.ORGANISATION,)}


def read(file: IO[bytes]) -> Iterator[Entry]:
    """Yield every sanctioned person and organisation."""
    for node in elements(file, "export", "sanctionEntity"):
        kinds = KINDS.get(next((part.get("code", "") for part in children(node, "subjectType")), ""), ())
        names = [
            ListedName(alias.get("wholeName", "") or _joined(alias), alias.get("strong", "true").lower() == "false")
            for alias in children(node, "nameAlias")
        ]
        births = [_birth(given) for given in children(node, "birthdate")]
        countries = [part.get("countryIso2Code", "") for part in children(node, "citizenship")]
        yield entry_of(
            node.get("logicalId", "") or node.get("euReferenceNumber", ""),
            kinds,
            HitKind.SANCTION,
            names,
            births,
            # "00" is the list's word for an unknown country.
            [country.upper() for country in countries if country.isalpha() and len(country) == 2],
            _wallets(node),
        )


def _wallets(node: Element) -> list[str]:
    papers = children(node, "identification")
    return [
        paper.get("number", "") or text(paper, "remark")
        for paper in papers
        if "wallet"
        in (paper.get("identificationTypeCode", "") + paper.get("identificationTypeDescription", "")).lower()
    ]


def _joined(alias: Element) -> str:
    return " ".join(alias.get(part, "") for part in ("firstName", "middleName", "lastName"))


def _birth(given: Element) -> Birth | None:
    if given.get("birthdate"):
        return birth_of(given.get("birthdate", ""))
    first, last = given.get("yearRangeFrom", ""), given.get("yearRangeTo", "")
    return birth_of(f"{first} to {last}" if first or last else given.get("year", ""))
