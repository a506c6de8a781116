"""`refi audit var`: one wallet's chain of VaR attestations, from the chain's events and calldata alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from backend.anchoring.engine import log_id
from backend.cli.audit.access import Names
from backend.cli.audit.attestations import Attestor, Chain
from backend.cli.audit.shown import progress, show_findings
from backend.cli.site import MIB, Site
from backend.cli.verify import WORD
from backend.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from backend.kernel.signed_note import parse_verifier_key
from backend.transparency.engine.attestations import AttestationAudit, Epoch, Groth16, pack_faults
from backend.transparency.engine.findings import Faults, Finding
from backend.transparency.engine.verifier import (
    MAX_PACK_BYTES,
    Failed,
    Named,
    examine,
    read_file,
    read_pack,
    require_groth16,
)

IDENTITY, CHAIN, PACKS, PLATFORM = "log identity", "chain", "packs", "platform"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose attestations are audited, what the user takes for the platform's, and what else is compared."""

    subject: str
    names: Names
    policy: str = ""
    circuit_hash: str = ""
    log_key: str = ""
    api: str = ""
    packs: Path | None = None

    def __post_init__(self) -> None:
        for option, value in (("--policy", self.policy), ("--circuit-hash", self.circuit_hash)):
            if value and not re.fullmatch(WORD, value):
                raise Invalid(f"{option} is 0x and 64 hex digits")
        if self.log_key:
            parse_verifier_key(self.log_key)


def audit_var(asked: Asked, *, as_json: bool, groth16: Groth16 = require_groth16) -> int:
    """Audit each policy's attestations, print a line an epoch and one a check, and return the exit status."""
    chain = Chain(Attestor.of(asked.names.trusted()), asked.names.rpc)
    policies = [bytes.fromhex(asked.policy[2:])] if asked.policy else chain.policies(asked.subject)
    findings: list[Finding] = []
    facts: list[dict[str, Any]] = []
    for policy in policies:
        found, epochs = _audited(asked, chain, policy, groth16)
        name = f" of policy 0x{policy.hex()[:8]}" if len(policies) > 1 else ""
        findings += [replace(finding, name=finding.name + name) for finding in found]
        facts.append({"policy_id": "0x" + policy.hex(), "epochs": [_described(epoch) for epoch in epochs]})
        if not as_json:
            _show_epochs(policy, epochs)
    if not policies or not (_failed(findings) or any(fact["epochs"] for fact in facts)):
        raise NotFound(f"no attestation of {asked.subject} up to block {chain.block}")
    if not as_json:
        typer.echo(f"as of block {chain.block} of chain {chain.attestor.chain_id}")
    told = {"subject": asked.subject, "block": chain.block, "policies": facts}
    return show_findings(findings, told, as_json=as_json)


def _audited(asked: Asked, chain: Chain, policy: bytes, groth16: Groth16) -> tuple[list[Finding], list[Epoch]]:
    try:
        told = chain.told(asked.subject, policy)
    except Conflict as wrong:
        return [Finding(CHAIN, "fail", wrong.detail)], []
    place = (chain.attestor.chain_id, chain.attestor.address, asked.subject, policy)
    audit = AttestationAudit(*place, told, asked.circuit_hash or None, groth16)
    with progress() as bar:
        task = bar.add_task("proofs", total=len(told.attested))
        audit.run(lambda count: bar.update(task, completed=count))
    findings = [*audit.findings(), _identity(asked, chain.attestor, audit)]
    if asked.packs is not None:
        findings.append(_packs(asked.packs, asked, chain, audit))
    epochs = audit.epochs()
    if asked.api:
        finding, epochs = _explained(epochs, asked, policy)
        findings.append(finding)
    return findings, epochs


def _identity(asked: Asked, attestor: Attestor, audit: AttestationAudit) -> Finding:
    """The log that every attestation names is the one that the user names."""
    if not asked.log_key:
        return Finding(IDENTITY, "skipped", "log not identified: no --log-key named")
    key = parse_verifier_key(asked.log_key)
    expected = log_id(key.name, key.public_key, attestor.chain_id, attestor.anchor)
    faults = Faults()
    for made in audit.attestations:
        faults.require(IDENTITY, made.log_id == expected, f"epoch {made.epoch}: attested for another log")
    return faults.finding(IDENTITY, f"{key.name} at {attestor.anchor}")


def _packs(folder: Path, asked: Asked, chain: Chain, audit: AttestationAudit) -> Finding:
    """Each pack passes the verifier, and its attestation is the chain's."""
    files = sorted(folder.glob("*.refi.json"))
    if not files:
        raise Invalid(f"{folder} holds no packs (*.refi.json)")
    attestor = chain.attestor
    named = Named(
        attestor.anchor,
        attestor.chain_id,
        attestor.address,
        rpc_urls=asked.names.rpc,
        circuit_hash=asked.circuit_hash or None,
    )
    faults, checked = Faults(), set[int]()
    with progress() as bar:
        for path in bar.track(files, description="packs"):
            try:
                checked |= _checked_pack(path, named, asked, audit)
            except Failed as error:
                faults.add(PACKS, f"{path.name}: {error}")
    lacking = len({made.epoch for made in audit.attestations} - checked)
    text = f"{len(checked)} attested epochs bound to the log in {len(files)} packs"
    return faults.finding(PACKS, f"{text}, {lacking} without" if lacking else text)


def _checked_pack(path: Path, named: Named, asked: Asked, audit: AttestationAudit) -> set[int]:
    content = read_file(path, MAX_PACK_BYTES)
    report = examine(content, named)
    if report.exit_code == 1:
        raise Failed(report.verdict)
    claim = read_pack(content).get("var")
    if claim is None or (claim["subject"], claim["policy_id"]) != (asked.subject, "0x" + audit.policy_id.hex()):
        return set()
    made = next((one for one in audit.attestations if one.epoch == claim["epoch"]), None)
    if made is None:
        raise Failed(f"epoch {claim['epoch']} is not attested on chain")
    if made.id not in audit.statements:
        raise Failed(f"the proof of epoch {made.epoch} does not hold")
    if faults := pack_faults(claim, made, *audit.statements[made.id]):
        raise Failed(f"says something else than the chain: {', '.join(faults)}")
    return {made.epoch} if not report.unreachable else set()


def _explained(epochs: list[Epoch], asked: Asked, policy: bytes) -> tuple[Finding, list[Epoch]]:
    """Say of epochs without an attestation which ones the platform calls breaches."""
    site, lacking = Site(asked.api), [epoch for epoch in epochs if epoch.state != "attested"]
    try:
        breached = {epoch.epoch for epoch in lacking if _is_breached(site, asked.subject, epoch.epoch, policy)}
    except Unavailable as silence:
        return Finding(PLATFORM, "skipped", f"unreachable: {silence.detail}", unreachable=True), epochs
    told = f"{len(lacking)} epochs without an attestation, {len(breached)} of them breaches"
    shown = [replace(epoch, state="breached") if epoch.epoch in breached else epoch for epoch in epochs]
    return Finding(PLATFORM, "pass", told), shown


def _is_breached(site: Site, subject: str, epoch: int, policy: bytes) -> bool:
    claims = site.expect("/api/v1/proofs/var", MIB, subject=subject, epoch=epoch).document().get("attestations")
    wanted = {"policy_id": "0x" + policy.hex(), "state": "breached"}
    listed = [claim for claim in claims if isinstance(claim, Mapping)] if isinstance(claims, list) else []
    return any(wanted.items() <= dict(claim).items() for claim in listed)


def _described(epoch: Epoch) -> dict[str, Any]:
    made = epoch.attestation
    shown: dict[str, Any] = {"epoch": epoch.epoch, "state": epoch.state, "countersigned": epoch.countersigned}
    if made is not None:
        shown |= {
            "verified": not epoch.fault,
            "fault": epoch.fault,
            "attestation_id": "0x" + made.id.hex(),
            "previous": "0x" + made.previous.hex(),
            "log_id": "0x" + made.log_id.hex(),
            "anchor_index": made.anchor_index,
            "position_commitment": "0x" + made.commitment.hex(),
            "returns_id": "0x" + made.returns_id.hex(),
            "block": made.event.block,
            "tx_hash": made.event.tx_hash,
        }
    return shown


def _show_epochs(policy: bytes, epochs: Sequence[Epoch]) -> None:
    states = {"breached": "breached, the platform says", "open": "not attested (yet)", "skipped": "skipped"}
    typer.echo(f"policy 0x{policy.hex()}")
    for epoch in epochs:
        made = epoch.attestation
        if made is None:
            typer.echo(f"  epoch {epoch.epoch}  {states[epoch.state]}")
            continue
        verdict = f"refused: {epoch.fault}" if epoch.fault else "verified"
        signed = "countersigned" if epoch.countersigned else "of one publisher"
        place = f"block {made.event.block}, anchor {made.anchor_index}, returns {signed}"
        typer.echo(f"  epoch {epoch.epoch}  attested 0x{made.id.hex()[:16]}  {place}, {verdict}")


def _failed(findings: Sequence[Finding]) -> bool:
    return any(finding.result == "fail" for finding in findings)
