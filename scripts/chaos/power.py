"""A disk that loses power: what a process wrote and did not sync is gone once it is killed.

kill -9 alone keeps the system's cache, so it cannot tell a log that syncs from one that does not. Here SQLite's own
file layer (a VFS around the default one) keeps writes in memory until SQLite asks for a sync.
"""

import ctypes
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

OK, IO_SHORT_READ = 0, 522
ADDRESS, INT, LONG, TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
# A name goes on as the address that it is: SQLite keeps it beyond the call.
OPEN = ctypes.CFUNCTYPE(INT, ADDRESS, ADDRESS, ADDRESS, INT, ADDRESS)
DELETE = ctypes.CFUNCTYPE(INT, ADDRESS, ADDRESS, INT)
MOVE = ctypes.CFUNCTYPE(INT, ADDRESS, ADDRESS, INT, LONG)
TRUNCATE = ctypes.CFUNCTYPE(INT, ADDRESS, LONG)
SYNC = ctypes.CFUNCTYPE(INT, ADDRESS, INT)
SIZE = ctypes.CFUNCTYPE(INT, ADDRESS, ctypes.POINTER(LONG))


class Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3; methods that nobody replaces are addresses."""

    _fields_ = (
        ("version", INT),
        ("file_bytes", INT),
        ("max_path", INT),
        ("next", ADDRESS),
        ("name", TEXT),
        ("data", ADDRESS),
        ("open", OPEN),
        ("delete", DELETE),
        ("others", ADDRESS * 14),
    )


class Methods(ctypes.Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = (
        ("version", INT),
        ("close", ADDRESS),
        ("read", MOVE),
        ("write", MOVE),
        ("truncate", TRUNCATE),
        ("sync", SYNC),
        ("size", SIZE),
        ("others", ADDRESS * 12),
    )


class Image:
    """A file as the process sees it, and the changes that no sync has covered yet."""

    def __init__(self, path: Path) -> None:
        self.content = bytearray(path.read_bytes() if path.exists() else b"")
        self._unsynced: list[tuple[int, bytes | None]] = []

    def read(self, count: int, offset: int) -> bytes:
        """Return up to `count` bytes from an offset."""
        return bytes(self.content[offset : offset + count])

    def write(self, content: bytes, offset: int) -> None:
        """Change the image; the file stays as it is."""
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(content)] = content
        self._unsynced.append((offset, content))

    def truncate(self, size: int) -> None:
        """Cut the image."""
        del self.content[size:]
        self._unsynced.append((size, None))

    def flush(self, write: Callable[[bytes, int], int], truncate: Callable[[int], int]) -> int:
        """Bring the changes into the file, in their order, and return SQLite's first complaint."""
        for offset, content in self._unsynced:
            if done := truncate(offset) if content is None else write(content, offset):
                return done
        self._unsynced.clear()
        return OK


class UnsafePower:
    """The VFS, with everything that must live as long as SQLite may call it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
        self._base: Vfs = library.sqlite3_vfs_find(None).contents
        self._images: dict[str, Image] = {}
        self._open_files: dict[int, Image] = {}
        self._methods: dict[int, Methods] = {}
        self._lock = threading.Lock()
        self._vfs = Vfs()
        ctypes.memmove(ctypes.byref(self._vfs), ctypes.byref(self._base), ctypes.sizeof(Vfs))
        self._vfs.next, self._vfs.name = None, b"unsafe-power"
        self._vfs.open, self._vfs.delete = OPEN(self._open), DELETE(self._delete)
        if library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1):
            raise OSError("SQLite refuses the file layer")

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        done: int = self._base.open(vfs, name, file, flags, out)
        if done or name is None:
            return done
        path = ctypes.string_at(name).decode()
        # Two connections may open at once, each in its thread: they must meet in one image and share its methods.
        with self._lock:
            if path not in self._images:
                self._images[path] = Image(Path(path))
            self._open_files[file] = self._images[path]
            slot = ADDRESS.from_address(file)
            slot.value = ctypes.addressof(self._replaced(slot.value or 0))
        return OK

    def _delete(self, vfs: int, name: int, sync_folder: int) -> int:
        self._images.pop(ctypes.string_at(name).decode(), None)
        done: int = self._base.delete(vfs, name, sync_folder)
        return done

    def _replaced(self, address: int) -> Methods:
        if address in self._methods:
            return self._methods[address]
        base, ours = Methods.from_address(address), Methods()
        ctypes.memmove(ctypes.byref(ours), address, ctypes.sizeof(Methods))

        def read(file: int, buffer: int, count: int, offset: int) -> int:
            found = self._open_files[file].read(count, offset)
            ctypes.memmove(buffer, found.ljust(count, b"\0"), count)
            return OK if len(found) == count else IO_SHORT_READ

        def write(file: int, buffer: int, count: int, offset: int) -> int:
            self._open_files[file].write(ctypes.string_at(buffer, count), offset)
            return OK

        def truncate(file: int, size: int) -> int:
            self._open_files[file].truncate(size)
            return OK

        def sync(file: int, flags: int) -> int:
            done = self._open_files[file].flush(
                lambda content, offset: int(base.write(file, content, len(content), offset)),
                lambda size: int(base.truncate(file, size)),
            )
            return done or int(base.sync(file, flags))

        def size(file: int, found: Any) -> int:
            found[0] = len(self._open_files[file].content)
            return OK

        ours.read, ours.write, ours.truncate = MOVE(read), MOVE(write), TRUNCATE(truncate)
        ours.sync, ours.size = SYNC(sync), SIZE(size)
        self._methods[address] = ours
        return ours


def make_power_unsafe() -> UnsafePower:
    """Give this process a disk that forgets what was not synced; keep the result for as long as SQLite is used."""
    return UnsafePower(ctypes.CDLL(_sqlite_library()))


def _sqlite_library() -> str:
    # sqlite3 has loaded it, or holds it inside its own extension.
    loaded = sqlite3.sqlite_version and Path("/proc/self/maps").read_text().splitlines()
    named = [line.split()[-1] for line in loaded if "libsqlite3" in line]
    if not named:
        raise OSError("Python's SQLite is not a library of its own: its file layer cannot be replaced")
    return named[0]
