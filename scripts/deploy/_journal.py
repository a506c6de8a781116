"""What a deployment is about to send, written down before it is sent: the chain says what became of it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ._plan import PlanRefused

STEPS = "steps.jsonl"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction of a step; the key names what the step does: call or creation code, and to what."""

    step: int
    what: str
    key: str
    nonce: int
    max_fee: int
    tip: int
    tx_hash: str


@dataclass(slots=True)
class Journal:
    """The attempts of one deployment's steps, on disk before their transactions leave."""

    path: Path
    chain_id: int
    deployer: str
    is_finished: bool = False
    steps: dict[int, list[Attempt]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, finished: bool) -> "Journal":
        """Read a journal; a last line that was cut off was never acted upon."""
        whole, _, _torn = path.read_text("utf-8").rpartition("\n")
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
            journal = cls(path, head["chain_id"], head["deployer"], finished)
            for line in lines:
                journal.steps.setdefault(line["step"], []).append(Attempt(**line))
        except (ValueError, TypeError, KeyError) as error:
            raise PlanRefused(f"{path} is no journal of a deployment: {error}") from error
        return journal

    def start(self) -> None:
        """Begin the file anew."""
        self.steps.clear()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.write_text(self._head(), "utf-8")
        fresh.replace(self.path)

    def cut(self) -> None:
        """Take a torn last line off, so that the next one begins on its own."""
        text = self.path.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            os.truncate(self.path, len(whole.encode()))

    def write(self, attempt: Attempt) -> None:
        """Put an attempt on disk."""
        self.steps.setdefault(attempt.step, []).append(attempt)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(attempt)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def summary(self, mined: dict[int, str]) -> str:
        """Return the finished journal's text: of each step the attempt that was mined."""
        attempts = [
            attempt for step, hashed in mined.items() for attempt in self.steps[step] if attempt.tx_hash == hashed
        ]
        return self._head() + "".join(json.dumps(asdict(attempt)) + "\n" for attempt in attempts)

    def _head(self) -> str:
        head: dict[str, Any] = {"chain_id": self.chain_id, "deployer": self.deployer}
        return json.dumps(head) + "\n"


def journal_beside(out: Path) -> Path:
    """Return where a deployment that is under way is written down: its folder stays whole for readers."""
    return out.with_name(f".{out.name}.journal.jsonl")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a deployment's folder; a second run at the same time is refused."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f".{out.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise PlanRefused(f"another run is deploying to {out}") from held
        yield
