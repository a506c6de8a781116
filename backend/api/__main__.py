"""Serve the platform over HTTP: `python -m backend.api`."""

import uvicorn

from backend.api.server import application
from backend.settings import Settings


def main() -> None:
    """Run the server until it is told to stop."""
    settings = Settings()
    uvicorn.run(
        application(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
