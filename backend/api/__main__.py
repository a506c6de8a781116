"""Serve the platform over HTTP: `python -m backend.api`."""

import sys

import uvicorn

from backend.api.server import application
from backend.kernel.errors import RefiError
from backend.settings import Settings


def main() -> None:
    """Run the server until it is told to stop; settings that do not fit are one line on standard error."""
    try:
        settings = Settings()
        served = application(settings)
    except RefiError as error:
        sys.exit(f"refi: {error.detail}")
    uvicorn.run(
        served,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
