"""What this machine holds of images: fetched contents, what store paths held, copies of workspace files."""

import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path


def held_here(cache_root: Path, sha256s: Collection[str]) -> list[Path]:
    """Fetched contents among these, below a cache."""
    places = (cache_root / "content" / sha256[:2] / sha256 for sha256 in sha256s)
    return [path for path in places if path.is_file()]


def forget_here(cache_root: Path, sha256s: Collection[str]) -> None:
    """Remove contents, what is known of their paths, and this machine's copies of workspace files.

    The latter may hold decoded pixels; they are fetched again when they are needed.
    """
    for path in held_here(cache_root, sha256s):
        path.unlink(missing_ok=True)
    for index in (cache_root / "index").glob("*.sqlite"):
        with closing(sqlite3.connect(index, timeout=60)) as database, database:
            database.execute("PRAGMA secure_delete = ON")  # else the rows stay in free pages
            database.executemany("DELETE FROM image WHERE sha256 = ?", [(sha256,) for sha256 in sha256s])
    shutil.rmtree(cache_root / "workspace", ignore_errors=True)
