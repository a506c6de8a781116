"""The United Nations Security Council's consolidated list (CONSOLIDATED_LIST with INDIVIDUALS and ENTITIES)."""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

from backend.adapters.screening.countries import alpha2
from backend.adapters.screening.entries import Birth, Entry, ListedName, birth_of, entry_of
from backend.adapters.screening.markup import children, elements, local, text
from backend.ports.screening import HitKind, SubjectKind

NAME_PARTS = ("FIRST_NAME", "SECOND_NAME", "THIRD_NAME", "FOURTH_NAME")


def read(file: IO[bytes]) -> Iterator[Entry]:
    """Yield every individual and entity."""
    for node in elements(file, "CONSOLIDATED_LIST", "INDIVIDUAL", "ENTITY"):
        kind = SubjectKind.PERSON if local(node.tag) == "INDIVIDUAL" else SubjectKind.ORGANISATION
        names = [ListedName(" ".join(text(node, part) for part in NAME_PARTS))]
        # In its own script, where the list has it.
        names.append(ListedName(text(node, "NAME_ORIGINAL_SCRIPT")))
        names += [
            ListedName(text(alias, "ALIAS_NAME"), text(alias, "QUALITY").lower() == "low")
            for alias in children(node, f"{local(node.tag)}_ALIAS")
        ]
        births = [_birth(given) for given in children(node, "INDIVIDUAL_DATE_OF_BIRTH")]
        countries = [alpha2((value.text or "").strip()) for value in children(node, "NATIONALITY", "VALUE")]
        yield entry_of(text(node, "DATAID"), (kind,), HitKind.SANCTION, names, births, countries)


def _birth(given: Element) -> Birth | None:
    if text(given, "TYPE_OF_DATE").upper() == "BETWEEN":
        return birth_of(f"{text(given, 'FROM_YEAR')} to {text(given, 'TO_YEAR')}")
    return birth_of(text(given, "DATE") or text(given, "YEAR"))
