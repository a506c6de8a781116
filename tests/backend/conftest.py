"""Databases and servers for the tests of the backend."""

from collections.abc import AsyncIterator

import pytest

from backend.kit.db import Base, Database
from backend.migrations.run import metadata
from tests.servers import postgres, postgres_url, redis_url

__all__ = ["postgres", "postgres_database", "postgres_url", "redis_url"]


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    """Yield a PostgreSQL database with every table."""
    metadata()
    opened = Database(postgres_url)
    async with opened.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield opened
    await opened.close()
