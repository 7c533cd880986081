"""Files below one root by relative path: what a store of any kind offers, and the local one."""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

from tasks.stores.layout import MARK, is_own
from tasks.stores.permissions import created, make_private, modes_below

TEMPORARY_FOLDER = ".tmp"
MOVE_ATTEMPTS = 100
_LOCK = threading.Lock()
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_DESKTOP_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a store: path below the root with `/` separators, size, and what changes with it.

    `modified_seconds` is when it was written, in seconds since 1970; None where the store does not tell.
    """

    path: str
    size_bytes: int
    version: str
    modified_seconds: float | None = field(default=None, compare=False)


def is_hidden(path: str) -> bool:
    """Whether a path is no data: a dot name, a folder mark (ending in `/`), or litter of desktop systems."""
    if not path or path.endswith("/"):
        return True
    return any(part.startswith(".") or part.lower() in _DESKTOP_LITTER for part in path.split("/"))


class Files(Protocol):
    """What the datastore and the workspace need of a store; see `LocalFiles` and `ObjectFiles`."""

    @property
    def is_local(self) -> bool:
        """Whether files can be read in place."""

    def blobs(self, folder: str = "", *, without_own: bool = False) -> Iterator[Blob]:
        """Every file below a folder, or those alone that Lightbox did not write below a mark."""

    def blob(self, path: str) -> Blob:
        """What is known of one file."""

    def exists(self, path: str) -> bool:
        """Whether a file, or a folder that holds one, stands there."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file whole, over what stands there."""

    def create(self, path: str, data: bytes) -> bool:
        """Write a file where none stands; whether none stood there."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def download(self, path: str, target: Path) -> None:
        """Copy a file to this machine."""

    def upload(self, source: Path, path: str) -> None:
        """Copy a file of this machine, over what stands there."""

    def leftovers(self) -> Iterator[Blob]:
        """What killed writers left."""


class LocalFiles:
    """Files below a local (or mounted) folder, written under a temporary name and then moved."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def blobs(self, folder: str = "", *, without_own: bool = False) -> Iterator[Blob]:
        """Every file below a folder, in no order. Links are followed; no hidden files or dangling links.

        Raises:
            FileNotFoundError: the folder does not exist.
            NotADirectoryError: it is a file.
            PermissionError: it, or a folder below, may not be listed.
        """
        found = self._walk(self.root / folder, f"{folder.strip('/')}/" if folder.strip("/") else "", set())
        if not without_own:
            yield from found
            return
        marks: dict[str, tuple[str, ...]] = {"": ("",) if (self.root / MARK).exists() else ()}

        def marked(above: str) -> tuple[str, ...]:
            """The folders with a mark in which a folder stands, each ending in `/`; it is looked at once."""
            if above not in marks:
                outer = marked(above.rpartition("/")[0])
                marks[above] = (*outer, f"{above}/") if (self.root / above / MARK).exists() else outer
            return marks[above]

        for blob in found:
            if not any(is_own(blob.path[len(mark) :]) for mark in marked(blob.path.rpartition("/")[0])):
                yield blob

    def _walk(self, folder: Path, prefix: str, above: set[tuple[int, int]]) -> Iterator[Blob]:
        identity = folder.stat()
        here = (identity.st_dev, identity.st_ino)
        if here in above:  # a link back to a folder that holds it
            return
        with os.scandir(folder) as items:
            for item in items:
                path = prefix + item.name
                if is_hidden(item.name):
                    continue
                if item.is_dir():
                    yield from self._walk(folder / item.name, f"{path}/", above | {here})
                elif item.is_file():
                    try:
                        yield _blob(path, item.stat())
                    except FileNotFoundError:  # removed since the folder was read
                        continue

    def blob(self, path: str) -> Blob:
        """Size and version of one file."""
        return _blob(path, (self.root / path).stat())

    def exists(self, path: str) -> bool:
        """Whether a file or a folder stands at the path."""
        return (self.root / path).exists()

    def read(self, path: str) -> bytes:
        """The whole content."""
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Put the content in one step, over what stands there."""
        self._place(path, lambda file: file.write(data), self._replace)

    def create(self, path: str, data: bytes) -> bool:
        """Put the content if nothing stands there, else False. Readers never see a part of it."""
        return self._place(path, lambda file: file.write(data), self._link)

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that this leaves empty; one that is not there is no error."""
        file = self.root / path
        file.unlink(missing_ok=True)
        with suppress(OSError):  # not empty, or gone
            for folder in file.relative_to(self.root).parents:
                if folder not in (Path(), Path(TEMPORARY_FOLDER)):
                    (self.root / folder).rmdir()

    def download(self, path: str, target: Path) -> None:
        """Copy the content into another local file."""
        shutil.copyfile(self.root / path, target)

    def upload(self, source: Path, path: str) -> None:
        """Copy a local file in; readers see it only when it is whole."""
        with source.open("rb") as content:
            self._place(path, lambda file: shutil.copyfileobj(content, file, 1 << 20), self._replace)

    def leftovers(self) -> Iterator[Blob]:
        """What killed writers left half-written; never seen by readers."""
        for file in (self.root / TEMPORARY_FOLDER).glob("*"):
            if file.name != "lock":
                with suppress(FileNotFoundError):  # its writer is alive and has moved it
                    yield _blob(f"{TEMPORARY_FOLDER}/{file.name}", file.stat())

    def _place(
        self, path: str, fill: Callable[[IO[bytes]], object], move: Callable[[Path, Path], bool]
    ) -> bool:
        target = self.root / path
        temporary = self.root / TEMPORARY_FOLDER / uuid4().hex
        folders, files = modes_below(self.root)
        make_private(temporary.parent, folders)
        attempts_left = MOVE_ATTEMPTS
        try:
            with os.fdopen(created(temporary, files), "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            while True:
                try:
                    make_private(target.parent, folders)
                    return move(temporary, target)
                except (FileNotFoundError, FileExistsError, NotADirectoryError):
                    if attempts_left == 0 or target.parent.is_file():
                        raise
                    attempts_left -= 1  # the folder was empty, and another process has tidied it up meanwhile
        finally:
            temporary.unlink(missing_ok=True)

    def _replace(self, temporary: Path, target: Path) -> bool:
        temporary.replace(target)
        return True

    def _link(self, temporary: Path, target: Path) -> bool:
        try:
            target.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return self._move_under_lock(temporary, target)
        return True

    def _move_under_lock(self, temporary: Path, target: Path) -> bool:
        """For mounts without hard links (SMB, some FUSE): check and move while holding a lock."""
        with _LOCK, (self.root / TEMPORARY_FOLDER / "lock").open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # the system frees it when the process ends, however it ends
            if target.exists():
                return False
            temporary.replace(target)
            return True


def _blob(path: str, facts: os.stat_result) -> Blob:
    return Blob(path, facts.st_size, f"{facts.st_size}-{facts.st_mtime_ns}", facts.st_mtime)
