"""What a content cache knows of one store: which content each path held, at which version."""

import sqlite3
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.stores.permissions import make_private

BUSY_SECONDS = 60
MAX_FILE_BYTES: Final = 256 << 20
"""A larger file is no image that could be decoded within bounds, and is never read: it would be in memory whole."""


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """A file of a store whose content is known: `sha256` in hexadecimal, of the file's bytes."""

    path: str
    sha256: str
    size_bytes: int

    @property
    def is_too_large(self) -> bool:
        """Whether the file was left unread for its size; `sha256` then stands for its path and size."""
        return self.size_bytes > MAX_FILE_BYTES


class FetchIndex:
    """One SQLite file, shared by threads and processes; a damaged one is begun anew."""

    def __init__(self, file: Path) -> None:
        make_private(file.parent)
        self._file = file
        self._lock = threading.Lock()
        try:
            self._database = _open(file)
        except sqlite3.OperationalError as error:
            raise OSError(f"{file}: {error}") from error
        except sqlite3.DatabaseError:
            file.unlink()
            self._database = _open(file)
        weakref.finalize(self, self._database.close)

    def find(self, path: str, version: str | None = None) -> FetchedImage | None:
        """What the path held, at the version when one is named, else when last fetched."""
        with self._lock:
            row = self._database.execute(
                "SELECT sha256, size_bytes, version FROM image WHERE path = ?", (path,)
            ).fetchone()
        if row is None or (version is not None and row[2] != version):
            return None
        return FetchedImage(path, row[0], row[1])

    def put(self, images: Iterable[tuple[FetchedImage, str]]) -> None:
        """Remember images and the versions they were fetched at, in one lasting step.

        Raises:
            OSError: the file cannot be written.
        """
        rows = [(image.path, version, image.sha256, image.size_bytes) for image, version in images]
        try:
            with self._lock, self._database:
                self._database.executemany("INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise OSError(f"{self._file}: {error}") from error


def _open(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS image (path TEXT PRIMARY KEY, version TEXT NOT NULL,"
            " sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL) WITHOUT ROWID"
        )
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
    except BaseException:
        database.close()
        raise
    return database
