"""JSON files that may be a stranger's."""

import json
from pathlib import Path
from typing import Any

from backend.kernel.canonical import require_shallow
from backend.kernel.errors import Invalid

FILE_BYTES = 16 << 20


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, which may be a stranger's."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise Invalid(f"{path.name} is larger than {FILE_BYTES >> 20} MiB")
    try:
        text = content.decode()
        require_shallow(text)
        given = json.loads(text)
    except (Invalid, ValueError) as error:
        raise Invalid(f"{path.name} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise Invalid(f"{path.name} holds no JSON object")
    return given
