"""Bring a database to a schema version."""

import importlib
import pkgutil
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url

import backend
from backend.kit.db import Base

FOLDER = Path(__file__).parent


def metadata() -> MetaData:
    """Return the tables of every package that has models."""
    for package in pkgutil.iter_modules(backend.__path__):
        name = f"{backend.__name__}.{package.name}.models"
        if package.ispkg and find_spec(name) is not None:
            importlib.import_module(name)
    return Base.metadata


def configuration(url: str) -> Config:
    """Return Alembic's configuration for a database; the application's own URL is good enough."""
    config = Config(FOLDER / "alembic.ini")
    config.set_main_option("script_location", str(FOLDER))
    # Alembic's options are interpolated: a percent sign in a password is doubled.
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to a revision, the newest unless one is named; call it outside an event loop."""
    path = make_url(url).database
    if url.startswith("sqlite") and path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision; `base` is the empty one."""
    command.downgrade(configuration(url), revision)
