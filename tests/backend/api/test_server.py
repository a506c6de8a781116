"""The whole application as a process serves it, with a chain that does not answer."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import structlog.testing

from backend.api.app import PREFIX
from backend.api.routes import ROUTERS
from backend.api.server import application
from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
PORT_NOBODY_SERVES = 1


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """Put the process's logging back to how it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def app(tmp_path: Path, _logging_as_before: None) -> Any:
    """Return the application on a fresh database."""
    return application(
        Settings(
            _env_file=None,
            state_dir=tmp_path / "state",
            deployments_dir=tmp_path / "deployments",
            proving_keys_dir=ROOT / ".refi" / "zk",
            rpc_url=f"http://127.0.0.1:{PORT_NOBODY_SERVES}",
            first_business_day="2016-06-01",
        )
    )


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client while the application's tasks run."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as made,
    ):
        yield made


async def test_it_lives_but_is_not_ready_while_the_chain_is_down(client: httpx.AsyncClient) -> None:
    alive = await client.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    await asyncio.sleep(0)
    ready = await client.get("/readyz")
    parts = ready.json()["parts"]
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert [name for name, good in parts.items() if not good] == ["chain"]
    assert {"database", "task:sequencer", "task:jobs", "task:pins"} <= set(parts)


async def test_a_chain_that_does_not_know_the_settings_policy_is_said_at_start(app: Any) -> None:
    with structlog.testing.capture_logs() as said:
        async with app.router.lifespan_context(app), asyncio.timeout(10):
            while not any(line["event"].startswith("var.policy") for line in said):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    [line] = [line for line in said if line["event"].startswith("var.policy")]
    assert (line["event"], line["log_level"]) == ("var.policy_mismatch", "critical")
    assert "(the settings describe one that allows a VaR of 2000 and an ES of 3000 USD)" in line["reason"]


async def test_the_figures_are_there_for_prometheus(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE python_info gauge" in answer.text


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every operation with its path and method."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def references(value: Any) -> Iterator[str]:
    """Yield every reference in a document."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key == "$ref":
            yield item
        else:
            yield from references(item)


async def test_the_description_lists_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get(f"{PREFIX}/openapi.json")).json()
    served = {
        (PREFIX + route.path_format, method)  # type: ignore[attr-defined]
        for router in ROUTERS
        for route in router.routes
        if getattr(route, "include_in_schema", False)
        for method in route.methods  # type: ignore[attr-defined]
    }
    assert len(served) > 30
    assert {(path, method) for path, method, _operation in operations(document)} == served


async def test_the_description_is_sound_openapi(client: httpx.AsyncClient) -> None:
    document = (await client.get(f"{PREFIX}/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "ReFi.Trading"
    assert document["info"]["version"]
    identifiers = [operation["operationId"] for _path, _method, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    for path, _method, operation in operations(document):
        declared = {given["name"] for given in operation.get("parameters", ()) if given["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)", path))
        assert any(status.startswith("2") for status in operation["responses"])
    schemas = document["components"]["schemas"]
    assert {reference.rpartition("/")[0] for reference in references(document)} == {"#/components/schemas"}
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
