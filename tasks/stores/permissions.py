"""Who may read what is written on this machine's disk: this user, and the group where a folder is shared with it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_OWNER_FOLDER: Final = 0o700
_OWNER_FILE: Final = 0o600
_GROUP: Final = 0o070
_GROUP_WRITES: Final = 0o020
_OTHERS: Final = 0o007


def make_private(folder: Path, mode: int = _OWNER_FOLDER) -> None:
    """Make a folder, and the missing ones above it, for this user only; one that is there stays as it is."""
    with suppress(FileExistsError):
        try:
            folder.mkdir(mode)
        except FileNotFoundError:
            make_private(folder.parent, mode)
            folder.mkdir(mode)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")


def modes_below(root: Path) -> tuple[int, int]:
    """Modes of folders and of files below a root: the group has a part in them where it may write to the root."""
    try:
        given = root.stat().st_mode
    except OSError:
        return _OWNER_FOLDER, _OWNER_FILE
    group = given & _GROUP if given & _GROUP_WRITES else 0
    return _OWNER_FOLDER | group, _OWNER_FILE | group & 0o060


def open_to_others(folder: Path) -> bool:
    """Whether every user of this machine may look into a folder."""
    try:
        return bool(folder.stat().st_mode & _OTHERS)
    except OSError:
        return False


def created(path: Path, mode: int) -> int:
    """A descriptor of a new file with a mode.

    Raises:
        FileExistsError: something stands there.
    """
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
