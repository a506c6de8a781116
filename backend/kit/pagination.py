"""Pages by cursor: newest first, stable while rows are added."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query

Row = TypeVar("Row")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `limit` rows whose id is below `before` (None: from the newest)."""

    limit: int = DEFAULT_LIMIT
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows and the cursor of the next page, None on the last."""

    items: tuple[Row, ...]
    next_before: int | None


def page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> PageRequest:
    """Read the page asked for from the query string."""
    return PageRequest(limit, before)


def page_of(rows: Sequence[Row], request: PageRequest, id_of: Callable[[Row], int]) -> Page[Row]:
    """Cut a page from rows that were fetched with a limit one higher than asked for."""
    items = tuple(rows[: request.limit])
    more = len(rows) > request.limit
    return Page(items, id_of(items[-1]) if more and items else None)


Paging = Annotated[PageRequest, Depends(page_request)]
