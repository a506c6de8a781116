"""Build the HTTP application from services that somebody else made."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from backend.api.errors import install_error_handlers
from backend.api.gauges import measure
from backend.api.middleware import BodyLimit, Surroundings
from backend.api.routes import BODY_LIMITS, ROUTERS
from backend.kernel.errors import NotFound, RefiError
from backend.settings import Settings

log = structlog.get_logger("api")

PREFIX = "/api/v1"
CHECK_SECONDS = 3.0

Check = Callable[[], Awaitable[None]]
Task = Callable[[], Awaitable[None]]
Closer = Callable[[], Awaitable[None]]


def create_app(
    services: Mapping[type, object],
    *,
    routers: Sequence[APIRouter] = ROUTERS,
    tasks: Mapping[str, Task] | None = None,
    checks: Mapping[str, Check] | None = None,
    closers: Sequence[Closer] = (),
) -> FastAPI:
    """Return the application.

    `services` maps a type to its one instance and holds Settings and Database; `tasks` run as long as the application
    does; `checks` raise when a part is not ready; `closers` run last, in order.
    """
    settings = services[Settings]
    if not isinstance(settings, Settings):
        raise TypeError("services[Settings] must be a Settings")
    https = urlsplit(settings.public_url).scheme == "https"
    running: dict[str, asyncio.Task[None]] = {}
    app = FastAPI(
        title="ReFi.Trading",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(tasks or {}, running, closers),
    )
    app.state.services = dict(services)
    install_error_handlers(app, https=https)
    larger = {PREFIX + path: limit for path, limit in BODY_LIMITS.items()}
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, larger=larger)
    app.add_middleware(Surroundings, https=https)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    app.include_router(_operations(checks or {}, running))
    # Last: what no router knows under /api is a problem document, whatever is mounted beside the API.
    app.add_api_route("/api/{path:path}", _unknown, methods=_METHODS, include_in_schema=False)
    return app


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def _unknown(request: Request, path: str) -> Response:
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in request.app.routes):
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
    raise NotFound(f"there is nothing at /api/{path[:200]}")


def _lifespan(
    tasks: Mapping[str, Task], running: dict[str, asyncio.Task[None]], closers: Sequence[Closer]
) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for closer in reversed(closers):
                stack.push_async_callback(closer)
            for name, task in tasks.items():
                running[name] = asyncio.create_task(_kept_running(name, task), name=name)
                running[name].add_done_callback(_say_what_died)
            stack.push_async_callback(_stop, running)
            yield

    return lifespan


async def _kept_running(name: str, task: Task) -> None:
    while True:
        try:
            await task()
        except (RefiError, DBAPIError, OSError) as error:
            # A part that does not answer comes back; a programming fault ends the task and readiness says so.
            log.warning("task.restarted", task=name, error=type(error).__name__)
            await asyncio.sleep(1)
        else:
            return


async def _stop(running: Mapping[str, asyncio.Task[None]]) -> None:
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)


def _say_what_died(task: asyncio.Task[None]) -> None:
    if _died(task):
        log.error("task.died", task=task.get_name(), exc_info=task.exception())


def _operations(checks: Mapping[str, Check], running: Mapping[str, asyncio.Task[None]]) -> APIRouter:
    router = APIRouter(tags=["operations"], include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Ask every part that must answer."""
        names = list(checks)
        answers = await asyncio.gather(*(_ready(checks[name]) for name in names))
        parts = dict(zip(names, answers, strict=True))
        parts |= {f"task:{name}": not _died(task) for name, task in running.items()}
        status = HTTPStatus.OK if all(parts.values()) else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse({"ready": all(parts.values()), "parts": parts}, status_code=status)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return the figures for Prometheus."""
        await measure(request.app.state.services)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _ready(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except (RefiError, DBAPIError, OSError, TimeoutError):
        return False
    return True


def _died(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
