"""Processes that the command line starts, remembers by process id, and ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from backend.kernel.errors import Conflict, Unavailable

GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A started process; `born` tells it from a later one with the same id."""

    name: str
    pid: int
    born: float
    url: str


class Services:
    """The processes of one state folder; each is written down before it is waited for."""

    def __init__(self, state_dir: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self.state_dir = state_dir
        self._grace_seconds = grace_seconds
        self._book = state_dir / "services.json"
        self._children: list[subprocess.Popen[bytes]] = []

    def running(self) -> list[Running]:
        """Return those that were started from this folder and still live."""
        return [entry for entry in self._read() if _process(entry) is not None]

    def start(self, name: str, command: Sequence[str], *, url: str, environment: Mapping[str, str]) -> Running:
        """Start a process with its output in <state>/<name>.log and write it down."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        log = (self.state_dir / f"{name}.log").open("ab")
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        except FileNotFoundError as missing:
            raise Unavailable(f"{command[0]} is not installed: run `make setup`") from missing
        finally:
            log.close()
        self._children.append(child)
        entry = Running(name, child.pid, psutil.Process(child.pid).create_time(), url)
        self._write([*self.running(), entry])
        return entry

    def await_ready(self, entry: Running, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a process answers; say what it printed when it dies or stays silent."""
        deadline = time.monotonic() + seconds
        while not ready():
            if _process(entry) is None:
                raise Unavailable(f"{entry.name} stopped while starting:\n{self.tail(entry.name)}")
            if time.monotonic() > deadline:
                raise Unavailable(f"{entry.name} did not answer within {seconds:.0f} s:\n{self.tail(entry.name)}")
            time.sleep(0.05)

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines that a process printed."""
        log = self.state_dir / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def stop_all(self) -> list[str]:
        """End every process that still runs, last started first; return their names."""
        ended = [entry.name for entry in reversed(self.running()) if _end(entry, self._grace_seconds)]
        self._book.unlink(missing_ok=True)
        while self._children:
            self._children.pop().wait(GRACE_SECONDS)
        return ended

    def _read(self) -> list[Running]:
        try:
            return [Running(**entry) for entry in json.loads(self._book.read_text())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as torn:
            raise Conflict(f"{self._book} cannot be read: end its processes by hand and remove it") from torn

    def _write(self, entries: Sequence[Running]) -> None:
        draft = self._book.with_suffix(".new")
        draft.write_text(json.dumps([asdict(entry) for entry in entries], indent=1))
        draft.replace(self._book)


def _process(entry: Running) -> psutil.Process | None:
    try:
        process = psutil.Process(entry.pid)
        alive = process.create_time() == entry.born and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _end(entry: Running, grace_seconds: float) -> bool:
    process = _process(entry)
    if process is None:
        return False
    family = [process, *process.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGTERM)
    _gone, alive = psutil.wait_procs(family, timeout=grace_seconds)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return True


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_in_use(port: int) -> bool:
    """Return whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def refuse_taken(port: int, option: str) -> None:
    """Raise when somebody listens on a port; name the option that chooses another."""
    if port_in_use(port):
        raise Conflict(f"port {port} is in use: end what listens there, or choose another with {option}")


@contextlib.contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Hold the state folder; a second run in it is refused instead of tearing down the first."""
    import fcntl

    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"another run uses {state_dir}: wait for it, or end it with `refi down`") from None
        lock.write(str(os.getpid()))
        lock.flush()
        yield
