"""Background work outside the API's process."""

from backend.worker.app import Runtime, worker_app

__all__ = ["Runtime", "worker_app"]
