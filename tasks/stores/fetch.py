"""From a store to bytes at hand: only what changed is transferred, and a killed fetch goes on where it was.

Contents stand below the cache's root under their own SHA-256; an index per store says which content a path
held at which version. Local stores are read in place, and only their digests are remembered.
"""

import hashlib
import os
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Final
from uuid import uuid4

from tasks.errors import DataError, WorkspaceError
from tasks.stores.datastore import Blob, Datastore
from tasks.stores.fetch_index import MAX_FILE_BYTES, FetchedImage, FetchIndex
from tasks.stores.permissions import make_private
from tasks.work.memory_budget import MemoryBudget
from tasks.work.progress import Progress, silent

__all__ = ["ContentCache", "FetchedImage", "default_cache_root"]

COMMIT_SECONDS = 0.5
PROGRESS_SECONDS = 0.1
STALE_SECONDS = 24 * 3600
_IN_HAND: Final = MemoryBudget(1 << 30)


def default_cache_root() -> Path:
    """$LIGHTBOX_CACHE, or ~/.cache/lightbox."""
    return Path(os.environ.get("LIGHTBOX_CACHE") or Path.home() / ".cache" / "lightbox")


class ContentCache:
    """The contents of one store, kept below a local folder that only this user may read.

    `transferred` counts the blobs that the last `fetch` downloaded; it stays 0 for a local store.

    Raises:
        WorkspaceError: the cache's folder cannot be written.
    """

    def __init__(self, root: Path, store: Datastore) -> None:
        self._store = store
        self._contents = root / "content"
        self._temporary = root / "tmp"
        self.transferred = 0
        try:
            for folder in (root, self._contents, self._temporary):
                make_private(folder)
            self._remove_leftovers()
            name = hashlib.sha256(store.identity.encode()).hexdigest()[:32]
            self._index = FetchIndex(root / "index" / f"{name}.sqlite")
        except OSError as error:
            raise _cache_failure(root, error) from error

    def fetch(
        self, blobs: Sequence[Blob], concurrency: int = 32, progress: Progress = silent
    ) -> list[FetchedImage]:
        """Bring the blobs to hand and know their digests; in the order given.

        At most `concurrency` blobs are in memory at once, and at most 1 GiB of them. A blob whose version is known and
        whose content is at hand costs nothing. What was fetched before a failure, or a kill, is not fetched again. A
        blob that its listing says to be larger than MAX_FILE_BYTES is not read; see `FetchedImage.is_too_large`.

        Raises:
            StoreUnreachable, AccessDenied: as `Datastore.read`.
            DataError: a blob is gone, or keeps changing while it is read.
            WorkspaceError: the cache cannot be written.
        """
        self.transferred = 0
        fetched: dict[int, FetchedImage] = {}
        for position, blob in enumerate(blobs):
            if blob.size_bytes > MAX_FILE_BYTES:
                fetched[position] = FetchedImage(blob.path, _stand_in(blob), blob.size_bytes)
                continue
            known = self._index.find(blob.path, blob.version)
            if known is not None and self._at_hand(known):
                fetched[position] = known
        known_count, started, reported = len(fetched), time.monotonic(), 0.0
        missing = [(position, blob) for position, blob in enumerate(blobs) if position not in fetched]
        progress(known_count, len(blobs), "images")
        with closing(self._fetch_all(missing, concurrency)) as images:
            for position, image in images:
                fetched[position] = image
                now = time.monotonic()
                if now - reported >= PROGRESS_SECONDS or len(fetched) == len(blobs):
                    reported = now
                    rate = (len(fetched) - known_count) / max(now - started, 1e-6)
                    progress(len(fetched), len(blobs), f"{rate:.0f} images/s")
        return [fetched[position] for position in range(len(blobs))]

    def read(self, image: str | FetchedImage) -> bytes:
        """The content of a fetched image (or of the path's last fetched version), its digest verified.

        A copy that was lost or damaged is fetched again. Safe to call from many threads.

        Raises:
            DataError: never fetched, or the store no longer holds the content that was fetched.
        """
        known = self._index.find(image) if isinstance(image, str) else image
        if known is None:
            raise DataError(f"{self._store.url}/{image} was not fetched", cure="fetch it before reading it")
        if known.is_too_large:
            raise DataError(
                f"{self._store.url}/{known.path} has {known.size_bytes} bytes, more than {MAX_FILE_BYTES}",
                cure="store the image in a compressed format",
            )
        if not self._store.is_local:
            try:
                data = self._content_path(known.sha256).read_bytes()
            except FileNotFoundError:
                data = b""
            if _sha256(data) == known.sha256:
                return data
        data = self._store.read(known.path)
        if _sha256(data) != known.sha256:
            raise DataError(
                f"{self._store.url}/{known.path} changed since it was fetched",
                cure="run again, on a store that nobody changes meanwhile",
            )
        if not self._store.is_local:
            self._keep(known.sha256, data)
        return data

    def _fetch_all(
        self, work: Sequence[tuple[int, Blob]], concurrency: int
    ) -> Generator[tuple[int, FetchedImage], None, None]:
        """Images as they come, the index written along; the first error stops all workers and is raised."""
        outcomes: SimpleQueue[tuple[int, Blob, FetchedImage | Exception]] = SimpleQueue()
        stop = threading.Event()
        waiting, lock = iter(work), threading.Lock()

        def worker() -> None:
            while not stop.is_set():
                with lock:
                    item = next(waiting, None)
                if item is None:
                    return
                outcomes.put((*item, self._attempt(item[1])))

        workers = min(concurrency, len(work))
        pending: list[tuple[FetchedImage, str]] = []
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="fetch") as pool:
            for _ in range(workers):
                pool.submit(worker)
            committed = time.monotonic()
            try:
                for _ in range(len(work)):
                    position, blob, outcome = outcomes.get()
                    if isinstance(outcome, Exception):
                        raise outcome
                    pending.append((outcome, blob.version))
                    self.transferred += 0 if self._store.is_local else 1
                    if time.monotonic() - committed > COMMIT_SECONDS:
                        self._remember(pending)
                        committed = time.monotonic()
                    yield position, outcome
            finally:
                stop.set()
                self._remember(pending)

    def _remember(self, pending: list[tuple[FetchedImage, str]]) -> None:
        try:
            self._index.put(pending)
        except OSError as error:
            raise _cache_failure(self._contents.parent, error) from error
        pending.clear()

    def _attempt(self, blob: Blob) -> FetchedImage | Exception:
        try:
            return self._fetch_one(blob)
        except Exception as error:  # noqa: BLE001 raised again where the outcome is taken
            return error

    def _fetch_one(self, blob: Blob) -> FetchedImage:
        for _ in range(2):
            with _IN_HAND.taken(blob.size_bytes):
                data = self._store.read(blob.path)
                held = len(data)
                if held == blob.size_bytes:
                    image = FetchedImage(blob.path, _sha256(data), held)
                    if not self._at_hand(image):
                        self._keep(image.sha256, data)
                    return image
        raise DataError(
            f"{self._store.url}/{blob.path} holds {held} bytes, was listed with {blob.size_bytes}",
            cure="run again, on a store that nobody changes meanwhile",
        )

    def _at_hand(self, image: FetchedImage) -> bool:
        if self._store.is_local:
            return True
        try:
            return self._content_path(image.sha256).stat().st_size == image.size_bytes
        except FileNotFoundError:
            return False

    def _content_path(self, sha256: str) -> Path:
        return self._contents / sha256[:2] / sha256

    def _keep(self, sha256: str, data: bytes) -> None:
        target, temporary = self._content_path(sha256), self._temporary / uuid4().hex
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(target)
        except OSError as error:
            raise _cache_failure(self._contents.parent, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Remove what killed fetches left half-written, a day later, so that no living one is disturbed."""
        for leftover in self._temporary.iterdir():
            try:
                if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                    leftover.unlink()
            except FileNotFoundError:
                continue


def _stand_in(blob: Blob) -> str:
    """What stands for the digest of a file that is not read: the same in any store."""
    return _sha256(f"unread\n{blob.path}\n{blob.size_bytes}".encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cache_failure(root: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"the cache {root} cannot be written ({error.strerror or error})",
        cure="set LIGHTBOX_CACHE to a writable folder with enough room",
    )
