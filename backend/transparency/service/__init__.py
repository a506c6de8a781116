"""What leaves the platform as evidence."""

from backend.transparency.service.packs import PackBuilder

__all__ = ["PackBuilder"]
