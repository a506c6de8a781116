"""Processes that the command line starts, remembers and ends."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend.cli.services import Services, exclusive, free_port, port_in_use
from backend.kernel.errors import Conflict, Unavailable
from backend.settings import child_environment

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
# Ignores SIGTERM and has a child that does too.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Yield the processes of a fresh folder; end what a test left."""
    made = Services(tmp_path / "state")
    yield made
    if (made.state_dir / "services.json").exists():
        made.stop_all()


def start(services: Services, name: str = "sleeper", command: list[str] | None = None) -> psutil.Process:
    """Start a process and return it."""
    entry = services.start(name, command or SLEEPER, url="http://127.0.0.1:1", environment=child_environment())
    return psutil.Process(entry.pid)


def test_a_started_process_is_written_down_and_ended(services: Services) -> None:
    process = start(services)
    again = Services(services.state_dir)
    assert [(entry.name, entry.pid) for entry in again.running()] == [("sleeper", process.pid)]
    assert services.stop_all() == ["sleeper"]
    assert not process.is_running()
    assert again.running() == []
    assert again.stop_all() == []


def test_the_last_started_ends_first(services: Services) -> None:
    start(services, "chain")
    start(services, "api")
    assert services.stop_all() == ["api", "chain"]


def test_children_end_with_their_parent(services: Services) -> None:
    parent = start(services, "stubborn", [sys.executable, "-c", STUBBORN.replace("SIG_IGN", "SIG_DFL")])
    services.await_ready(services.running()[0], lambda: bool(services.tail("stubborn")), 10)
    child = psutil.Process(int(services.tail("stubborn")))
    services.stop_all()
    assert not parent.is_running()
    assert not child.is_running()


def test_a_process_that_ignores_the_polite_signal_is_killed(services: Services) -> None:
    hurried = Services(services.state_dir, grace_seconds=0.2)
    parent = start(hurried, "stubborn", [sys.executable, "-c", STUBBORN])
    hurried.await_ready(hurried.running()[0], lambda: bool(hurried.tail("stubborn")), 10)
    hurried.stop_all()
    assert not parent.is_running()


def test_a_later_process_with_the_same_id_is_left_alone(services: Services) -> None:
    stranger = subprocess.Popen(SLEEPER)
    try:
        services.state_dir.mkdir(parents=True)
        born = psutil.Process(stranger.pid).create_time() - 1
        entry = {"name": "api", "pid": stranger.pid, "born": born, "url": ""}
        (services.state_dir / "services.json").write_text(json.dumps([entry]))
        assert services.running() == []
        assert services.stop_all() == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_dies_while_starting_says_its_last_lines(services: Services) -> None:
    script = "import sys; print('\\n'.join(f'line {n}' for n in range(40)), flush=True); sys.exit('no such key')"
    start(services, "api", [sys.executable, "-c", script])
    entry = json.loads((services.state_dir / "services.json").read_text())[0]
    with pytest.raises(Unavailable) as died:
        services.await_ready(services._read()[0], lambda: False, 10)
    assert entry["name"] == "api"
    assert died.value.detail.startswith("api stopped while starting:")
    assert "no such key" in died.value.detail
    assert "line 39" in died.value.detail
    assert "line 3\n" not in died.value.detail


def test_a_process_that_stays_silent_is_not_waited_for_longer(services: Services) -> None:
    start(services)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="sleeper did not answer within 0 s"):
        services.await_ready(services.running()[0], lambda: False, 0.2)
    assert time.monotonic() - started < 5


def test_a_program_that_is_not_installed_is_named(services: Services) -> None:
    with pytest.raises(Unavailable, match=r"no-such-program is not installed: run `make setup`"):
        start(services, "chain", ["/no-such-program"])


def test_a_second_holder_of_a_folder_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path / "run"):
        assert (tmp_path / "run" / "lock").read_text() == str(os.getpid())
        with pytest.raises(Conflict, match="another run uses"), exclusive(tmp_path / "run"):
            pass
    with exclusive(tmp_path / "run"), exclusive(tmp_path / "other"):
        pass


def test_a_port_is_in_use_while_somebody_listens() -> None:
    port = free_port()
    assert not port_in_use(port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert port_in_use(port)
