"""Backups of a workspace in another store: contents by their digests, each once; of each backup, what stood where.

content/<2 digits>/<sha256>     a file's bytes
backups/<time>-<6 digits>.json  what stood where; written last, so a backup is whole or not there
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from tasks.errors import WorkspaceError
from tasks.record import FileReference, Frozen
from tasks.stores.layout import KINDS, Kind, place_of
from tasks.stores.workspace import Workspace
from tasks.work.pool import map_in_order
from tasks.work.progress import Progress, silent

LEFT_OUT: Final[frozenset[Kind]] = frozenset({"image cache", "leftovers"})
"""What can be had again from the images, or is litter."""

THREADS: Final = 8
_BACKUPS: Final = "backups"
_CONTENTS: Final = "content"


class Backup(Frozen):
    """What stood where in a workspace."""

    schema_version: Literal[1] = 1
    id: str = Field(description="Its name, which sorts by time.")
    time: AwareDatetime = Field(description="When the workspace was listed.")
    workspace: str = Field(description="Which one it was.")
    files: tuple[FileReference, ...] = Field(
        description="All files, in the order in which they are put back."
    )
    size_bytes: int = Field(ge=0, description="Together.")


class BackupStore:
    """A folder or container of backups."""

    def __init__(self, store: Workspace) -> None:
        self._store = store

    def backups(self) -> list[str]:
        """Their names, the oldest first."""
        return [
            path.removeprefix(f"{_BACKUPS}/").removesuffix(".json") for path in self._store.list(_BACKUPS)
        ]

    def read(self, backup: str | None = None) -> Backup:
        """A backup, or the newest.

        Raises:
            WorkspaceError: there is none, or it cannot be read.
        """
        known = self.backups()
        wanted = backup or (known[-1] if known else "any")
        if wanted not in known:
            raise WorkspaceError(
                f"{self._store.url} holds no backup {wanted}",
                cure=f"name one of {', '.join(known) or 'none'}",
            )
        try:
            return Backup.model_validate_json(self._store.read(f"{_BACKUPS}/{wanted}.json"))
        except ValidationError as error:
            raise WorkspaceError(
                f"the backup {wanted} in {self._store.url} cannot be read: {error.errors()[0]['msg']}",
                cure=f"name another of {', '.join(known)}",
            ) from error

    def back_up(self, workspace: Workspace, progress: Progress = silent) -> Backup:
        """Copy what is not there yet, and keep a list of all. Killed in the middle, the next one goes on.

        A run may be at work: what a file of the list refers to is in the list too, since it was written before.

        Raises:
            WorkspaceError: either store does not answer.
        """
        time = datetime.now(UTC)
        blobs = [blob for blob in workspace.files() if place_of(blob.path).kind not in LEFT_OUT]
        if not blobs:
            raise WorkspaceError(
                f"{workspace.url} holds nothing to back up", cure="check the workspace's URL"
            )
        there = set(self._store.list(_CONTENTS))
        files = []
        kept = map_in_order(lambda blob: self._kept(workspace, blob.path, there), blobs, THREADS)
        for done, file in enumerate(kept, start=1):
            files += [file] if file is not None else []
            progress(done, len(blobs), "files")
        backup = Backup(
            id=f"{time:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            time=time,
            workspace=workspace.url,
            files=tuple(sorted(files, key=_restored_in)),
            size_bytes=sum(blob.size_bytes for blob in blobs),
        )
        self._store.write_new(f"{_BACKUPS}/{backup.id}.json", backup.model_dump_json().encode())
        return backup

    def restore(self, backup: Backup, workspace: Workspace, progress: Progress = silent) -> None:
        """Put everything back into an empty workspace, or into one that a killed restore has begun.

        What leads to others, such as aliases, comes last.

        Raises:
            WorkspaceError: the workspace holds something else; a content is gone or damaged.
        """
        wanted = {file.path: file for file in backup.files}
        strangers = [path for path in workspace.list() if path not in wanted]
        if strangers:
            raise WorkspaceError(
                f"{workspace.url} is not empty: it holds {strangers[0]}, which is not of the backup",
                cure="restore into an empty folder or container, and point your settings there",
            )
        for done, _ in enumerate(
            map_in_order(lambda f: self._put_back(f, workspace), backup.files, 1), start=1
        ):
            progress(done, len(backup.files), "files")

    def keep_newest(self, count: int) -> list[str]:
        """Remove all backups but the newest, and the contents that none of those has; which backups went."""
        known = self.backups()
        going = known[:-count]
        for backup in going:
            self._store.delete(f"{_BACKUPS}/{backup}.json")
        needed = {_content(file.sha256) for backup in known[-count:] for file in self.read(backup).files}
        for path in self._store.list(_CONTENTS) if going else []:
            if path not in needed:
                self._store.delete(path)
        return going

    def _kept(self, workspace: Workspace, path: str, there: set[str]) -> FileReference | None:
        """The file, once its content is kept; None where it went meanwhile."""
        try:
            data = workspace.read(path)
        except WorkspaceError:
            if workspace.exists(path):
                raise
            return None
        file = FileReference(path=path, sha256=hashlib.sha256(data).hexdigest())
        if _content(file.sha256) not in there:
            self._store.write(_content(file.sha256), data)
        return file

    def _put_back(self, file: FileReference, workspace: Workspace) -> None:
        data = self._store.read_verified(FileReference(path=_content(file.sha256), sha256=file.sha256))
        if not workspace.write_new(file.path, data) and workspace.read(file.path) != data:
            raise WorkspaceError(
                f"{workspace.uri(file.path)} is there already, with another content",
                cure="restore into an empty folder or container, and point your settings there",
            )


def _content(sha256: str) -> str:
    return f"{_CONTENTS}/{sha256[:2]}/{sha256}"


def _restored_in(file: FileReference) -> tuple[int, str]:
    kinds: Sequence[Kind] = KINDS
    return -kinds.index(place_of(file.path).kind), file.path
