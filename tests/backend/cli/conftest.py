"""The command line as a person runs it: a process of its own, in a state folder of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.settings import child_environment

ROOT = Path(__file__).resolve().parents[3]
# Several verbs in one process: most of a verb's time is spent on imports.
SEVERAL = """
import contextlib, io, json, sys
from backend.cli.verbs import run_with_every_verb
answers = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_with_every_verb(arguments)
        except SystemExit as end:
            answers.append([end.code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb exits with and prints."""

    code: int
    out: str
    err: str

    def is_one_line(self, code: int, *parts: str) -> bool:
        """Whether it is an error told as one line that holds the parts."""
        lines = self.err.splitlines()
        return (
            self.code == code
            and len(lines) == 1
            and lines[0].startswith("refi: ")
            and all(part in lines[0] for part in parts)
        )


Refi = Callable[..., Answer]


def refi_in(folder: Path, *arguments: object, **settings: object) -> Answer:
    """Run one verb."""
    command = [sys.executable, "-m", "backend.cli", *map(str, arguments)]
    return _answer(command, folder, settings)


def several_in(folder: Path, verbs: Sequence[Sequence[str]], **settings: object) -> list[Answer]:
    """Run several verbs one after the other in one process."""
    done = _answer([sys.executable, "-c", SEVERAL, json.dumps(verbs)], folder, settings)
    assert done.code == 0, done.err
    return [Answer(*entry) for entry in json.loads(done.out)]


def _answer(command: list[str], folder: Path, settings: dict[str, object]) -> Answer:
    environment = child_environment(**{"state_dir": folder, "deployments_dir": folder / "deployments"} | settings)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def refi(tmp_path: Path) -> Refi:
    """Return what runs `refi` in a fresh state folder."""

    def run(*arguments: object, **settings: object) -> Answer:
        return refi_in(tmp_path / "state", *arguments, **settings)

    return run
