"""The images' store: any fsspec URL, only ever read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import AccessDenied, DataError, StoreEmpty, StoreUnreachable
from tasks.stores.connection import connect, storage_options
from tasks.stores.failures import FailureKind, failure_kind
from tasks.stores.files import Blob, LocalFiles

__all__ = ["Blob", "Datastore", "storage_options"]


class Datastore:
    """A folder or container of images, read only.

    Raises:
        ConfigError: a URL that cannot be used (see `connect`).
        AccessDenied: credentials that are malformed, or none where some are needed.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._connection = connect(url, options)

    def __repr__(self) -> str:
        return f"Datastore({self.url!r})"

    @property
    def url(self) -> str:
        """Where the store is; an absolute path when it is local. Never holds a secret."""
        return self._connection.url

    @property
    def identity(self) -> str:
        """The URL with what tells two stores of one URL apart (the account's end point); holds no secret."""
        return self._connection.identity

    @property
    def is_local(self) -> bool:
        """Whether files can be read in place."""
        return self._connection.files.is_local

    def local_path(self, path: str) -> Path:
        """The file of a local store."""
        files = self._connection.files
        if not isinstance(files, LocalFiles):
            raise DataError(f"{self.url} is not a local folder", cure="fetch its files first")
        return files.root / path

    def blobs(self) -> list[Blob]:
        """Every file, sorted by path, by one listing. Hidden files and dangling links are left out.

        So is what Lightbox wrote: a workspace, or scores, that stand within the store or around it.

        Raises:
            StoreUnreachable: no answer, after three attempts within about 15 s.
            AccessDenied: the credentials do not let one list.
            StoreEmpty: nothing there, or no such folder or container.
            DataError: the URL is a file, or a name is not valid Unicode.
        """
        try:
            blobs = sorted(self._connection.files.blobs(without_own=True), key=lambda blob: blob.path)
        except NotADirectoryError as error:
            raise DataError(f"{self.url} is a file", cure="give the folder that holds the images") from error
        except Exception as error:  # noqa: BLE001 every kind is told apart
            raise self._failure(error, self.url, StoreEmpty) from self._connection.cause(error)
        if not blobs:
            raise StoreEmpty(f"{self.url} holds no files", cure=_EMPTY_CURE)
        for blob in blobs:
            _require_unicode(blob.path)
        return blobs

    def read(self, path: str) -> bytes:
        """The content of one file; transient errors are tried again with growing pauses, five times in all.

        Raises:
            StoreUnreachable, AccessDenied: as for `blobs`.
            DataError: no such file (any more).
        """
        try:
            return self._connection.files.read(path)
        except Exception as error:  # noqa: BLE001 every kind is told apart
            raise self._failure(error, f"{self.url}/{path}", DataError) from self._connection.cause(error)

    def _failure(self, error: Exception, what: str, missing: type[DataError]) -> DataError:
        reason = self._connection.describe(error)
        match failure_kind(error):
            case FailureKind.denied:
                return AccessDenied(
                    f"{what}: access denied ({reason})", cure=self._connection.credentials_cure
                )
            case FailureKind.unreachable:
                return StoreUnreachable(f"{what}: no answer ({reason})", cure=_SILENT_CURE)
            case FailureKind.missing:
                return missing(f"{what} does not exist ({reason})", cure=_EMPTY_CURE)
        return DataError(
            f"{what} cannot be read ({reason})", cure="mend what the reason names, then run again"
        )


_SILENT_CURE = "check the network, the account or end point that the settings name, and that the store runs"
_EMPTY_CURE = "check the URL: container or bucket, prefix, and upper and lower case"


def _require_unicode(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the file name {path!r} is not valid Unicode",
            cure="rename the file, or store it under another name",
        ) from error
