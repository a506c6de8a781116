"""Every error as a problem document (RFC 9457)."""

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException

from backend.api.middleware import add_headers
from backend.kernel.errors import RefiError, Unavailable
from backend.kit.problems import error_problem, problem

log = structlog.get_logger("api")


def install_error_handlers(app: FastAPI, *, https: bool) -> None:
    """Let the app answer every fault with a problem document."""
    app.add_exception_handler(RefiError, _refi_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(InterfaceError, _database_error)

    async def fault(_request: Request, error: Exception) -> Response:
        log.error("http.fault", error=type(error).__name__)
        answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an internal fault; nothing was changed")
        add_headers(answer.headers, https=https)
        return answer

    app.add_exception_handler(Exception, fault)


async def _refi_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RefiError):
        raise error
    level = log.error if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
    level("http.problem", code=error.code, detail=error.detail)
    return error_problem(error)


async def _database_error(_request: Request, error: Exception) -> Response:
    log.error("database.unavailable", error=type(error).__name__)
    return error_problem(Unavailable("the database does not answer"))


async def _validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # Place and rule only: the library's own text quotes the input.
    errors = [
        {"in": ".".join(str(part) for part in item["loc"]), "rule": item["type"], "message": item["msg"]}
        for item in error.errors()
    ]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "the request is not well-formed", errors=errors)


async def _http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return problem(status, code, str(error.detail), headers=error.headers)
