"""Deploy the whole platform, or go on where a run before was cut off: see scripts/deploy/README.md."""

# Ape runs this as deploy.platform.deploy, not as a part of the package scripts
from .._ape import deploy_platform as main  # noqa: TID252

__all__ = ["main"]
