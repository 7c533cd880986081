"""Files of an object store (or any other fsspec file system) below one root, by relative path.

Errors are those of the file system; callers say what they mean. Only an unreachable store is tried again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from tasks.stores.failures import FailureKind, failure_kind, with_retries
from tasks.stores.files import Blob, is_hidden
from tasks.stores.layout import MARK, is_own

Result = TypeVar("Result")

LISTING_ATTEMPTS = 3
TRANSFER_ATTEMPTS = 5
_VERSION_FIELDS = (
    "etag",
    "ETag",
    "generation",
    "md5Hash",
    "mtime",
    "last_modified",
    "LastModified",
    "created",
)
_TIME_FIELDS = ("mtime", "last_modified", "LastModified", "updated", "created")
_MEMORY_LOCK = threading.Lock()


class ObjectFiles:
    """Files below `root` of an fsspec file system."""

    is_local = False

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def blobs(self, folder: str = "", *, without_own: bool = False) -> Iterator[Blob]:
        """Every file below a folder, hidden ones left out, in no order; one listing.

        Raises:
            FileNotFoundError: the container or the folder does not exist, as far as the store can tell.
        """
        base = self._full(folder)
        self._filesystem.invalidate_cache()
        records = with_retries(lambda: self._records(base), attempts=LISTING_ATTEMPTS)
        paths = [name[len(self._root) + 1 :] if self._root else name.lstrip("/") for name, *_ in records]
        marks = (
            [path[: -len(MARK)] for path in paths if f"/{path}".endswith(f"/{MARK}")] if without_own else []
        )
        for path, (_, size_bytes, version, modified) in zip(paths, records, strict=True):
            own = any(path.startswith(mark) and is_own(path[len(mark) :]) for mark in marks)
            if not is_hidden(path) and not own:
                yield Blob(path, size_bytes, version, modified)

    def _records(self, base: str) -> list[tuple[str, int, str, float | None]]:
        if hasattr(self._filesystem, "blob_records"):
            container = base.partition("/")[0]
            prefix = base + "/"
            return [(f"{container}/{name}", *rest) for name, *rest in self._filesystem.blob_records(prefix)]
        found = self._filesystem.find(base, detail=True)
        return [(name, *_facts(info)) for name, info in found.items() if info["type"] == "file"]

    def blob(self, path: str) -> Blob:
        """Size and version of one file."""
        self._filesystem.invalidate_cache()
        return Blob(path, *_facts(self._retried(lambda: self._filesystem.info(self._full(path)))))

    def signed(self, path: str, seconds: int) -> str:
        """A link to one file that is valid for so long, where the store makes such."""
        return str(self._filesystem.sign(self._full(path), expiration=seconds))

    def exists(self, path: str) -> bool:
        """Whether a file, or a folder with files, stands at the path."""
        self._filesystem.invalidate_cache()
        return bool(self._retried(lambda: self._filesystem.exists(self._full(path))))

    def read(self, path: str) -> bytes:
        """The whole content."""
        return bytes(self._retried(lambda: self._filesystem.cat_file(self._full(path))))

    def write(self, path: str, data: bytes) -> None:
        """Put the content in one step, over what stands there."""
        self._retried(lambda: self._filesystem.pipe_file(self._full(path), data))

    def create(self, path: str, data: bytes) -> bool:
        """Put the content if nothing stands there; False when something does.

        A put whose answer was lost is tried again and then meets its own content: that counts as created.
        """
        if "memory" in self._protocols():
            with _MEMORY_LOCK:  # fsspec's memory store checks and writes in two steps
                return self._create(path, data)
        return self._create(path, data)

    def _create(self, path: str, data: bytes) -> bool:
        answer_was_lost = False

        def put() -> bool:
            nonlocal answer_was_lost
            try:
                self._filesystem.pipe_file(self._full(path), data, mode="create")
            except FileExistsError:
                return answer_was_lost and self.read(path) == data
            except Exception as error:
                answer_was_lost = answer_was_lost or failure_kind(error) is FailureKind.unreachable
                raise
            return True

        return self._retried(put)

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        try:
            self._retried(lambda: self._filesystem.rm_file(self._full(path)))
        except Exception as error:
            if failure_kind(error) is not FailureKind.missing:
                raise

    def download(self, path: str, target: Path) -> None:
        """Stream the content into a local file."""
        self._retried(lambda: self._filesystem.get_file(self._full(path), str(target)))

    def upload(self, source: Path, path: str) -> None:
        """Stream a local file to the store; readers see it only when it is whole."""
        self._retried(lambda: self._filesystem.put_file(str(source), self._full(path)))

    def leftovers(self) -> Iterator[Blob]:
        """None: a put that broke off leaves nothing that the store does not remove by itself."""
        return iter(())

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _protocols(self) -> tuple[str, ...]:
        protocol = self._filesystem.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def _retried(self, call: Callable[[], Result]) -> Result:
        return with_retries(call, attempts=TRANSFER_ATTEMPTS)


def _facts(info: dict[str, Any]) -> tuple[int, str, float | None]:
    """Size in bytes, version, and seconds since 1970 of the writing."""
    size_bytes, modified = int(info["size"] or 0), _modified_seconds(info)
    for field in _VERSION_FIELDS:
        if info.get(field) is not None:
            return size_bytes, f"{size_bytes}-{str(info[field]).strip(chr(34))}", modified
    return size_bytes, str(size_bytes), modified


def _modified_seconds(info: dict[str, Any]) -> float | None:
    for field in _TIME_FIELDS:
        match info.get(field):
            case datetime() as time:
                return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
            case float() | int() as seconds:
                return float(seconds)
            case str() as text:
                with suppress(ValueError):
                    return datetime.fromisoformat(text).timestamp()
    return None
