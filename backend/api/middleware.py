"""What happens around every request: id, size limit, headers, access log, figures."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.kernel.errors import TooLarge
from backend.kit.problems import error_problem

log = structlog.get_logger("api")

REQUESTS = Counter("refi_http_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("refi_http_request_seconds", "Time to answer, in seconds", ["method", "route"])
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
STRICT_TRANSPORT = "max-age=63072000; includeSubDomains"


class Surroundings:
    """Names, times and logs a request and puts the security headers on its answer."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self.app = app
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; other kinds of connection untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = uuid4().hex, time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                add_headers(MutableHeaders(scope=message), https=self.https)
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, answer)
            finally:
                _measure(scope, status, time.perf_counter() - started)


def add_headers(headers: MutableHeaders, *, https: bool) -> None:
    """Add the security headers that the answer does not set itself."""
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    if https:
        headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)


def _measure(scope: Scope, status: int, seconds: float) -> None:
    # The template, never the path: a stranger must not be able to add label values.
    route = getattr(scope.get("route"), "path_format", None) or getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in METHODS else "OTHER"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)
    client = scope.get("client")
    log.info(
        "http.request",
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        client=client[0] if client else "",
    )


class BodyLimit:
    """Answers 413 before anything reads a body that is too large."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int]) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on when its body fits."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, limit = Headers(scope=scope), self.larger.get(scope["path"], self.max_bytes)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            await self._too_large(limit, scope, receive, send)
            return
        if "transfer-encoding" not in headers:
            await self.app(scope, receive, send)
            return
        # A chunked body says no length: it is collected up to the limit.
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > limit:
                await self._too_large(limit, scope, receive, send)
                return
            if not message.get("more_body", False):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)

    @staticmethod
    async def _too_large(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        await error_problem(TooLarge(f"a body has at most {limit} bytes"))(scope, receive, send)
