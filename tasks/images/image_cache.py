"""Decode once: every image as a fixed square of pixels, in memory-mapped shards of the workspace.

A cache folder holds `shard-<digest>.npy`, uint8 (n, S, S, 3) RGB, and beside each a `shard-<digest>.json`
that names its contents. The second is written last, so a shard with it is whole. A shard is named after
what it holds: two writers that make the same one write the same bytes, a killed run goes on where it
stopped, and data that grow add shards for the new contents only.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.errors import ConfigError, DataError, WorkspaceError
from tasks.images.decode import decoded, prepare
from tasks.images.reject_reasons import ImageRejected
from tasks.images.settings import DecodeLimits, Preprocessing
from tasks.record import Frozen
from tasks.stores.layout import IMAGE_SHARD
from tasks.stores.workspace import Workspace
from tasks.work.pool import map_in_order
from tasks.work.progress import Progress, silent

SHARD_IMAGES: Final = 1024
"""Images of a shard: 154 MB at 224 px, and the most that a killed run has to decode again."""

CacheItem = tuple[str, Callable[[], bytes]]
"""A content's SHA-256 and how to read its bytes."""

Shard: TypeAlias = "np.memmap[Any, np.dtype[np.uint8]]"
"""Uint8 (n, S, S, 3) RGB, mapped from its file."""

_READERS: Final = 8


class ImageCache(Frozen):
    """A cache that holds all contents it was made for."""

    path: str = Field(description="Folder below the workspace.")
    size_px: int = Field(description="Side of each square image.")
    n: int = Field(description="Distinct contents it was made for.")
    digest: str = Field(description="SHA-256 over those contents' digests and the preprocessing.")


class CachedImages:
    """Prepared images by content digest; memory-mapped, so that only what is taken is read."""

    def __init__(self, shards: Sequence[Shard], places: Mapping[str, tuple[int, int]]) -> None:
        self._shards = shards
        self._places = places

    @property
    def size_px(self) -> int:
        """Side of each square image."""
        return int(self._shards[0].shape[1])

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places

    def __reduce__(self) -> tuple[object, ...]:
        """By the files' names: another process of this machine maps them itself."""
        return _mapped_again, ([shard.filename for shard in self._shards], self._places)

    def take(self, sha256s: Sequence[str]) -> NDArray[np.uint8]:
        """Copy images out, in the order asked: uint8 (n, S, S, 3) RGB, contiguous.

        Raises:
            DataError: a content that the cache does not hold.
        """
        missing = [sha256 for sha256 in sha256s if sha256 not in self._places]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(sha256s)} images are not in the image cache, {missing[0]} for one",
                cure="run the prepare stage again on this catalogue",
            )
        side = self.size_px
        taken = np.empty((len(sha256s), side, side, 3), dtype=np.uint8)
        places = np.array([self._places[sha256] for sha256 in sha256s], dtype=np.int64).reshape(-1, 2)
        for shard in np.unique(places[:, 0]):
            positions = np.flatnonzero(places[:, 0] == shard)
            # In file order, so that a disk or a network mount is read forwards.
            positions = positions[np.argsort(places[positions, 1], kind="stable")]
            taken[positions] = self._shards[shard][places[positions, 1]]
        return taken


def build_image_cache(
    workspace: Workspace,
    key: str,
    items: Sequence[CacheItem],
    preprocessing: Preprocessing,
    *,
    limits: DecodeLimits | None = None,
    threads: int = 4,
    progress: Progress = silent,
    shard_images: int = SHARD_IMAGES,
) -> ImageCache:
    """Decode and prepare what the cache `key` does not hold yet.

    `key` names a cache folder and stands for its preprocessing: use a digest of it, so that data sets and
    later runs share what is decoded.

    Raises:
        ConfigError: the folder was made with another preprocessing.
        DataError: no items, or an item that cannot be decoded although the catalogue accepted it.
    """
    if not items:
        raise DataError("no image to prepare", cure="check the catalogue: it has no usable image")
    folder = IMAGE_SHARD.folder(key=key)
    readers = dict(items)
    held = {sha256 for index in _indices(workspace, folder) for sha256 in _contents(index, preprocessing)}
    missing = sorted(readers.keys() - held)
    done = len(readers) - len(missing)
    progress(done, len(readers), "images")

    def prepared(sha256: str) -> NDArray[np.uint8]:
        try:
            with decoded(readers[sha256](), limits or DecodeLimits()) as image:
                return prepare(image.pixels, preprocessing)
        except ImageRejected as rejected:
            raise DataError(
                f"image {sha256} is in the catalogue but cannot be decoded ({rejected})",
                cure="make the catalogue again with the same decode limits",
            ) from rejected

    for start in range(0, len(missing), shard_images):
        chunk = missing[start : start + shard_images]
        images = map_in_order(prepared, chunk, threads)
        for count in _write_shard(workspace, key, chunk, images, preprocessing):
            progress(done + count, len(readers), "images")
        done += len(chunk)
    return ImageCache(
        path=folder,
        size_px=preprocessing.size_px,
        n=len(readers),
        digest=_digest([*sorted(readers), preprocessing.model_dump_json()]),
    )


def open_image_cache(workspace: Workspace, cache: ImageCache, cache_root: Path) -> CachedImages:
    """Map a cache's shards; a remote workspace's are copied below `cache_root` first, once.

    Raises:
        WorkspaceError: the folder holds no shard, or a shard does not match its list.
    """
    shards: list[Shard] = []
    places: dict[str, tuple[int, int]] = {}
    for index in _indices(workspace, cache.path):
        names: list[str] = index["sha256"]
        shape = (len(names), cache.size_px, cache.size_px, 3)
        shards.append(_mapped(workspace, f"{cache.path}/{index['shard']}", shape, cache_root))
        for row, sha256 in enumerate(names):
            places.setdefault(sha256, (len(shards) - 1, row))
    if not shards:
        raise WorkspaceError(
            f"{workspace.uri(cache.path)} holds no image cache", cure="run the prepare stage again"
        )
    return CachedImages(shards, places)


def _write_shard(
    workspace: Workspace,
    key: str,
    contents: Sequence[str],
    images: Iterator[NDArray[np.uint8]],
    preprocessing: Preprocessing,
) -> Iterator[int]:
    """Write one shard, yielding how many of its images are prepared."""
    name = f"shard-{_digest(contents)[:16]}"
    side = preprocessing.size_px
    with tempfile.TemporaryDirectory(prefix="lightbox-shard-") as temporary:
        local = Path(temporary) / f"{name}.npy"
        shape = (len(contents), side, side, 3)
        shard = np.lib.format.open_memmap(local, mode="w+", dtype=np.uint8, shape=shape)
        with local.open("r+b") as file:  # else a full disk shows as a signal that ends the process
            os.posix_fallocate(file.fileno(), 0, local.stat().st_size)
        for row, image in enumerate(images):
            shard[row] = image
            yield row + 1
        shard.flush()
        del shard
        workspace.upload(local, IMAGE_SHARD.path(key=key, shard=name, ending="npy"))
    index = {
        "shard": f"{name}.npy",
        "preprocessing": preprocessing.model_dump(mode="json"),
        "sha256": list(contents),
    }
    workspace.write(IMAGE_SHARD.path(key=key, shard=name, ending="json"), json.dumps(index).encode())


def _indices(workspace: Workspace, folder: str) -> list[dict[str, Any]]:
    """The lists of all whole shards."""
    names = [name for name in workspace.list(folder) if name.endswith(".json")]
    return [
        json.loads(data)
        for data in map_in_order(workspace.read, names, threads=min(_READERS, len(names) or 1))
    ]


def _contents(index: dict[str, Any], preprocessing: Preprocessing) -> list[str]:
    found = Preprocessing.model_validate(index["preprocessing"])
    if found != preprocessing:
        raise ConfigError(
            f"the image cache {index['shard']} was made with another preprocessing ({found!r})",
            cure="use a key that is a digest of the preprocessing",
        )
    contents: list[str] = index["sha256"]
    return contents


def _mapped(workspace: Workspace, path: str, shape: tuple[int, ...], cache_root: Path) -> Shard:
    local = workspace.local_copy(path, cache_root)
    try:
        shard = np.load(local, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise _damaged(workspace, path, str(error)) from error
    if shard.shape != shape or shard.dtype != np.uint8:
        raise _damaged(workspace, path, f"{shard.dtype} {shard.shape} instead of uint8 {shape}")
    mapped: Shard = shard
    return mapped


def _mapped_again(files: Sequence[Path], places: Mapping[str, tuple[int, int]]) -> CachedImages:
    return CachedImages([np.load(file, mmap_mode="r", allow_pickle=False) for file in files], places)


def _damaged(workspace: Workspace, path: str, detail: str) -> WorkspaceError:
    return WorkspaceError(
        f"{workspace.uri(path)} is damaged: {detail}",
        cure="delete it and the .json beside it, and run the prepare stage again",
    )


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
