"""XML of strangers, an entry at a time: no DTD, no entities, nothing fetched, nothing kept that was read."""

from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import iterparse  # type: ignore[import-untyped]

from backend.kernel.errors import Invalid

MAX_DEPTH = 32
MAX_PARTS = 50_000


def local(tag: object) -> str:
    """Return a tag without its namespace."""
    return str(tag).rpartition("}")[2]


class Place:
    """Where a reader stands in a document, with bounds on how deep and how wide it may be."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.top: Element | None = None
        self.depth = self.parts = 0

    def enter(self, element: Element) -> None:
        """Go into an element."""
        if self.top is None:
            self.top = element
            if local(element.tag) != self.root:
                raise Invalid(f"the document is a <{local(element.tag)[:60]}>, not a <{self.root}>")
        self.depth, self.parts = self.depth + 1, self.parts + 1
        if self.depth > MAX_DEPTH:
            raise Invalid(f"elements are nested deeper than {MAX_DEPTH}")
        if self.parts > MAX_PARTS:
            raise Invalid(f"an entry has more than {MAX_PARTS} elements")

    def forget(self, element: Element) -> None:
        """Give the memory of an element back that was read."""
        element.clear()
        self.parts = 0
        if self.top is not None and self.depth == 1:
            self.top.clear()


def elements(file: IO[bytes], root: str, *wanted: str) -> Iterator[Element]:
    """Yield each wanted element as a whole; Invalid where the file is malformed or another document."""
    place = Place(root)
    try:
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            if event == "start":
                place.enter(element)
                continue
            place.depth -= 1
            if local(element.tag) in wanted:
                yield element
                place.forget(element)
    except ParseError as broken:
        raise Invalid(f"the XML is malformed: {broken}") from broken
    except DefusedXmlException as attack:
        raise Invalid(f"the XML has what no list has: {type(attack).__name__}") from attack
    except (LookupError, ValueError) as broken:
        raise Invalid(f"the XML cannot be read: {type(broken).__name__}") from broken
    if place.top is None:
        raise Invalid("the document is empty")


def text(element: Element, *path: str) -> str:
    """Return the text under the first child of each name on the path, or an empty string."""
    found: Element | None = element
    for name in path:
        found = next((child for child in found if local(child.tag) == name), None) if found is not None else None
    return (found.text or "").strip() if found is not None else ""


def children(element: Element, *path: str) -> list[Element]:
    """Return every child that a path of names leads to."""
    found = [element]
    for name in path:
        found = [child for parent in found for child in parent if local(child.tag) == name]
    return found
