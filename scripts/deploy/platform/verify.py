"""Compare code, wiring and roles on the chain with the plan and the record: see scripts/deploy/README.md."""

# Ape runs this as deploy.platform.verify, not as a part of the package scripts
from .._ape import verify_platform as main  # noqa: TID252

__all__ = ["main"]
