"""Decode once, whatever happens in between."""

import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.errors import ConfigError, DataError, WorkspaceError
from tasks.images.decode import decode, prepare
from tasks.images.image_cache import CachedImages, CacheItem, ImageCache, build_image_cache, open_image_cache
from tasks.images.settings import DecodeLimits, Preprocessing
from tasks.stores.workspace import Workspace

SMALL = Preprocessing(size_px=32)


def image_bytes(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


class Source:
    """Images by digest, counting how often each is read; reading one of `failing` raises."""

    def __init__(self, n: int) -> None:
        contents = [image_bytes(seed) for seed in range(n)]
        self.data = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.reads: list[str] = []
        self.failing: set[str] = set()
        self._lock = threading.Lock()

    def reader(self, sha256: str) -> Callable[[], bytes]:
        def read() -> bytes:
            with self._lock:
                self.reads.append(sha256)
            if sha256 in self.failing:
                raise KeyboardInterrupt
            return self.data[sha256]

        return read

    def items(self, sha256s: Sequence[str] | None = None) -> list[CacheItem]:
        return [(sha256, self.reader(sha256)) for sha256 in (self.data if sha256s is None else sha256s)]

    def expected(self, sha256: str, preprocessing: Preprocessing = SMALL) -> NDArray[np.uint8]:
        return prepare(decode(self.data[sha256]).pixels, preprocessing)


@pytest.fixture(params=["local", "memory"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    local = request.param == "local"
    return Workspace(str(tmp_path / "workspace") if local else f"memory://cache-{uuid4().hex}")


def build(workspace: Workspace, items: Sequence[CacheItem], shard_images: int = 4) -> ImageCache:
    return build_image_cache(workspace, "key", items, SMALL, threads=2, shard_images=shard_images)


def shard_names(workspace: Workspace) -> list[str]:
    return [name for name in workspace.list("cache/images/key") if name.endswith(".npy")]


def test_images_come_back_as_prepared_in_any_order(workspace: Workspace, tmp_path: Path) -> None:
    source = Source(11)
    record = build(workspace, source.items())
    images = open_image_cache(workspace, record, tmp_path / "copies")
    asked = [*reversed(source.data), *list(source.data)[:3]]
    taken = images.take(asked)
    assert taken.shape == (14, 32, 32, 3)
    assert taken.dtype == np.uint8
    assert taken.flags.c_contiguous
    assert taken.flags.writeable
    for row, sha256 in zip(taken, asked, strict=True):
        assert np.array_equal(row, source.expected(sha256))
    assert (record.n, record.size_px, len(images), images.size_px) == (11, 32, 11, 32)
    assert len(shard_names(workspace)) == 3
    assert images.take([]).shape == (0, 32, 32, 3)
    assert next(iter(source.data)) in images
    assert "unknown" not in images


def test_images_are_memory_mapped(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "workspace"))
    record = build(workspace, Source(5).items())
    images = open_image_cache(workspace, record, tmp_path)
    assert all(isinstance(shard, np.memmap) for shard in images._shards)


def test_another_process_is_sent_the_files_names_not_their_pixels(tmp_path: Path) -> None:
    source = Source(5)
    record = build(Workspace(str(tmp_path / "workspace")), source.items())
    images = open_image_cache(Workspace(str(tmp_path / "workspace")), record, tmp_path)
    sent = pickle.dumps(images)
    assert len(sent) < 1000 < images.take(list(source.data)).nbytes
    received = pickle.loads(sent)  # noqa: S301
    assert np.array_equal(received.take(list(source.data)), images.take(list(source.data)))


def test_a_second_build_decodes_nothing_and_growth_only_what_is_new(
    workspace: Workspace, tmp_path: Path
) -> None:
    source = Source(11)
    old = list(source.data)[:7]
    first = build(workspace, source.items(old))
    assert sorted(source.reads) == sorted(old)
    source.reads.clear()
    assert build(workspace, source.items(list(reversed(old)))) == first
    assert source.reads == []
    grown = build(workspace, source.items())
    assert sorted(source.reads) == sorted(set(source.data) - set(old))
    assert grown.digest != first.digest
    images = open_image_cache(workspace, grown, tmp_path)
    taken = images.take(list(source.data))
    assert all(np.array_equal(row, source.expected(sha)) for row, sha in zip(taken, source.data, strict=True))


def test_a_killed_build_goes_on_with_the_shard_it_was_at(workspace: Workspace, tmp_path: Path) -> None:
    source = Source(12)
    ordered = sorted(source.data)
    source.failing = {ordered[9]}
    with pytest.raises(KeyboardInterrupt):
        build(workspace, source.items())
    assert len(shard_names(workspace)) == 2
    source.failing, source.reads = set(), []
    record = build(workspace, source.items())
    assert sorted(source.reads) == ordered[8:]
    images = open_image_cache(workspace, record, tmp_path)
    assert np.array_equal(images.take(ordered[9:10])[0], source.expected(ordered[9]))


def test_a_shard_without_its_list_is_made_again(workspace: Workspace, tmp_path: Path) -> None:
    source = Source(3)
    build(workspace, source.items())
    (name,) = shard_names(workspace)
    workspace.delete(name.replace(".npy", ".json"))
    workspace.write(name, b"half a shard")
    source.reads.clear()
    record = build(workspace, source.items())
    assert len(source.reads) == 3
    assert len(open_image_cache(workspace, record, tmp_path).take(list(source.data))) == 3


def test_two_writers_at_once(workspace: Workspace, tmp_path: Path) -> None:
    source = Source(12)
    names = list(source.data)
    records: list[ImageCache] = []
    threads = [
        threading.Thread(target=lambda part=part: records.append(build(workspace, source.items(part))))
        for part in (names, names[:9], names[3:], names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records) == 4
    for record in records:
        images: CachedImages = open_image_cache(workspace, record, tmp_path)
        taken = images.take(names)
        assert all(np.array_equal(row, source.expected(sha)) for row, sha in zip(taken, names, strict=True))


def test_progress_begins_with_what_is_there(workspace: Workspace) -> None:
    source = Source(6)
    build(workspace, source.items(list(source.data)[:2]))
    seen: list[tuple[int, int | None, str]] = []
    build_image_cache(
        workspace, "key", source.items(), SMALL, shard_images=3, progress=lambda *told: seen.append(told)
    )
    assert seen == [(done, 6, "images") for done in (2, 3, 4, 5, 6)]


def test_another_preprocessing_under_the_same_key_is_refused(workspace: Workspace) -> None:
    source = Source(2)
    build(workspace, source.items())
    with pytest.raises(ConfigError, match="another preprocessing"):
        build_image_cache(workspace, "key", source.items(), Preprocessing(size_px=32, fit="squash"))


def test_the_digest_names_contents_and_preprocessing(workspace: Workspace) -> None:
    source = Source(3)
    record = build(workspace, source.items())
    other = build_image_cache(workspace, "other", source.items(), Preprocessing(size_px=48))
    assert record.digest != other.digest
    assert build(workspace, [*source.items(), *source.items()]) == record


def test_what_cannot_be_decoded_stops_the_build(workspace: Workspace) -> None:
    source = Source(2)
    name = next(iter(source.data))
    source.data[name] = b"damaged"
    with pytest.raises(DataError, match=f"{name}.*not_an_image"):
        build(workspace, source.items())
    assert shard_names(workspace) == []
    limits = DecodeLimits(min_side_px=64)
    with pytest.raises(DataError, match="too_small"):
        build_image_cache(workspace, "key", Source(1).items(), SMALL, limits=limits)
    with pytest.raises(DataError, match="no image"):
        build(workspace, [])


def test_missing_images_and_damaged_shards_are_named(workspace: Workspace, tmp_path: Path) -> None:
    source = Source(5)
    record = build(workspace, source.items())
    images = open_image_cache(workspace, record, tmp_path / "a")
    with pytest.raises(DataError, match=r"1 of 2 images.*unknown"):
        images.take([next(iter(source.data)), "unknown"])
    with pytest.raises(WorkspaceError, match="no image cache"):
        open_image_cache(workspace, record.model_copy(update={"path": "cache/images/none"}), tmp_path)
    with pytest.raises(WorkspaceError, match="damaged"):
        open_image_cache(workspace, record.model_copy(update={"size_px": 64}), tmp_path / "b")
    name = shard_names(workspace)[0]
    workspace.write(name, workspace.read(name)[:-100])
    with pytest.raises(WorkspaceError, match="damaged"):
        open_image_cache(workspace, record, tmp_path / "c")
