"""The migrations build exactly what the models say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from backend.migrations.run import configuration, downgrade, metadata, upgrade


def on(path: Path, look: Callable[[Connection], Any]) -> Any:
    """Look at a database file."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            return look(connection)
    finally:
        engine.dispose()


def differences(connection: Connection) -> list[Any]:
    """Return what a migration would still have to change."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata()))


def tables(connection: Connection) -> list[str]:
    """Return the tables but Alembic's own."""
    return sorted(set(inspect(connection).get_table_names()) - {"alembic_version"})


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    path = tmp_path / "new" / "refi.sqlite3"
    upgrade(f"sqlite+aiosqlite:///{path}")
    assert on(path, differences) == []
    assert on(path, tables) == sorted(metadata().tables)


def test_a_database_that_lacks_a_column_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "refi.sqlite3"
    upgrade(f"sqlite+aiosqlite:///{path}")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN progress"))
    engine.dispose()
    assert [difference[0] for difference in on(path, differences)] == ["add_column"]


def test_migrations_can_be_taken_back_and_done_again(tmp_path: Path) -> None:
    path = tmp_path / "refi.sqlite3"
    url = f"sqlite+aiosqlite:///{path}"
    upgrade(url)
    downgrade(url, "base")
    assert on(path, tables) == []
    upgrade(url)
    upgrade(url)
    assert on(path, differences) == []


def test_there_is_one_line_of_migrations() -> None:
    assert len(ScriptDirectory.from_config(configuration("sqlite://")).get_heads()) == 1


def test_a_first_migration_written_by_the_machine_builds_every_table(tmp_path: Path) -> None:
    # Independent of the migrations that exist: the environment itself can compare and create.
    folder, path = tmp_path / "versions", tmp_path / "refi.sqlite3"
    folder.mkdir()
    config = configuration(f"sqlite+aiosqlite:///{path}")
    config.set_main_option("version_locations", str(folder))
    command.revision(config, "Start", autogenerate=True)
    command.upgrade(config, "head")
    assert on(path, differences) == []
