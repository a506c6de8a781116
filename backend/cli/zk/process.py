"""A process of ours that answers in JSON lines: progress first, the answer last."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from backend.cli.local import ROOT
from backend.kernel.errors import Conflict, Unavailable
from backend.settings import child_environment

PROVER = "circuits.prover"
GRACE_SECONDS = 2
ERROR_TAIL = 500

Answer = dict[str, Any]
Progress = Callable[[str], None]


def ask(module: str, *arguments: object, request: Mapping[str, Any] | None = None, progress: Progress) -> Answer:
    """Run `python -m module` and return its last line; whatever ends this process ends that one and its children."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, cwd=ROOT, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            answer = _converse(process, request, progress)
            process.wait()
        finally:
            _end(process)
        if answer is not None and "error" in answer:
            # The class of the fault is for those who read the process's own output
            raise Conflict(str(answer["error"]).partition(": ")[2] or str(answer["error"]))
        if answer is None:
            raise Unavailable(f"{module} {arguments[0]} ended without an answer: {_tail(said)}")
        return answer


def _converse(process: subprocess.Popen[str], request: Mapping[str, Any] | None, progress: Progress) -> Answer | None:
    if process.stdin is None or process.stdout is None:
        raise Unavailable("the process has no pipes")
    with suppress(BrokenPipeError):
        process.stdin.write("" if request is None else json.dumps(request))
        process.stdin.close()
    answer: Answer | None = None
    for line in process.stdout:
        try:
            message = json.loads(line)
        except ValueError as cut:
            raise Unavailable("the process ended in the middle of an answer") from cut
        if "progress" in message:
            progress(str(message["progress"]))
        else:
            answer = message
    return answer


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it started, politely first: it may have something to clear away."""
    for kind in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)


def _tail(said: IO[str]) -> str:
    said.seek(0)
    return said.read()[-ERROR_TAIL:].strip() or "it said nothing"
