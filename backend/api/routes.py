"""Every router of the API, with its paths; all of them stand under /api/v1."""

from collections.abc import Mapping

from fastapi import APIRouter

from backend.accounts import endpoints as accounts
from backend.anchoring import endpoints as anchoring
from backend.api import jobs
from backend.artifacts import endpoints as artifacts
from backend.audit import endpoints as audit
from backend.compliance import endpoints as compliance
from backend.execution import endpoints as execution
from backend.governance import endpoints as governance
from backend.governance.schemas import MODEL_BODY_BYTES
from backend.market import endpoints as market
from backend.onboarding import endpoints as onboarding
from backend.pipeline import endpoints as pipeline
from backend.proofs import endpoints as proofs
from backend.risk import endpoints as risk
from backend.screening import endpoints as screening
from backend.transparency import endpoints as transparency

ROUTERS: tuple[APIRouter, ...] = (
    accounts.router,  # /auth/nonce /auth/login /auth/refresh /auth/logout /auth/me /accounts /accounts/{address}/roles
    market.router,  # /market/instruments /market/bars /market/clock /market/clock/advance
    compliance.router,  # /compliance/credentials /compliance/me
    screening.router,  # /compliance/screening/lists /compliance/screening/hits[/{hit_id}/resolve]
    onboarding.router,  # /onboarding[/me|/queue|/webhook|/members[..]|/{case_id}[/disclosure|/decision]]
    pipeline.router,  # /orders /orders/batch /orders/{order_id} /positions /risk/me /risk/{address}
    execution.router,  # /reconciliations /reconciliations/{day}
    execution.fees,  # /fees/me
    risk.router,  # /halts /halts/{halt_id}/review /halts/{halt_id}/rearm /risk/reviews /risk/limits
    audit.router,  # /log/checkpoint /log/tile/{level}/{path} /log/tile/entries/{path} /log/proof/...
    anchoring.router,  # /log/anchors /log/entries/{index}/state /anchors
    proofs.router,  # /epochs/close /returns/publish /proofs/var
    artifacts.router,  # /artifacts /artifacts/{cid}
    governance.router,  # /governance/models[/{sha256}[/queue|/execute]] .../proposals[/{..}] .../transactions ...
    transparency.router,  # /evidence/{index}[/full] /evidence/accounts/{account}[/heads] /evidence/heads/{..} /erasures
    jobs.router,  # /jobs/{job_id}
)

# Bodies that may be larger than the setting allows, by their path under /api/v1: a model's weights travel in one.
BODY_LIMITS: Mapping[str, int] = {"/governance/models": MODEL_BODY_BYTES}
