"""Run the worker: `python -m backend.worker [number of processes]`."""

import sys
from functools import partial

from backend.bootstrap import worker_runtime
from backend.kernel.errors import Invalid
from backend.kit.logging import configure_logging
from backend.settings import Settings
from backend.worker.app import worker_app


def main(arguments: list[str]) -> None:
    """Work until told to stop; the schedule runs inside."""
    settings = Settings()
    if settings.redis_url is None:
        raise Invalid("the worker needs REFI_REDIS_URL")
    configure_logging(settings.log_level)
    app = worker_app(settings.redis_url.get_secret_value(), partial(worker_runtime, settings))
    processes = arguments[0] if arguments else "2"
    schedule = str(settings.state_dir / "worker-schedule")
    app.worker_main(["worker", "--beat", "--schedule", schedule, "--concurrency", processes, "--loglevel", "WARNING"])


if __name__ == "__main__":
    main(sys.argv[1:])
