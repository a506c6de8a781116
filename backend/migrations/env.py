"""Alembic's entry: one connection, one transaction a migration."""

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, TypeDecorator, pool
from sqlalchemy.ext.asyncio import create_async_engine

from backend.migrations.run import metadata
from backend.settings import Settings


def _url() -> str:
    # The command line names no database: the platform's own settings do.
    return context.config.get_main_option("sqlalchemy.url") or Settings().database


def _render(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    # A migration stands for itself: the platform's own column types are written as what they are underneath.
    if kind == "type" and isinstance(item, TypeDecorator) and type(item).__module__.startswith("backend."):
        return f"sa.{item.impl_instance!r}"
    return False


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata(),
        # SQLite cannot alter most things: tables are copied.
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=_render,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    engine = create_async_engine(_url(), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(url=_url(), target_metadata=metadata(), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_online())
