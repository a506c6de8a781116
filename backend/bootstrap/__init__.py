"""The place that picks implementations and puts them together."""

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

__all__ = [
    "CIRCUIT",
    "Outside",
    "Platform",
    "before_the_next",
    "build",
    "deployment_plan",
    "halting",
    "make_prover",
    "make_signer",
    "require_var_policy",
    "var_limits",
    "var_policy_id",
    "worker_runtime",
]
