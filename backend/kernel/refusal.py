"""A gate's no: a value that travels like any other outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Gate = Literal["compliance", "risk", "halted", "execution"]


@dataclass(frozen=True, slots=True)
class Refused:
    """What a gate answers instead of its token: the gate, the rule that said no, and why."""

    gate: Gate
    rule: str
    reason: str
    detail: Mapping[str, str] = field(default_factory=dict)
