"""What anchoring does, one topic a module."""

from backend.anchoring.service.anchors import AnchorService

__all__ = ["AnchorService"]
