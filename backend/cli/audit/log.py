"""`refi audit log`: every leaf of the log recomputed, every root compared, from files or from what is served."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from backend.audit.engine.tiles import TILE_WIDTH, TileAddress, tile_path
from backend.cli.audit.access import PACK_BYTES, Names, OnChain, listed_anchors, platform
from backend.cli.audit.shown import progress, show_findings
from backend.cli.site import KIB, MIB, Site
from backend.kernel.canonical import EncodingError
from backend.kernel.errors import Invalid, NotFound, Unavailable
from backend.kernel.signed_note import VerifierKey, parse_verifier_key
from backend.transparency.engine.findings import Finding
from backend.transparency.engine.log_audit import (
    CHECKPOINTS,
    ENTRIES,
    AnchorClaim,
    Bundle,
    LogAudit,
    add_bundle,
    split_entries,
)

PIECE = 256 * KIB
CHAIN = "anchors on chain"


def audit_log(folder: Path | None, api: str, log_key: str, names: Names, *, as_json: bool) -> int:
    """Audit a folder of bundles, or what a platform serves, and print what was found."""
    if folder is not None and api:
        raise Invalid("name either a folder of bundles or --api")
    audit = LogAudit()
    if log_key:
        audit.name_key(parse_verifier_key(log_key))
    try:
        if folder is not None:
            _audit_folder(audit, folder)
        else:
            with closing(Site(platform(api), keep_alive=True)) as site:
                _audit_served(audit, site)
    except EncodingError as error:
        audit.faults.add(ENTRIES, f"{error.detail} (stopped after {audit.size} entries)")
    named = names.trusted()
    findings = [audit.identity(named.contract, named.chain_id), *audit.findings()]
    findings.append(_on_chain(audit, OnChain(named, names.rpc)))
    return show_findings(findings, {"size": audit.size, "anchors": len(audit.anchors)}, as_json=as_json)


def _audit_folder(audit: LogAudit, folder: Path) -> None:
    files = sorted((_opened(path).end, path.name) for path in folder.glob("*.json"))
    if not files:
        raise Invalid(f"{folder} holds no bundles (*.json)")
    # An anchor may be mined, and so listed, later than the day that it closes.
    for _, name in files:
        for anchor in _opened(folder / name).anchors:
            audit.claim_anchor(anchor)
    with progress() as bar:
        task = bar.add_task("entries", total=files[-1][0])
        for _, name in files:
            for size in _named(name, add_bundle(audit, _opened(folder / name))):
                bar.update(task, completed=size)


def _audit_served(audit: LogAudit, site: Site) -> None:
    note = _checkpoint(site)
    if audit.key is None:
        audit.name_key(_served_key(site))
    try:
        size = audit.claim_checkpoint(note).size
    except EncodingError as error:
        audit.faults.add(CHECKPOINTS, error.detail)
        return
    audit.require_signed(note)
    for listed in listed_anchors(site):
        claim = AnchorClaim.of(listed)
        if claim.head.size <= size:
            audit.claim_anchor(claim)
    with progress() as bar:
        task = bar.add_task("entries", total=size)
        for start in range(0, size, TILE_WIDTH):
            address = TileAddress(start // TILE_WIDTH, min(TILE_WIDTH, size - start))
            reply = site.expect(f"/api/v1/log/tile/entries/{tile_path(address)}", MIB)
            audit.add(split_entries(reply.content, address.width))
            bar.update(task, completed=audit.size)


def _checkpoint(site: Site) -> str:
    reply = site.get("/api/v1/log/checkpoint", 64 * KIB)
    if reply.status == 404:
        raise NotFound("the log shows no checkpoint yet")
    if not reply.ok:
        raise Unavailable(reply.said)
    return reply.text()


def _served_key(site: Site) -> VerifierKey:
    reply = site.get("/api/v1/evidence/0", PACK_BYTES)
    try:
        return parse_verifier_key(str(reply.document()["log_public_key"]))
    except (KeyError, EncodingError) as error:
        raise Invalid("the log names no key yet: give it with --log-key") from error


def _on_chain(audit: LogAudit, chain: OnChain) -> Finding:
    if skipped := chain.skipped():
        return skipped
    identity = audit.log_id(chain.named.contract, chain.named.chain_id)
    if identity is None:
        return Finding(CHAIN, "skipped", "no key of the log is known")
    try:
        count = chain.count(identity)
        if not count and not audit.anchors:
            return Finding(CHAIN, "skipped", "the contract holds no anchor of this log")
        return _compared(audit, chain, identity, count)
    except Unavailable as silence:
        return Finding(CHAIN, "skipped", f"unreachable: {silence.detail}", unreachable=True)


def _compared(audit: LogAudit, chain: OnChain, identity: bytes, count: int) -> Finding:
    listed = sorted(audit.anchors)
    words = chain.words(identity, [index for index in listed if index < count])
    for index in listed:
        held = words.get(index) == audit.anchors[index].word
        audit.faults.require(CHAIN, held, f"the contract holds no such anchor {index}")
    told, due = f"{len(words)} of the contract's {count}", audit.first_missing
    if due < count:
        # Sizes rise on chain: where this anchor is above the audited entries, all later ones are.
        size = chain.size(identity, due)
        told += f", the next at size {size}"
        audit.faults.require(CHAIN, size > audit.size, f"anchor {due} at size {size} is on chain and not listed")
    return audit.faults.finding(CHAIN, told)


def _opened(path: Path) -> Bundle:
    try:
        return Bundle(_pieces(path))
    except EncodingError as error:
        raise EncodingError(f"{path.name}: {error.detail}") from error


def _named(name: str, sizes: Iterator[int]) -> Iterator[int]:
    try:
        yield from sizes
    except EncodingError as error:
        raise EncodingError(f"{name}: {error.detail}") from error


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
