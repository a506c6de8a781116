"""`refi audit prove`: the public pack of one entry, checked before it is called a proof."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.audit.access import PACK_BYTES, Names, granted, parsed, running_platform
from backend.cli.audit.shown import show_findings
from backend.cli.durable import write_durably
from backend.cli.site import Site
from backend.kernel.errors import Invalid
from backend.transparency.engine.findings import Finding, exit_code
from backend.transparency.engine.verifier import verify

if TYPE_CHECKING:
    from backend.adapters.chain.l2_proof import Tag


def prove(index: int, out: Path | None, api: str, names: Names, *, as_json: bool, l2_block: str = "") -> int:
    """Fetch the pack of an entry, check it, write it; with a proof for L1 as of an L2 block where one is named."""
    at = _l2_block(l2_block, names) if l2_block else None
    pack, named = _pack(index, running_platform(api)), names.trusted()
    if at is not None:
        pack = _with_l2_proof(pack, names.rpc[0], at)
    report = verify(pack, contract=named.contract, chain_id=named.chain_id, rpc_urls=names.rpc)
    findings = [
        Finding(check.name, check.result, check.detail, unreachable=check.detail.startswith("unreachable: "))
        for check in report.checks
    ]
    findings.append(_about(pack, index))
    facts: dict[str, Any] = {"index": index, "identified": report.identified}
    if exit_code(findings) == 1:
        return show_findings(findings, facts, as_json=as_json)
    if out is not None:
        write_durably(out, pack)
        facts["pack"] = str(out)
    elif as_json:
        facts["pack"] = json.loads(pack)
    return show_findings(findings, facts, as_json=as_json)


def _l2_block(text: str, names: Names) -> "Tag | int":
    tags: dict[str, Tag] = {"finalized": "finalized", "safe": "safe", "latest": "latest"}
    if text not in tags and not text.isdecimal():
        raise Invalid(f"{text!r} is no block: a number or {', '.join(tags)}")
    if not names.rpc:
        raise Invalid("a proof for L1 needs an L2 that is named with --rpc")
    return tags[text] if text in tags else int(text)


def _with_l2_proof(pack: bytes, rpc: str, at: "Tag | int") -> bytes:
    from backend.adapters.chain.l2_proof import l2_proof
    from backend.kernel.canonical import canonical_json

    shown = parsed(pack)
    if shown is None:
        # The verifier says what is wrong with it.
        return pack
    anchor = shown["anchor"]
    log_id = bytes.fromhex(anchor["log_id"][2:])
    anchor["l2_proof"] = asyncio.run(l2_proof(rpc, anchor["contract"], log_id, anchor["index"], at))
    return canonical_json(shown)


def _about(pack: bytes, index: int) -> Finding:
    shown = parsed(pack)
    if shown is None:
        return Finding("asked entry", "skipped", "the format is not known")
    listed = [entry["index"] for entry in shown["entries"]]
    asked = listed == [index]
    return Finding("asked entry", "pass" if asked else "fail", f"the pack is of entry {listed[0]}")


def _pack(index: int, api: str) -> bytes:
    if api:
        return granted(Site(api).get(f"/api/v1/evidence/{index}", PACK_BYTES)).content
    from backend.cli.session import with_platform
    from backend.kernel.canonical import canonical_json
    from backend.transparency.service import PackBuilder

    async def work(built: Any) -> bytes:
        return canonical_json(await built.service(PackBuilder).public(index))

    return with_platform(work)
