"""The shell around the routes: errors, limits, headers, tasks, readiness."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, Header
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from backend.api.app import create_app
from backend.kernel.errors import Conflict, Unavailable
from backend.kernel.refusal import Gate, Refused
from backend.kit.db import Database
from backend.kit.deps import Transaction
from backend.kit.logging import configure_logging
from backend.kit.problems import refusal_problem
from backend.settings import Settings
from tests.backend.accounts.site import local_settings

CANARY = "canary-9f2c"
router = APIRouter()


class Body(BaseModel):
    """A body with one number."""

    number: int


@router.post("/echo")
async def echo(body: Body) -> Body:
    """Return the body."""
    return body


@router.get("/conflict")
async def conflict() -> None:
    """Raise an error of the tree."""
    raise Conflict("the book is closed", secret=CANARY)


@router.get("/fault")
async def fault() -> None:
    """Raise what nobody thought of."""
    raise KeyError(CANARY)


@router.get("/database")
async def database_down() -> None:
    """Meet a database that is away."""
    raise OperationalError(CANARY, None, OSError())


@router.post("/refused/{gate}")
async def refused(gate: Gate, session: Transaction) -> Response:
    """Write a row and refuse."""
    await session.execute(text("INSERT INTO idempotency_keys VALUES (1, :gate, '', 0, '', '', '')"), {"gate": gate})
    return refusal_problem(Refused(gate, "var_limit", "the VaR limit is reached", {"limit": "2000"}))


@router.post("/rolled-back")
async def rolled_back(session: Transaction) -> None:
    """Write a row and fail."""
    await session.execute(text("INSERT INTO idempotency_keys VALUES (1, 'x', '', 0, '', '', '')"))
    raise Unavailable("the chain does not answer")


@router.get("/held")
async def held(token: Annotated[str, Header()] = "") -> dict[str, bool]:
    """Take a secret."""
    return {"held": bool(token)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with a small body limit."""
    return local_settings(tmp_path, max_body_bytes=100)


@pytest.fixture
async def client(settings: Settings, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an app with the routes above."""
    app = create_app({Settings: settings, Database: database}, routers=[router])
    async with connected(app) as made:
        yield made


def connected(app: Any) -> httpx.AsyncClient:
    """Return a client of an app; faults are answered, not raised."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether an answer is the problem document that was expected."""
    body = answer.json()
    return (
        answer.headers["content-type"] == "application/problem+json"
        and answer.status_code == body["status"] == status
        and body["type"] == f"urn:refi:problem:{code}"
        and CANARY not in answer.text
    )


async def test_every_error_is_a_problem_document(client: httpx.AsyncClient) -> None:
    assert is_problem(await client.get("/api/v1/conflict"), 409, "conflict")
    assert is_problem(await client.get("/api/v1/fault"), 500, "internal")
    assert is_problem(await client.get("/api/v1/database"), 503, "unavailable")
    assert is_problem(await client.get("/api/v1/echo"), 405, "method_not_allowed")
    assert is_problem(await client.get("/nothing"), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/nothing", "/api/v2/auth/me", "/api/"])
async def test_an_unknown_path_under_the_api_is_never_a_page(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await client.request(method, path, headers={"Accept": "text/html"})
        assert is_problem(answer, 404, "not_found")


@pytest.mark.parametrize("body", [{"number": CANARY}, {CANARY + "x": 1}, [CANARY], CANARY])
async def test_a_malformed_request_is_told_where_and_never_quoted(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/api/v1/echo", json=body)
    assert is_problem(answer, 422, "invalid")
    assert answer.json()["errors"][0]["in"].startswith("body")


@pytest.mark.parametrize(("gate", "status"), [("compliance", 403), ("risk", 422), ("halted", 423), ("execution", 409)])
async def test_a_refusal_is_committed_before_it_is_told(
    client: httpx.AsyncClient, database: Database, gate: str, status: int
) -> None:
    answer = await client.post(f"/api/v1/refused/{gate}")
    assert is_problem(answer, status, f"refused:{gate}")
    body = answer.json()
    assert (body["gate"], body["rule"], body["reason"]) == (gate, "var_limit", "the VaR limit is reached")
    async with database.reading() as session:
        assert await session.scalar(text("SELECT key FROM idempotency_keys")) == gate


async def test_a_fault_rolls_everything_back(client: httpx.AsyncClient, database: Database) -> None:
    assert is_problem(await client.post("/api/v1/rolled-back"), 503, "unavailable")
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


async def test_a_body_over_the_limit_is_refused_with_and_without_a_length(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10

    assert is_problem(await client.post("/api/v1/echo", content=b"x" * 101), 413, "too_large")
    assert is_problem(await client.post("/api/v1/echo", content=chunks()), 413, "too_large")


async def test_a_body_within_the_limit_passes_with_and_without_a_length(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"num'
        yield b'ber": 7}'

    json_type = {"Content-Type": "application/json"}
    assert (await client.post("/api/v1/echo", json={"number": 7})).json() == {"number": 7}
    assert (await client.post("/api/v1/echo", content=chunks(), headers=json_type)).json() == {"number": 7}


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/api/v1/conflict", "/api/v1/fault", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
    assert len((await client.get("/healthz")).headers["x-request-id"]) == 32


async def test_https_is_made_to_stay(tmp_path: Path, database: Database) -> None:
    settings = local_settings(tmp_path, public_url="https://refi.example")
    async with connected(create_app({Settings: settings, Database: database}, routers=[])) as client:
        assert "max-age=" in (await client.get("/healthz")).headers["strict-transport-security"]


async def test_figures_name_the_route_and_never_the_path(client: httpx.AsyncClient) -> None:
    await client.get(f"/api/v1/{CANARY}")
    await client.get("/api/v1/held")
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "refi_http_requests_total" in answer.text
    assert CANARY not in answer.text


async def test_the_description_of_the_api_is_served(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    assert "/api/v1/echo" in described["paths"]
    assert "/api/{path}" not in described["paths"]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Collect the log and put everything back afterwards."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    configure_logging("info", written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


async def test_the_access_log_has_the_request_and_no_secret(lines: io.StringIO, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/v1/held?code={CANARY}", headers={"token": CANARY, "Authorization": CANARY})
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    request = next(line for line in logged if line["event"] == "http.request")
    assert (request["method"], request["status"]) == ("GET", 200)
    assert request["request_id"] == answer.headers["x-request-id"]
    assert CANARY not in lines.getvalue()


async def ready(client: httpx.AsyncClient) -> tuple[int, dict[str, bool]]:
    """Ask whether everything is ready."""
    answer = await client.get("/readyz")
    return answer.status_code, answer.json()["parts"]


async def good() -> None:
    """Be ready."""


async def bad() -> None:
    """Do not answer."""
    raise Unavailable("no")


async def test_readiness_asks_every_part(settings: Settings, database: Database) -> None:
    services = {Settings: settings, Database: database}
    async with connected(create_app(services, routers=[], checks={"database": good})) as client:
        assert await ready(client) == (200, {"database": True})
    async with connected(create_app(services, routers=[], checks={"database": good, "chain": bad})) as client:
        assert await ready(client) == (503, {"database": True, "chain": False})


async def test_tasks_run_with_the_app_and_closers_come_last(settings: Settings, database: Database) -> None:
    seen: list[str] = []

    async def task() -> None:
        seen.append("started")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("stopped")

    async def close_one() -> None:
        seen.append("closed one")

    async def close_two() -> None:
        seen.append("closed two")

    services = {Settings: settings, Database: database}
    app = create_app(services, routers=[], tasks={"loop": task}, closers=[close_one, close_two])
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0)
        async with connected(app) as client:
            assert await ready(client) == (200, {"task:loop": True})
    assert seen == ["started", "stopped", "closed one", "closed two"]


async def test_a_task_that_dies_shows_and_one_that_meets_silence_goes_on(
    settings: Settings, database: Database
) -> None:
    runs: list[str] = []

    async def broken() -> None:
        raise KeyError("nobody thought of it")

    async def silent() -> None:
        runs.append("run")
        if len(runs) == 1:
            raise Unavailable("the chain does not answer")
        await asyncio.Event().wait()

    app = create_app({Settings: settings, Database: database}, routers=[], tasks={"broken": broken, "silent": silent})
    with capture_logs() as said:
        async with app.router.lifespan_context(app):
            async with asyncio.timeout(5):
                while len(runs) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            # Why it is not ready is said when it happens, not when the application ends
            assert [line["task"] for line in said if line["event"] == "task.died"] == ["broken"]
            async with connected(app) as client:
                assert await ready(client) == (503, {"task:broken": False, "task:silent": True})
