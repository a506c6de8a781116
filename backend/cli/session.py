"""The deployment that a verb works on: the one that runs here, or what the REFI_* settings name."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from backend.cli.services import Services
from backend.kernel.errors import Unavailable
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.bootstrap import Platform

Answer = TypeVar("Answer")
FOLDERS = ("up", "demo")


def remember(state_dir: Path, settings: dict[str, object]) -> None:
    """Write down the settings of services that are being started in a state folder."""
    written = state_dir / "settings.json"
    # A database's or a queue's URL can hold a password.
    written.touch(mode=0o600)
    written.write_text(json.dumps({name: str(value) for name, value in settings.items()}))


def current_settings() -> Settings:
    """Return the settings of what runs here, else those of the environment."""
    return running_settings() or Settings()


def running_settings() -> Settings | None:
    """Return the settings of what runs here, if something does."""
    base = Settings()
    for name in FOLDERS:
        folder = base.state_dir / name
        written = folder / "settings.json"
        if written.exists() and Services(folder).running():
            known: dict[str, Any] = json.loads(written.read_text())
            return Settings(**known)
    return None


def without_secrets(value: object) -> object:
    """Return a setting with what a URL may hide replaced: a password, a node's key in path or query."""
    if not isinstance(value, str) or "://" not in value:
        return value
    parts = urlsplit(value)
    account, at, host = parts.netloc.rpartition("@")
    netloc = f"{account.partition(':')[0]}:***@{host}" if ":" in account else f"{account}{at}{host}"
    if not parts.scheme.startswith("http"):
        head, _query, _rest = value.partition("?")
        shown = head.replace(parts.netloc, netloc, 1) if parts.netloc else head
        return shown + ("?***" if parts.query else "")
    return urlunsplit((parts.scheme, netloc, "/***" if parts.path.strip("/") or parts.query else parts.path, "", ""))


def with_platform(work: "Callable[[Platform], Awaitable[Answer]]") -> Answer:
    """Build the platform, do one piece of work on it, and give it back."""
    from backend.bootstrap import build
    from backend.kit.logging import configure_logging

    configure_logging("error")

    async def session() -> Answer:
        platform = build(current_settings())
        try:
            await platform.load()
            return await work(platform)
        finally:
            await platform.close()

    with answering_database():
        return asyncio.run(session())


@contextmanager
def answering_database() -> Iterator[None]:
    """Say in one line what is wrong with the database."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as fault:
        # The driver's first line only: the rest quotes the statement and its values.
        said = str(fault.orig).splitlines()[0]
        raise Unavailable(f"the database: {said}; `refi db upgrade` brings it to the newest schema") from fault
