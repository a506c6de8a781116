"""What an audit found: one line a check, as the verifier of packs words them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Result = Literal["pass", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's name, its result, and why; unreachable where somebody who was named did not answer."""

    name: str
    result: Result
    detail: str
    unreachable: bool = False


@dataclass(slots=True)
class Faults:
    """Collects what is wrong under each check's name; the first fault of a name is told, the others counted."""

    first: dict[str, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def add(self, check: str, detail: str) -> None:
        """Note a fault."""
        self.first.setdefault(check, detail)
        self.count[check] = self.count.get(check, 0) + 1

    def require(self, check: str, holds: bool, detail: str) -> bool:
        """Note a fault unless something holds; return whether it does."""
        if not holds:
            self.add(check, detail)
        return holds

    def finding(self, check: str, passed: str) -> Finding:
        """Return a check's finding: its first fault, else that it passed."""
        if check not in self.first:
            return Finding(check, "pass", passed)
        more = self.count[check] - 1
        return Finding(check, "fail", self.first[check] + (f" (and {more} more)" if more else ""))


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 where something failed, 3 where somebody did not answer, else 0."""
    if any(finding.result == "fail" for finding in findings):
        return 1
    return 3 if any(finding.unreachable for finding in findings) else 0
