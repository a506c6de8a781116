"""A folder keeps content durably, repairs it, and says when it cannot."""

from pathlib import Path

import pytest

from backend.adapters.content_store.directory import DirectoryStore
from backend.kernel.errors import Unavailable


async def test_a_file_that_broke_is_repaired_when_it_is_stored_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    cid = await store.put(b"bundle")
    (tmp_path / "content" / cid).write_bytes(b"bund")
    await store.put(b"bundle")
    assert await store.get(cid) == b"bundle"
    assert [path.name for path in (tmp_path / "content").iterdir()] == [cid]


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        await DirectoryStore(tmp_path / "file").put(b"bundle")


async def test_a_pin_stays_beside_the_content(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    cid = await store.put(b"bundle")
    await store.pin(cid)
    assert [path.name for path in (tmp_path / "pins").iterdir()] == [cid]
