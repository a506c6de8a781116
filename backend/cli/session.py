"""The deployment that a verb works on: the one that runs here, or what the REFI_* settings name."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backend.cli.services import Services
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.bootstrap import Platform

Answer = TypeVar("Answer")
FOLDERS = ("up", "demo")


def remember(state_dir: Path, settings: dict[str, object]) -> None:
    """Write down the settings of services that are being started in a state folder."""
    (state_dir / "settings.json").write_text(json.dumps({name: str(value) for name, value in settings.items()}))


def current_settings() -> Settings:
    """Return the settings of what runs here, else those of the environment."""
    base = Settings()
    for name in FOLDERS:
        folder = base.state_dir / name
        written = folder / "settings.json"
        if written.exists() and Services(folder).running():
            known: dict[str, Any] = json.loads(written.read_text())
            return Settings(**known)
    return base


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

    return asyncio.run(session())
