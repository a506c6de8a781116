"""The place that picks implementations and puts them together.

A name is looked up when it is asked for: a process that needs a part does not load the whole.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.bootstrap.adapters import Outside, make_prover, make_signer
    from backend.bootstrap.deployment import CIRCUIT, deployment_plan, var_limits, var_policy_id
    from backend.bootstrap.platform import (
        Platform,
        before_the_next,
        build,
        halting,
        require_var_policy,
        worker_runtime,
    )
    from backend.bootstrap.watching import Watching, build_watching

__all__ = [
    "CIRCUIT",
    "Outside",
    "Platform",
    "Watching",
    "before_the_next",
    "build",
    "build_watching",
    "deployment_plan",
    "halting",
    "make_prover",
    "make_signer",
    "require_var_policy",
    "var_limits",
    "var_policy_id",
    "worker_runtime",
]

PLACES = {
    "adapters": ("Outside", "make_prover", "make_signer"),
    "deployment": ("CIRCUIT", "deployment_plan", "var_limits", "var_policy_id"),
    "platform": ("Platform", "before_the_next", "build", "halting", "require_var_policy", "worker_runtime"),
    "watching": ("Watching", "build_watching"),
}


def __getattr__(name: str) -> object:
    """Return a name from the module that has it."""
    for place, names in PLACES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{place}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
