"""The worker's schedule does what nobody asks for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backend.kernel.errors import Unavailable
from backend.kit.db import Database
from backend.kit.queue import Chore, WorkerRuntime
from backend.worker import worker_app
from backend.worker.app import CHORES, REDRIVE, Runtime


def runtime_with(folder: Path, *chores: Chore) -> Runtime:
    """Return a runtime that has chores to do."""

    @asynccontextmanager
    async def runtime() -> AsyncIterator[WorkerRuntime]:
        database = Database(f"sqlite+aiosqlite:///{folder / 'refi.sqlite3'}")
        yield WorkerRuntime(database, {}, chores=chores)
        await database.close()

    return runtime


# One test: Celery takes a second application's tasks of the same names for a mistake.
def test_chores_are_done_in_order_each_time_and_a_fault_ends_its_own_turn_only(tmp_path: Path) -> None:
    done: list[str] = []

    async def bundle() -> None:
        done.append("bundle")
        if len(done) == 1:
            raise Unavailable("the database is busy")

    async def pin() -> None:
        done.append("pin")

    app = worker_app("memory://", runtime_with(tmp_path, bundle, pin))
    assert set(app.conf.beat_schedule) == {CHORES, REDRIVE}
    assert app.tasks[CHORES].apply().failed()
    assert app.tasks[CHORES].apply().successful()
    assert done == ["bundle", "pin", "bundle", "pin"]
