"""What the worker runs for proofs."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from backend.kernel.canonical import decimal_string
from backend.kernel.errors import RefiError
from backend.kit.queue import Handler, JobContext
from backend.proofs.engine.kept import Attestation, AttestationState, unword
from backend.proofs.service import ATTEST_JOB, AttestationService

# How soon an epoch is looked at again whose wallet has an earlier one at work.
EARLIER_FIRST = timedelta(milliseconds=200)
# How far the work is when a stage begins; proving takes nearly all of it
STAGES = {"gathering": 0.05, "loading the key": 0.15, "proving": 0.3, "verifying": 0.8, "attesting": 0.9}


def handlers(attestations: AttestationService) -> Mapping[str, Handler]:
    """Return the jobs of this domain by name."""

    async def handle(context: JobContext) -> dict[str, Any]:
        return await attest(attestations, context)

    return {ATTEST_JOB: handle}


async def attest(attestations: AttestationService, context: JobContext) -> dict[str, Any]:
    """Attest a wallet's epoch and return what became of it; cancelling the job ends the prover."""
    reports: set[asyncio.Task[None]] = set()

    def progress(stage: str) -> None:
        if stage in STAGES:
            report = asyncio.create_task(context.report(STAGES[stage]))
            reports.add(report)
            report.add_done_callback(reports.discard)

    payload = context.payload
    policy_id = unword(payload["policy_id"]) if payload.get("policy_id") else None
    try:
        asked = payload["subject"], payload["epoch"], policy_id, context.job_id
        while await attestations.must_wait(*asked):  # noqa: ASYNC110
            await asyncio.sleep(EARLIER_FIRST.total_seconds())
        made = await attestations.attest(
            payload["subject"],
            payload["epoch"],
            progress,
            policy_id=policy_id,
            anchor_index=payload.get("anchor_index"),
        )
    except RefiError as error:
        await attestations.failed(payload["subject"], payload["epoch"], policy_id, context.job_id, error.code)
        raise
    finally:
        await asyncio.gather(*reports, return_exceptions=True)
    return outcome(made, attestations.constraints, own=payload.get("own") is True)


def outcome(made: Attestation, constraints: int, *, own: bool) -> dict[str, Any]:
    """Return a job's result; VaR and expected shortfall themselves only where the wallet is the asker's own."""
    shown: dict[str, Any] = {
        "outcome": "attested" if made.state is AttestationState.ATTESTED else "breach",
        "subject": made.subject,
        "epoch": made.epoch,
        "limit": decimal_string(made.limit),
    }
    if made.es_limit is not None:
        shown["es_limit"] = decimal_string(made.es_limit)
    if own:
        shown["value"] = decimal_string(made.var)
        if made.es is not None:
            shown["es"] = decimal_string(made.es)
    if made.broken:
        shown["broken"] = list(made.broken)
    if made.claim is None:
        return shown
    return shown | {
        "constraints": constraints,
        "prove_seconds": float(made.claim.prove_seconds),
        "anchor_index": made.claim.anchor_index,
        "tx_hash": made.tx_hash,
        "gas_used": made.gas_used,
    }
