"""The folder or container that Lightbox owns: writes are atomic, two writers lose nothing of each other."""

import builtins
import hashlib
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from uuid import uuid4

from tasks.errors import WorkspaceError
from tasks.record import FileReference
from tasks.stores.connection import connect
from tasks.stores.failures import FailureKind, failure_kind
from tasks.stores.files import Blob, LocalFiles
from tasks.stores.layout import MARK
from tasks.stores.permissions import make_private

Result = TypeVar("Result")

UPDATE_ATTEMPTS = 200


class Workspace:
    """Files by their path below one fsspec URL.

    Paths are relative, with `/`; every method raises WorkspaceError for a path that is not, and for a store
    that cannot be reached, read or written.

    Raises:
        ConfigError, AccessDenied: as `connect`.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._connection = connect(url, options)
        self._files = self._connection.files
        self._verified: set[Path] = set()

    def __repr__(self) -> str:
        return f"Workspace({self.url!r})"

    @property
    def url(self) -> str:
        """Where the workspace is; an absolute path when it is local. Never holds a secret."""
        return self._connection.url

    @property
    def is_local(self) -> bool:
        """Whether files can be read in place."""
        return self._files.is_local

    def uri(self, rel: str) -> str:
        """The full address of a file or folder."""
        return f"{self.url.rstrip('/')}/{_checked(rel)}"

    def exists(self, rel: str) -> bool:
        """Whether a file, or a folder that holds one, stands there."""
        return self._do("look for", rel, self._files.exists)

    def read(self, rel: str) -> bytes:
        """The content of a file."""
        return self._do("read", rel, self._files.read)

    def read_verified(self, file: FileReference) -> bytes:
        """The content that a record refers to: the very bytes that were there when the record was made.

        Raises:
            WorkspaceError: it is gone, or is not what it was.
        """
        data = self.read(file.path)
        self._require_digest(hashlib.sha256(data).hexdigest(), file.path, file.sha256)
        return data

    def write(self, rel: str, data: bytes) -> None:
        """Put a content, whatever stands there: a reader sees the old one or the new one, never a part."""
        self._do("write", rel, lambda path: self._files.write(path, data))

    def write_new(self, rel: str, data: bytes) -> bool:
        """Put a content where nothing stands. Of several writers exactly one gets True; the others False."""
        return self._do("create", rel, lambda path: self._files.create(path, data))

    def upload(self, local: Path, rel: str) -> None:
        """Put a local file's content, streamed; a reader never sees a part of it."""
        self._do("write", rel, lambda path: self._files.upload(local, path))

    def delete(self, rel: str) -> None:
        """Remove a file; one that is not there is no error."""
        self._do("delete", rel, self._files.delete)

    def list(self, rel_prefix: str = "") -> list[str]:
        """Every file below a folder, by path below the workspace, sorted; empty without such a folder."""
        return [blob.path for blob in self.files(rel_prefix)]

    def files(self, rel_prefix: str = "") -> builtins.list[Blob]:
        """What `list` names, with sizes and times."""
        return self._do("list", rel_prefix.strip("/"), self._listed)

    def leftovers(self) -> builtins.list[Blob]:
        """Hidden files that killed writers left half-written, with sizes and times."""
        return self._do("list", "", lambda _: sorted(self._files.leftovers(), key=lambda blob: blob.path))

    def _listed(self, folder: str) -> builtins.list[Blob]:
        try:
            return sorted(self._files.blobs(folder), key=lambda blob: blob.path)
        except Exception as error:
            if failure_kind(error) is FailureKind.missing:
                return []
            raise

    def local_copy(self, rel: str, cache_root: Path, sha256: str | None = None) -> Path:
        """A local file with the content, fit for memory mapping: the file itself when the workspace is local.

        A copy is named after the content's version and verified, once for each Workspace object, against the
        digest taken when it was downloaded; a damaged one is downloaded again. `sha256` is what the content
        must have, checked every time.

        Raises:
            WorkspaceError: no such file, or its content has another digest than `sha256`.
        """
        if isinstance(self._files, LocalFiles):
            copy = self._files.root / _checked(rel)
            if not copy.is_file():
                raise WorkspaceError(f"{self.uri(rel)} does not exist", cure="check the path")
            if sha256 is not None:
                self._require_digest(_file_sha256(copy), rel, sha256)
            return copy
        blob = self._do("read", rel, self._files.blob)
        name = hashlib.sha256(f"{self._connection.identity}\n{rel}\n{blob.version}".encode()).hexdigest()
        copy = cache_root / "workspace" / name[:32] / PurePosixPath(rel).name
        seal = copy.with_name(f"{copy.name}.sha256")
        if copy not in self._verified and not _is_sealed(copy, seal):
            self._download(rel, copy, seal)
        self._verified.add(copy)
        if sha256 is not None:
            self._require_digest(_file_sha256(copy), rel, sha256)
        return copy

    def check_writable(self) -> None:
        """Write, read back and remove a small file, before any work depends on it; leave the mark of a workspace.

        Raises:
            WorkspaceError: with the reason and what to do about it.
        """
        probe = f".lightbox-probe-{uuid4().hex}"
        if not self.write_new(probe, b"lightbox") or self.read(probe) != b"lightbox":
            raise WorkspaceError(f"{self.url} does not keep what is written", cure="use another workspace")
        self.delete(probe)
        self.write_new(MARK, b"Lightbox wrote what stands here; no image of a store above.\n")

    def _download(self, rel: str, copy: Path, seal: Path) -> None:
        temporary = copy.with_name(f".{uuid4().hex}")
        try:
            make_private(copy.parent)
            self._do("read", rel, lambda path: self._files.download(path, temporary))
            seal.unlink(missing_ok=True)
            digest = _file_sha256(temporary)
            temporary.replace(copy)
            temporary.write_text(digest)
            temporary.replace(seal)
        except OSError as error:
            raise WorkspaceError(
                f"the cache {copy.parent} cannot be written ({error.strerror or error})",
                cure="set LIGHTBOX_CACHE to a writable folder with enough room",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _require_digest(self, found: str, rel: str, recorded: str) -> None:
        if found != recorded:
            raise WorkspaceError(
                f"{self.uri(rel)} is damaged or was overwritten: its SHA-256 is {found}, recorded was {recorded}",
                cure="delete it and run again: what is missing is made again",
            )

    def _do(self, verb: str, rel: str, call: Callable[[str], Result]) -> Result:
        path = _checked(rel)
        try:
            return call(path)
        except Exception as error:  # noqa: BLE001 every kind is told apart
            raise self._failure(error, verb, path) from self._connection.cause(error)

    def _failure(self, error: Exception, verb: str, path: str) -> WorkspaceError:
        where = f"{self.url.rstrip('/')}/{path}" if path else self.url
        text = f"cannot {verb} {where} in the workspace ({self._connection.describe(error)})"
        match failure_kind(error):
            case FailureKind.denied:
                cure = self._connection.credentials_cure
            case FailureKind.unreachable:
                cure = "check the network and the end point that the settings name, then run again"
            case FailureKind.missing:
                cure = (
                    "check the workspace's URL: no part of a path may be a file, and a container must exist"
                )
            case FailureKind.other:
                cure = "free or mend what the reason names, or use another workspace"
        return WorkspaceError(text, cure=cure)


class VersionedDocument:
    """A small document that several writers change: each version is a numbered file that only one can create.

    `update` is a compare-and-swap: of two writers that start from one version only one creates the next.
    """

    def __init__(self, workspace: Workspace, folder: str, suffix: str = ".json") -> None:
        self._workspace = workspace
        self._folder = _checked(folder)
        self._suffix = suffix

    def read(self) -> tuple[int, bytes | None]:
        """The newest version's number and content; (0, None) before the first."""
        versions = self.versions()
        if not versions:
            return 0, None
        return versions[-1], self.read_version(versions[-1])

    def versions(self) -> list[int]:
        """The numbers of all versions, ascending."""
        names = (PurePosixPath(path) for path in self._workspace.list(self._folder))
        return sorted(
            int(name.stem) for name in names if name.suffix == self._suffix and name.stem.isdecimal()
        )

    def read_version(self, version: int) -> bytes:
        """The content of one version."""
        return self._workspace.read(self._path(version))

    def update(self, change: Callable[[bytes | None], bytes]) -> int:
        """Replace the content by `change(content)`; the new version's number.

        `change` is called again on the newer content when another writer came first, so it must depend on
        nothing else. A change that leaves the content as it is writes nothing: the number stays.

        Raises:
            WorkspaceError: others came first 200 times.
        """
        for attempt in range(UPDATE_ATTEMPTS):
            version, content = self.read()
            changed = change(content)
            if changed == content:
                return version
            if self._workspace.write_new(self._path(version + 1), changed):
                return version + 1
            time.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.2)))  # noqa: S311 not a secret
        raise WorkspaceError(
            f"{self._workspace.uri(self._folder)} changed {UPDATE_ATTEMPTS} times while it was to be updated",
            cure="run again when fewer writers work on it",
        )

    def _path(self, version: int) -> str:
        return f"{self._folder}/{version:08d}{self._suffix}"


def _checked(rel: str) -> str:
    parts = rel.split("/")
    if rel and any(part in ("", ".", "..") for part in parts):
        raise WorkspaceError(
            f"{rel!r} is no path within the workspace", cure="use a relative path such as models/name/1"
        )
    return rel


def _is_sealed(copy: Path, seal: Path) -> bool:
    try:
        return seal.read_text() == _file_sha256(copy)
    except FileNotFoundError:
        return False


def _file_sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
