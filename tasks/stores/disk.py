"""A full disk, told with the place, the room that is left and what helps."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import LightboxError, WorkspaceError
from tasks.stores.failures import error_chain

_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT}
_FULL_TEXTS = ("No space left", "disk is full", "No usable temporary directory")
"""SQLite and tempfile raise errors of their own, of which only the text tells."""

FULL_CURE = (
    "make room there (`lightbox workspace prune` shows what a workspace can do without), or use another place: "
    "--workspace, LIGHTBOX_CACHE for the cache, TMPDIR for temporary files; then run again: it goes on from the "
    "last finished stage, training from the last whole epoch"
)


def is_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that a disk or a quota is full."""
    return any(
        (isinstance(link, OSError) and link.errno in _FULL_ERRNO)
        or any(text in str(link) for text in _FULL_TEXTS)
        for link in error_chain(error)
    )


def room(places: Mapping[str, Path]) -> str:
    """What is free at each place, the fullest first: `12,288 bytes are free for the cache /var/cache/x`."""
    free = sorted((free_bytes(place), name, place) for name, place in places.items())
    return "; ".join(f"{left:,} bytes are free for {name} {place}" for left, name, place in free)


def free_bytes(place: Path) -> int:
    """Bytes that this user may still write at a path, which need not exist yet."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def temporary_folder() -> Path:
    """Where temporary files go, also when that place is full."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - only its room is asked


@contextmanager
def told_when_full(places: Mapping[str, Path]) -> Iterator[None]:
    """Turn whatever a full disk raises into an error that names the places and what is free there.

    Raises: WorkspaceError, or the LightboxError that was on its way, with the room added.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        kind = type(error) if isinstance(error, LightboxError) else WorkspaceError
        what = error.message if isinstance(error, LightboxError) else "a disk is full"
        raise kind(f"{what}: {room(places)}", cure=FULL_CURE) from error
