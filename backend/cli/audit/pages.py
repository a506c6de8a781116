"""An account's records, page by page, as the platform discloses them to who signed in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backend.cli.audit.access import PACK_BYTES, granted, parsed, refusal_of
from backend.cli.site import MIB, Site
from backend.cli.verify import Trusted
from backend.kernel.errors import Conflict, Invalid

RECORDS = 500
NEXT = re.compile(r'rel="?next"?')
AFTER = re.compile(r"[?&]after=([0-9]{1,18})\b")
HEADS_BYTES = 64 * MIB
ANCHORS_A_PAGE = 500


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
    """Return the route of an account's evidence; an account is "me", "system", a pseudonym or a wallet."""
    if not re.fullmatch(r"me|system|0x[0-9a-fA-F]{40}|[A-Za-z0-9_-]{43}", account):
        raise Invalid(f"{account!r} is no account: me, system, a pseudonym of 43 characters, or a wallet")
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


def heads(site: Site, account: str, newest: int) -> Iterator[dict[str, Any]]:
    """Yield the answers that tell an account's head at each anchor up to the newest."""
    after, found = -1, False
    while after < newest:
        reply = site.get(f"{account_path(account)}/heads", HEADS_BYTES, after=after, limit=ANCHORS_A_PAGE)
        if reply.status == 404 and after + ANCHORS_A_PAGE < newest:
            # The account is younger than these anchors.
            after += ANCHORS_A_PAGE
            continue
        if reply.status == 404 and found:
            return
        yield granted(reply).document()
        found, link = True, reply.headers.get("link", "")
        then = AFTER.search(link)
        if not NEXT.search(link) or then is None or int(then[1]) <= after:
            return
        after = int(then[1])
