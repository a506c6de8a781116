"""Exit 0 ok, 1 a check failed, 2 usage, 3 unreachable; an expected mistake is one line, never a traceback."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from backend.cli.verify import trusted
from tests.backend.cli.conftest import ROOT, Refi, several_in

SAMPLE = ROOT / "tests" / "vectors" / "evidence" / "good" / "sample.refi.json"
NAMED = ("--contract", "0x" + "11" * 20, "--chain-id", 42069)
HEAVY = ("torch", "web3", "sqlalchemy", "fastapi", "numpy", "eth_account", "celery")
IMPORTED = """
import sys
from backend.cli.verbs import run_with_every_verb
try:
    run_with_every_verb(sys.argv[1:])
except SystemExit:
    sys.exit(" ".join(name for name in {heavy} if name in sys.modules) or 0)
"""
# A shell starts what runs in the background with SIGINT ignored, and its children inherit that.
LONG_VERB = """
import signal, subprocess, sys, time
from backend.cli.app import app, run

signal.signal(signal.SIGINT, signal.default_int_handler)

@app.command()
def long() -> None:
    try:
        print("started", flush=True)
        time.sleep(60)
    finally:
        print("given back", flush=True)

run(["long"])
"""
SECRET = "canary-0f3a-secret"


class Shouting(BaseHTTPRequestHandler):
    """Refuses every request with codes that clear a terminal."""

    def do_POST(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": {"code": 1, "message": "\x1b[2Jall is well"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def silent_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Yield a port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"], ["status"]])
def test_light_verbs_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = IMPORTED.format(heavy=HEAVY)
    command = [sys.executable, "-c", script, *arguments]
    environment = {"REFI_STATE_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_good_pack_passes(refi: Refi) -> None:
    answer = refi("verify", SAMPLE, *NAMED, "--json")
    report = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert report["ok"]
    assert report["identified"]


def test_a_pack_with_one_value_changed_fails(refi: Refi, tmp_path: Path) -> None:
    pack = json.loads(SAMPLE.read_text())
    pack["entries"][0]["disclosed"]["seq"]["value"] += 1
    changed = tmp_path / "changed.refi.json"
    changed.write_text(json.dumps(pack))
    answer = refi("verify", changed, *NAMED, "--json")
    assert answer.code == 1
    assert not json.loads(answer.out)["ok"]


def test_an_rpc_that_is_down_is_unreachable(refi: Refi, silent_port: int) -> None:
    answer = refi("verify", SAMPLE, *NAMED, "--rpc", f"http://127.0.0.1:{silent_port}", "--json")
    assert answer.code == 3
    assert "unreachable" in json.loads(answer.out)["verdict"]


def test_what_cannot_be_checked_is_a_wrong_use(refi: Refi, tmp_path: Path) -> None:
    assert refi("verify", SAMPLE, "--network", "mars").is_one_line(2, "unknown network 'mars'")
    assert refi("verify", tmp_path / "none.json").is_one_line(2, "none.json cannot be read")
    assert refi("verify", SAMPLE, "--contract", "0x11").is_one_line(2, "--contract and --chain-id belong together")


def test_a_mistyped_address_is_no_fault_of_the_pack(tmp_path: Path) -> None:
    contract, chain = NAMED[:2], NAMED[2:]
    tries = (
        ([*contract[:1], "0x12", *chain], "--contract is 0x and 40 hex digits"),
        ([*NAMED, "--attestor", "zz"], "--attestor is 0x and 40 hex digits"),
        ([*contract, "--chain-id", "-5"], "--chain-id is above 0"),
        ([*contract, "--chain-id", 1 << 300], "--chain-id is above 0"),
    )
    answers = several_in(tmp_path, [["verify", str(SAMPLE), *map(str, options)] for options, _said in tries])
    for answer, (_options, said) in zip(answers, tries, strict=True):
        assert answer.is_one_line(2, said)


def test_an_attestor_that_is_named_stands_before_the_networks(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    folder.mkdir()
    for name, address in (("AuditAnchor", "0x" + "11" * 20), ("VarAttestor", "0x" + "22" * 20)):
        (folder / f"{name}.json").write_text(json.dumps({"address": address, "chain_id": 42069}))
    other = "0x" + "33" * 20
    assert trusted(tmp_path, "local", "", 0, "").attestor == "0x" + "22" * 20
    assert trusted(tmp_path, "local", "", 0, other).attestor == other


def test_what_an_endpoint_says_commands_no_terminal(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Shouting) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        options = [*map(str, NAMED), "--attestor", str(NAMED[1]), "--rpc", f"http://127.0.0.1:{server.server_port}"]
        (answer,) = several_in(tmp_path, [["audit", "var", str(NAMED[1]), *options]])
        server.shutdown()
    assert answer.is_one_line(3, "refuses eth_chainId: ?[2J")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["verify"], "Missing argument"),
        (["demo", "--days", "3"], "--days"),
        (["up", "--port", "70000"], "--port"),
        (["halt", "rearm", "0", "--reason", "x"], "halt_id"),
        (["compliance", "check", "0x12"], "'0x12' is no wallet"),
        (["compliance", "check", "0x" + "11" * 20, "--model", "zz"], "'zz' is no sha256"),
    ],
)
def test_a_wrong_use_is_told_in_one_line(arguments: list[str], said: str, refi: Refi) -> None:
    assert refi(*arguments).is_one_line(2, said)


def test_without_a_verb_the_verbs_are_listed(refi: Refi) -> None:
    answer = refi()
    assert (answer.code, answer.err) == (2, "")
    assert all(verb in answer.out for verb in ("demo", "verify", "doctor", "status"))


def test_a_malformed_setting_is_named_with_what_is_allowed(refi: Refi) -> None:
    answer = refi("status", port="abc", log_level="loud")
    assert answer.is_one_line(2, "REFI_PORT: ", "REFI_LOG_LEVEL: ", "'debug', 'info', 'warning' or 'error'")
    assert refi("status", database_url="oracle://x").is_one_line(2, "REFI_DATABASE_URL: ", "postgresql+asyncpg:")


def test_a_refused_configuration_shows_no_secret(refi: Refi) -> None:
    answer = refi("config", "show", environment="production", token_secret=SECRET, keystore_password=SECRET[:11])
    assert answer.is_one_line(2, "REFI_TOKEN_SECRET (shorter than 32 bytes)", "REFI_KEYSTORE_PASSWORD")
    assert SECRET[:11] not in answer.err


def test_the_settings_are_shown_without_secrets(refi: Refi) -> None:
    answer = refi(
        "config",
        "show",
        token_secret=SECRET,
        keystore_password=SECRET,
        redis_url=f"redis://:{SECRET}@127.0.0.1/0",
        database_url=f"postgresql+asyncpg://refi:{SECRET}@127.0.0.1/refi?password={SECRET}",
        rpc_url=f"https://node.example/v2/{SECRET}?key={SECRET}",
    )
    shown = json.loads(answer.out)
    assert answer.code == 0
    assert SECRET not in answer.out
    assert shown["database_url"] == "postgresql+asyncpg://refi:***@127.0.0.1/refi?***"
    assert shown["rpc_url"] == "https://node.example/***"
    assert shown["chain_id"] == 42069


def test_a_state_folder_that_cannot_be_used_is_named(refi: Refi, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert refi("status", state_dir=file).is_one_line(2, f"{file}/demo/services.json: Not a directory")


def test_a_torn_book_of_services_is_named(refi: Refi, tmp_path: Path) -> None:
    book = tmp_path / "state" / "demo" / "services.json"
    book.parent.mkdir(parents=True)
    for torn in ('{"a": 1}', '[{"name": "api"}]', "[", "3"):
        book.write_text(torn)
        assert refi("down").is_one_line(1, f"{book} cannot be read")


@pytest.mark.parametrize("option", ["--port", "--rpc-port"])
def test_up_names_the_port_that_is_in_use(option: str, refi: Refi, taken_port: int, silent_port: int) -> None:
    other = {"--port": "--rpc-port", "--rpc-port": "--port"}[option]
    answer = refi("up", option, taken_port, other, silent_port)
    assert answer.is_one_line(1, f"port {taken_port} is in use", option)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_verb_that_is_told_to_end_gives_back_what_it_holds(end: signal.Signals) -> None:
    command = [sys.executable, "-c", LONG_VERB]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "started\n"
        running.send_signal(end)
        out, err = running.communicate(timeout=20)
    assert (out, err, running.returncode) == ("given back\n", "", 130)
