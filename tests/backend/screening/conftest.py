"""The room that screening is tested in."""

from pathlib import Path

import pytest

from backend.kit.db import Database
from tests.backend.screening.room import Room


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Room:
    return Room(database, tmp_path)
