"""Problem documents (RFC 9457): what every fault and every refusal looks like on the wire."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from backend.kernel.errors import RefiError
from backend.kernel.refusal import Gate, Refused

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:refi:problem:"

REFUSAL_STATUS: Mapping[Gate, HTTPStatus] = {
    "compliance": HTTPStatus.FORBIDDEN,
    "risk": HTTPStatus.UNPROCESSABLE_ENTITY,
    "halted": HTTPStatus.LOCKED,
    "execution": HTTPStatus.CONFLICT,
}


class ProblemResponse(JSONResponse):
    """A JSON response with the problem media type."""

    media_type = MEDIA_TYPE


def problem(
    status: HTTPStatus, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> ProblemResponse:
    """Return a problem document."""
    body = {"type": TYPE_PREFIX + code, "title": status.phrase, "status": status.value, "detail": detail, **members}
    return ProblemResponse(body, status_code=status.value, headers=headers)


def error_problem(error: RefiError) -> ProblemResponse:
    """Return the document of a fault; the context stays in the log."""
    headers: dict[str, str] = {}
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status is HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(error.context.get("retry_after", 60))
    return problem(error.status, error.code, error.detail, headers=headers)


def refusal_problem(refused: Refused) -> ProblemResponse:
    """Return the document of a gate's no; the caller's transaction is committed before it is sent."""
    return problem(
        REFUSAL_STATUS[refused.gate],
        f"refused:{refused.gate}",
        refused.reason,
        gate=refused.gate,
        rule=refused.rule,
        reason=refused.reason,
        refusal=dict(refused.detail),
    )
