"""A version at work: its own local copy, verified, tried and warmed before the first request reaches it."""

import hashlib
import io
import os
import shutil
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.errors import BundleError
from tasks.images.decode import Decoded, decoded, prepare
from tasks.images.memory import SHARED
from tasks.models.bundle import Bundle, load_bundle
from tasks.models.inference import probabilities
from tasks.models.manifest import BUNDLE_FILE, GRAPH_FILE, WEIGHTS_FILE, BundleManifest, read_manifest
from tasks.stores.permissions import make_private
from tasks.stores.workspace import Workspace
from tasks.work.memory_budget import MemoryBudget

_GATHER_SECONDS: Final = 0.002
_MOST_TOGETHER: Final = 16
_KEPT_COPIES: Final = 2
"""Copies kept beside those that are served: what a rollback may return to."""


class ServedModel:
    """One loaded version; its methods may be called from several threads.

    `memory` is what decoding may take, together with other versions that are given the same. `observe_batch` is told
    how many images each run of the graph judged. With `batched`, images that wait together are judged together, which
    pays on a GPU; on a CPU one image a thread is faster.
    """

    def __init__(
        self,
        bundle: Bundle,
        version: str,
        *,
        max_pixels: int,
        memory: MemoryBudget = SHARED,
        batched: bool = False,
        observe_batch: Callable[[int], object] = lambda _: None,
    ) -> None:
        own = bundle.manifest.decode_limits
        self.bundle, self.version = bundle, version
        self._limits = own.model_copy(update={"max_pixels": min(own.max_pixels, max_pixels)})
        self._memory = memory
        self._observe = observe_batch
        self._batcher = _Batcher(self._run) if batched else None

    @property
    def manifest(self) -> BundleManifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    def decoded(self, data: bytes) -> AbstractContextManager[Decoded]:
        """The image as evaluation decodes it, within the limits; inside, its memory is taken from what all share.

        Raises:
            ImageRejected: it cannot be used.
        """
        return decoded(data, self._limits, self._memory)

    def prepare(self, decoded: Decoded) -> NDArray[np.uint8]:
        """What the network is given: uint8 (S, S, 3) RGB."""
        return prepare(decoded.pixels, self.manifest.preprocessing)

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (C,) of one prepared image."""
        if self._batcher is not None:
            return self._batcher.logits(pixels)
        logits: NDArray[np.float32] = self._run(pixels[None])[0]
        return logits

    def try_out(self, width: int) -> None:
        """Judge made-up images on every thread: proves that the graph gives sane figures, and warms it.

        Raises:
            BundleError: figures are not finite, of the wrong shape, or depend on how often one asks.
        """
        side, n_classes = self.manifest.preprocessing.size_px, len(self.manifest.classes)
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        trials = [np.zeros_like(noise), noise] * width
        picture = io.BytesIO()
        Image.fromarray(noise).save(picture, "JPEG")
        with self.decoded(picture.getvalue()) as image:
            self.prepare(image)
        with ThreadPoolExecutor(width) as pool:
            found = np.stack(list(pool.map(lambda image: self._run(image[None])[0], trials)))
        spread = np.ptp(probabilities(found).reshape(width, 2, n_classes), axis=0).max()
        if found.shape[1] != n_classes or not np.isfinite(found).all() or spread > 1e-4:
            raise BundleError(
                f"{self.bundle.uri} fails its trial: figures are not finite or not stable",
                cure="export and publish the model again; the version before stays in service",
            )

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._observe(len(pixels))
        return self.bundle.predict_pixels(pixels)


@dataclass(slots=True)
class _Waiting:
    pixels: NDArray[np.uint8]
    done: threading.Event
    logits: NDArray[np.float32] | None = None
    error: BaseException | None = None


class _Batcher:
    """Judges images that arrive within two milliseconds of each other in one run of the graph."""

    def __init__(self, run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> None:
        self._run = run
        self._queue: SimpleQueue[_Waiting] = SimpleQueue()
        threading.Thread(target=self._work, name="micro-batches", daemon=True).start()

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (C,) of one image, when its batch is judged."""
        waiting = _Waiting(pixels, threading.Event())
        self._queue.put(waiting)
        waiting.done.wait()
        if waiting.error is not None or waiting.logits is None:
            raise RuntimeError("a micro-batch failed") from waiting.error
        return waiting.logits

    def _work(self) -> None:
        while True:
            batch = self._gather()
            try:
                for waiting, logits in zip(
                    batch, self._run(np.stack([waiting.pixels for waiting in batch])), strict=True
                ):
                    waiting.logits = logits
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                for waiting in batch:
                    waiting.error = error
            for waiting in batch:
                waiting.done.set()

    def _gather(self) -> list[_Waiting]:
        batch = [self._queue.get()]
        while len(batch) < _MOST_TOGETHER:
            try:
                batch.append(self._queue.get(timeout=_GATHER_SECONDS))
            except Empty:
                break
        return batch


def local_version(cache: Path, version: str) -> Path | None:
    """The copy of a version, when one is at hand."""
    folder = cache / version
    return folder if (folder / BUNDLE_FILE).is_file() else None


def copy_version(workspace: Workspace, rel: str, cache: Path, version: str) -> Path:
    """Bring what serving needs of a bundle into `cache`/`version`, each file verified; the folder appears whole.

    A copy that is the bundle of the workspace already, undamaged, is kept.

    Raises:
        WorkspaceError: the workspace cannot be read.
        BundleError: the bundle is damaged or incomplete.
    """
    data = workspace.read(f"{rel}/{BUNDLE_FILE}")
    manifest = read_manifest(data, workspace.uri(rel))
    folder = cache / version
    if _is_whole(folder, data, manifest):
        return folder
    temporary = cache / f".{uuid4().hex}.tmp"
    try:
        make_private(temporary)
        for name in _needed(manifest):
            content = workspace.read(f"{rel}/{name}")
            if hashlib.sha256(content).hexdigest() != manifest.files[name]:
                raise BundleError(
                    f"{workspace.uri(rel)}: {name} is damaged: its SHA-256 is not that of {BUNDLE_FILE}",
                    cure="publish the bundle again",
                )
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        (temporary / BUNDLE_FILE).write_bytes(data)
        _put_in_place(temporary, folder)
    except OSError as error:
        raise BundleError(
            f"the cache {cache} cannot be written: {error.strerror or error}",
            cure="set LIGHTBOX_CACHE to a writable folder with enough room",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def open_copy(folder: Path) -> Bundle:
    """Load a local copy with one thread a prediction: many at once are faster than one on many threads.

    In bfloat16 where the model's evaluation accepted that and this machine is fast in it.

    Raises:
        BundleError: the copy is damaged.
    """
    return load_bundle(folder, threads=1, precision="accepted")


def mark_used(cache: Path, version: str) -> None:
    """Note that a copy is served from now on."""
    with suppress(FileNotFoundError):  # another worker puts the same copy in place at this moment
        os.utime(cache / version)


def prune(cache: Path, served: Collection[str]) -> None:
    """Remove all copies but those that are served and, of the others, the last that were."""
    copies = sorted(
        (
            path
            for path in cache.iterdir()
            if (path / BUNDLE_FILE).is_file() and not path.name.startswith(".") and path.name not in served
        ),
        key=lambda path: path.stat().st_mtime,
    )
    for old in copies[:-_KEPT_COPIES]:
        shutil.rmtree(old, ignore_errors=True)


def _needed(manifest: BundleManifest) -> list[str]:
    return [GRAPH_FILE, *([WEIGHTS_FILE] if GRAPH_FILE in manifest.outer_weights else [])]


def _is_whole(folder: Path, data: bytes, manifest: BundleManifest) -> bool:
    try:
        if (folder / BUNDLE_FILE).read_bytes() != data:
            return False
        return all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == manifest.files[name]
            for name in _needed(manifest)
        )
    except OSError:
        return False


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Another worker may put the same copy in place at the same moment; either is good."""
    if folder.exists():
        folder.rename(folder.with_name(f".{uuid4().hex}.tmp"))
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / BUNDLE_FILE).is_file():
            raise
    for left in folder.parent.glob(".*.tmp"):
        if left != temporary and left.is_dir() and (left / BUNDLE_FILE).is_file():
            shutil.rmtree(left, ignore_errors=True)
