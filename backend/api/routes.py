"""Every router of the API, with its paths; all of them stand under /api/v1."""

from fastapi import APIRouter

from backend.accounts import endpoints as accounts
from backend.api import jobs

ROUTERS: tuple[APIRouter, ...] = (
    accounts.router,  # /auth/nonce /auth/login /auth/refresh /auth/logout /auth/me /accounts /accounts/{address}/roles
    jobs.router,  # /jobs/{job_id}
)
