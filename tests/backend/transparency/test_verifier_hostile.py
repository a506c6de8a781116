"""Nothing in a pack, and nothing that an RPC says, makes the verifier crash, hang, fetch, or use more than 1 GB."""

import gzip
import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.transparency.engine import verifier
from backend.transparency.engine.verifier import MAX_PACK_BYTES, Reverted, Unreachable, examine, verify
from scripts.chaos.pack_cases import Case, Replay, load_cases, named_of
from tests.backend.transparency.examined import check, failed, result

GIGABYTE = 10**9
SECONDS = 20.0
CASES = {case.name: case for case in load_cases()}
FULL, ERASED = CASES["full"], CASES["erased"]


def filled(unit: str, head: str = '{"a":[', tail: str = "]}") -> bytes:
    """Return a file of the largest size that repeats a unit."""
    room = MAX_PACK_BYTES - len(head) - len(tail)
    return (head + (unit * (room // len(unit.encode()))).rstrip(",") + tail).encode()


def grown(**changes: Any) -> bytes:
    """Return a good pack with its first entry changed."""
    pack = ERASED.pack
    pack["entries"][0] |= changes
    return json.dumps(pack).encode()


def many_keys() -> bytes:
    return ("{" + ",".join(f'"{at:x}":0' for at in range(1_600_000)) + "}").encode()


def many_entries() -> bytes:
    entry = ERASED.pack["entries"][0] | {"inclusion": [], "disclosed": {}}
    return json.dumps(ERASED.pack | {"entries": [entry | {"index": at} for at in range(30_000)]}).encode()


def many_fields() -> bytes:
    event = ERASED.pack["entries"][0]["disclosed"]["event"]
    return grown(disclosed={"event": event} | {f"k{at}": event | {"path": [], "value": 0} for at in range(80_000)})


def huge_value() -> bytes:
    event = ERASED.pack["entries"][0]["disclosed"]["event"]
    return grown(disclosed={"event": event | {"value": [["ab"] * 60] * 25_000}})


BOMBS: dict[str, Callable[[], bytes]] = {
    "empty arrays": lambda: filled("[],"),
    "small objects": lambda: filled('{"":0},'),
    "small objects below every limit": lambda: filled('{"":0            },' + " " * 16),
    "deep objects": lambda: filled('{"":' * 29 + "0" + "}" * 29 + ","),
    "endless depth": lambda: b"[" * MAX_PACK_BYTES,
    "short strings": lambda: filled('"abcd",'),
    "many keys": many_keys,
    "one string": lambda: b'{"a":"' + b"x" * (MAX_PACK_BYTES - 8) + b'"}',
    "one wide string": ('{"a":"\U0001f600' + "x" * (MAX_PACK_BYTES - 20) + '"}').encode,
    "escapes": lambda: filled("\\\\", '{"a":"', '"}'),
    "quotes": lambda: b'"' * MAX_PACK_BYTES,
    "digits": lambda: b'{"format":' + b"9" * (MAX_PACK_BYTES - 11) + b"}",
    "many entries": many_entries,
    "many fields": many_fields,
    "a huge value": huge_value,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_worst_files_stay_below_a_gigabyte_and_end_soon(bomb: str, tmp_path: Path) -> None:
    content = BOMBS[bomb]()
    assert len(content) <= MAX_PACK_BYTES
    (tmp_path / "pack").write_bytes(content)
    limited = f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, ({GIGABYTE}, {GIGABYTE}))\n"
    limited += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    named = ["--contract", "0x" + "11" * 20, "--chain-id", "42069"]
    command = [sys.executable, "-I", "-c", limited, verifier.__file__, str(tmp_path / "pack"), *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (1, "")
    assert "refused: " in done.stdout


def test_the_limit_of_memory_is_one_that_bites() -> None:
    command = [sys.executable, "-c", "bytearray(1_000_000_000)"]
    limit = (GIGABYTE, GIGABYTE)
    done = subprocess.run(
        command, capture_output=True, check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit)
    )
    assert b"MemoryError" in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + ERASED.text.encode(),
        gzip.compress(ERASED.text.encode()),
        ERASED.text.encode("utf-16"),
        ERASED.text.encode() + b"\0",
        ERASED.text.replace('"size":48', '"size":48.0').encode(),
        ERASED.text.replace('"size":48', '"size":4.8e1').encode(),
        ERASED.text.replace('"index":0', '"index":-0').encode(),
        ERASED.text.replace('"index":0', '"index":NaN').encode(),
        ERASED.text.replace('"index":0', '"index":18446744073709551616').encode(),
        ERASED.text.replace('"index":0', '"index":0,"index":0').encode(),
        ERASED.text.replace('"seq"', '"\\ud800"').encode(),
        ERASED.text.replace('"value":"trader"', '"value":"\\ud800"').encode(),
        ERASED.text.replace('"value":"trader"', '"value":null').encode(),
        ERASED.text.encode() + b" " * MAX_PACK_BYTES,
        b'{"format":"refi-evidence/2"}',
        b"",
    ],
    ids=range(16),
)
def test_what_has_another_form_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    assert failed(verify(content)) == {"format"}
    (tmp_path / "pack").write_bytes(content)
    command = [sys.executable, "-I", verifier.__file__, str(tmp_path / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert done.stdout.startswith("refused: ")


@pytest.mark.parametrize("number", [2**53 - 1, 2**52, 2**31, 0])
def test_the_largest_numbers_end_in_a_refusal(number: int) -> None:
    for name in ("index", "size", "block_number", "chain_id"):
        pack = FULL.pack
        pack["anchor"][name] = number
        assert not check(pack, rpc_urls=[]).ok
    pack = FULL.pack
    pack["heads"] |= {"index": number, "of": number, "count": number}
    pack["entries"][0]["index"] = number
    pack["entries"][0]["disclosed"]["event"] |= {"index": number, "count": number}
    assert {"inclusion", "heads", "disclosed fields"} <= failed(check(pack))


def test_markup_and_control_characters_of_a_pack_reach_no_terminal(tmp_path: Path) -> None:
    pack = ERASED.pack | {"origin": "[/red][link=x]\u202e\u0007"}
    (tmp_path / "pack").write_text(json.dumps(pack))
    command = [sys.executable, "-m", "backend.cli", "verify", str(tmp_path / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert not {"\u202e", "\x07"} & set(done.stdout)


# --- an RPC that does what it likes


class Trap:
    """A server on loopback that plays a script with each connection."""

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._script = script
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    connection.recv(65536)
                    self._script(connection)
                except OSError:
                    pass

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def trap() -> Iterator[Callable[[Callable[[socket.socket], None]], Trap]]:
    """Return a function that starts a trap."""
    traps: list[Trap] = []

    def start(script: Callable[[socket.socket], None]) -> Trap:
        traps.append(Trap(script))
        return traps[-1]

    yield start
    for one in traps:
        one.close()


OK = b"HTTP/1.1 200 OK\r\n"


def slowly(content: bytes, head: bytes = b"") -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for byte in (content * 30)[:30]:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    return send


def endlessly(head: bytes, chunk: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(chunk)

    return send


def at_once(content: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(content)


SCRIPTS: dict[str, Callable[[socket.socket], None]] = {
    "a slow status line": slowly(b"HTTP/1.1 "),
    "slow headers": slowly(b"X: y\r\n", OK),
    "a slow body": slowly(b" ", OK + b"\r\n"),
    "an endless body": endlessly(OK + b"\r\n", b" " * 65536),
    "an endless chunked body": endlessly(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "endless headers": endlessly(OK, b"X: y\r\n" * 1000),
    "an endless header": endlessly(OK + b"X: ", b"y" * 65536),
    "no status line": at_once(b"hello\r\n\r\n"),
    "a broken length": at_once(OK + b"Content-Length: many\r\n\r\n{}"),
    "a length too great": at_once(OK + b"Content-Length: 99\r\n\r\n{}"),
    "a broken chunk": at_once(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "compressed bytes": at_once(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"result":"0xa455"}')),
    "nothing": at_once(b""),
    "deep nesting": at_once(OK + b"\r\n" + b"[" * 100_000),
    "a long number": at_once(OK + b"\r\n" + b'{"result":' + b"9" * 9000 + b"}"),
    "not UTF-8": at_once(OK + b"\r\n\xff"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_rpc_that_misbehaves_is_unreachable_in_bounded_time(script: str, trap: Any) -> None:
    started = time.monotonic()
    url = trap(SCRIPTS[script]).url
    report = verify(ERASED.text.encode(), **ERASED.named, rpc_urls=[url], timeout=0.5)
    assert time.monotonic() - started < 3
    assert (result(report, "anchor on chain"), report.exit_code) == ("skipped", 3)


def test_an_rpc_that_sends_the_verifier_elsewhere_is_not_followed(trap: Any) -> None:
    elsewhere = trap(at_once(OK + b'\r\n{"result":"0xa455"}'))
    for status in (301, 302, 303, 307, 308):
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
        report = verify(ERASED.text.encode(), **ERASED.named, rpc_urls=[trap(at_once(head.encode())).url], timeout=2.0)
        assert report.exit_code == 3
        assert f"status {status}" in next(item.detail for item in report.checks if item.name == "anchor on chain")
    assert elsewhere.connections == 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["0x", "0x6e", "latest"]),
    lambda items: (
        st.lists(items, max_size=3)
        | st.dictionaries(
            st.sampled_from(["logs", "number", "hash", "topics", "data", "blockNumber"]), items, max_size=4
        )
    ),
    max_leaves=9,
)
HEX = st.binary(max_size=640).map(lambda content: "0x" + content.hex())
ANSWERS = JSON | HEX | st.builds(Reverted, st.binary(max_size=80))


class Babbler(Replay):
    """Answers some questions truthfully, the others with anything."""

    def __init__(self, case: Case, data: st.DataObject) -> None:
        super().__init__(case.answers)
        self._data = data

    def ask(self, method: str, *parameters: object) -> Any:
        """Return the truth, nonsense, or nothing at all."""
        kind = self._data.draw(st.sampled_from(["truth", "truth", "nonsense", "silence"]))
        if kind == "truth":
            return super().ask(method, *parameters)
        if kind == "silence":
            raise Unreachable(f"no answer to {method}")
        answer = self._data.draw(ANSWERS)
        return answer if method == "eth_call" or not isinstance(answer, Reverted) else None


@given(st.sampled_from(["full", "attested", "l2_proof", "erased"]), st.data())
@settings(max_examples=80, deadline=None)
def test_an_rpc_that_babbles_crashes_nothing(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    report = examine(case.text.encode(), named_of(case, with_returns=False), [Babbler(case, data)])
    assert len(report.checks) == len(verifier.CHECKS)
