"""What every test may ask for."""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import backend
from backend.kit.db import Base, Database


def import_every_model() -> None:
    """Let every domain add its tables to the metadata."""
    for package in pkgutil.iter_modules(backend.__path__):
        name = f"backend.{package.name}.models"
        if package.ispkg and find_spec(name):
            importlib.import_module(name)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a SQLite database of its own with every table."""
    import_every_model()
    opened = Database(f"sqlite+aiosqlite:///{tmp_path / 'refi.sqlite3'}")
    async with opened.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield opened
    await opened.close()
