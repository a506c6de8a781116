"""`refi audit completeness`: whether everything of an account was disclosed, up to the newest anchor."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from backend.cli.audit.access import Names, OnChain, granted, listed_anchors, platform, signed_in, wallet_address
from backend.cli.audit.pages import HEADS_BYTES, account_path, heads, pages
from backend.cli.audit.shown import progress, show_findings
from backend.cli.document import read_object
from backend.cli.site import MIB, Site
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.transparency.engine.completeness import ALL_HEADS, ANCHORS, HEADS, ON_CHAIN, PAGES, Completeness
from backend.transparency.engine.findings import Finding


def audit_completeness(
    account: str, api: str, wallet: Path, names: Names, returns: Sequence[Path] = (), *, as_json: bool
) -> int:
    """Fetch everything about an account, check it, and print what was found."""
    account_path(account)
    universes = [universe_of(path) for path in returns]
    site = signed_in(platform(api), wallet)
    findings, facts = examine(site, account, names, wallet_address(wallet) if account == "me" else "", universes)
    return show_findings(findings, facts, as_json=as_json)


def examine(
    site: Site, account: str, names: Names, wallet: str = "", universes: Sequence[Sequence[str]] = ()
) -> tuple[list[Finding], dict[str, Any]]:
    """Return what was found about an account, and of what.

    `wallet` is the one that "me" must be; universes: tickers beside those that the platform lists.
    """
    asked = wallet or account
    audit = Completeness(asked.lower() if asked.startswith("0x") else asked)
    chain = OnChain(names.trusted(), names.rpc)
    _list_anchors(site, audit)
    if not audit.anchors:
        raise NotFound("nothing is anchored yet")
    identity = audit.anchors[max(audit.anchors)].log_id
    on_chain, required = _count(chain, identity)
    # Once more, for an anchor that came in between.
    _list_anchors(site, audit)
    for answer in heads(site, account, len(audit.anchors) - 1):
        _taken(audit, HEADS, partial(audit.add_heads, answer))
    _name_universes(site, audit, universes)
    _read_pages(site, account, names, audit)
    _read_all_heads(site, audit)
    findings = audit.findings(required)
    findings.append(on_chain or _compared(chain, identity, audit))
    counted = {"records": len(audit.indices), "anchors": len(audit.anchors), "positions": audit.positions.facts()}
    return findings, {"account": audit.account, **counted}


def _list_anchors(site: Site, audit: Completeness) -> None:
    for anchor in listed_anchors(site):
        _taken(audit, ANCHORS, partial(audit.add_anchor, anchor))


def _name_universes(site: Site, audit: Completeness, universes: Sequence[Sequence[str]]) -> None:
    for tickers in universes:
        audit.positions.add_universe(tickers)
    # A universe is the hash of its tickers: whoever lists them, a wrong list is another universe.
    reply = site.get("/api/v1/market/instruments", MIB)
    if reply.ok:
        with suppress(Invalid, Unavailable):
            listed = reply.document().get("instruments")
            audit.positions.add_universe(listed if isinstance(listed, list) else [])


def universe_of(path: Path) -> list[str]:
    """Return the tickers of a returns file."""
    universe = read_object(path).get("universe")
    if not isinstance(universe, list):
        raise Invalid(f"{path.name} is no returns file: it names no universe")
    return universe


def _read_pages(site: Site, account: str, names: Names, audit: Completeness) -> None:
    due = max((head.count for head in audit.shown.values()), default=0)
    with progress() as bar:
        task = bar.add_task("records", total=due or None)
        try:
            for page in pages(site, account, names.trusted()):
                _taken(audit, PAGES, partial(audit.add_page, page.pack, page.refused))
                bar.update(task, completed=len(audit.indices))
                if page.refused:
                    # Whoever shows false pages could show them without end.
                    return
        except Conflict as wrong:
            audit.faults.add(PAGES, wrong.detail)


def _read_all_heads(site: Site, audit: Completeness) -> None:
    for index in sorted(audit.anchors):
        reply = site.get(f"/api/v1/evidence/heads/{index}", HEADS_BYTES)
        if reply.status == 403 and not audit.full:
            # They are for regulators.
            return
        if reply.status in {403, 404}:
            audit.refuse_all_heads(index, reply.said)
            return
        answer = granted(reply).document()
        _taken(audit, ALL_HEADS, partial(audit.add_all_heads, index, answer))


def _taken(audit: Completeness, check: str, take: Callable[[], object]) -> None:
    """Take an answer; one of another shape is a fault of the check."""
    try:
        take()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        audit.faults.add(check, f"an answer of another shape: {type(error).__name__} {error}")


def _count(chain: OnChain, identity: bytes) -> tuple[Finding | None, int]:
    if skipped := chain.skipped():
        return skipped, 0
    try:
        return None, chain.count(identity)
    except Unavailable as silence:
        return _unreachable(silence), 0


def _compared(chain: OnChain, identity: bytes, audit: Completeness) -> Finding:
    try:
        words: dict[int, Any] = dict(chain.words(identity, sorted(audit.anchors)))
    except Unavailable as silence:
        return _unreachable(silence)
    return audit.on_chain(words)


def _unreachable(silence: Unavailable) -> Finding:
    return Finding(ON_CHAIN, "skipped", f"unreachable: {silence.detail}", unreachable=True)
