"""The HTTP surface."""

from backend.api.app import create_app

__all__ = ["create_app"]
