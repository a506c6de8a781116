"""An account's records, page by page, as the platform discloses them to who signed in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backend.cli.audit.access import PACK_BYTES, granted, parsed, refusal_of
from backend.cli.site import Site
from backend.cli.verify import Trusted
from backend.kernel.errors import Conflict, Invalid

RECORDS = 500
NEXT = re.compile(r'rel="?next"?')


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its bytes, what it holds, and what the verifier refuses of it."""

    content: bytes
    pack: dict[str, Any]
    refused: str
    last: bool

    @property
    def seqs(self) -> list[int]:
        """The seqs of its records."""
        return [entry["disclosed"]["seq"]["value"] for entry in self.pack["entries"] if "seq" in entry["disclosed"]]


def account_path(account: str) -> str:
    """Return the route of an account's evidence; an account is "me", a pseudonym or a wallet."""
    if not re.fullmatch(r"me|0x[0-9a-fA-F]{40}|[A-Za-z0-9_-]{43}", account):
        raise Invalid(f"{account!r} is no account: me, a pseudonym of 43 characters, or a wallet")
    return f"/api/v1/evidence/accounts/{account}"


def pages(site: Site, account: str, named: Trusted, after: int = 0, records: int = RECORDS) -> Iterator[Page]:
    """Yield the pages after a seq; nothing where nothing more is anchored."""
    while True:
        reply = site.get(account_path(account), PACK_BYTES, after=after, limit=records)
        if reply.status == 404 and after:
            return
        content = granted(reply).content
        pack = parsed(content)
        if pack is None:
            raise Conflict(f"the page after seq {after} is no evidence pack")
        page = Page(content, pack, refusal_of(content, named), not NEXT.search(reply.headers.get("link", "")))
        yield page
        seqs = [seq for seq in page.seqs if isinstance(seq, int)]
        if page.last:
            return
        if not seqs or max(seqs) <= after:
            raise Conflict(f"the page after seq {after} leads no further")
        after = max(seqs)
