"""What leaves the platform as evidence, and what is forgotten with an erasure."""

from backend.transparency.service.bundles import LogBundles
from backend.transparency.service.exports import AccountExports
from backend.transparency.service.forgetting import forget
from backend.transparency.service.packs import PackBuilder

__all__ = ["AccountExports", "LogBundles", "PackBuilder", "forget"]
