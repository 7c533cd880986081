"""Only what changed is transferred; what was fetched is verified, and a killed fetch goes on."""

import hashlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from support.repository import TESTS
from support.services.azurite import Azurite
from support.services.counted_filesystem import CountedFileSystem

from tasks.data.labels import label_blobs
from tasks.errors import AccessDenied, DataError, StoreUnreachable, WorkspaceError
from tasks.stores.datastore import Blob, Datastore
from tasks.stores.fetch import ContentCache, FetchedImage, default_cache_root
from tasks.stores.fetch_index import MAX_FILE_BYTES
from tasks.work.memory_budget import MemoryBudget


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    CountedFileSystem.reset()


@pytest.fixture
def counted_store(tmp_path: Path) -> Datastore:
    """Forty files of a store that is not local, two of them with the same content."""
    folder = tmp_path / "store"
    (folder / "yes").mkdir(parents=True)
    for number in range(40):
        (folder / "yes" / f"{number:02d}.png").write_bytes(b"image %d" % max(number, 1))
    return Datastore(f"counted://{folder}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def only_content_file(cache: Path, image: FetchedImage) -> Path:
    return cache / "content" / image.sha256[:2] / image.sha256


def test_a_file_beyond_the_limit_is_never_read(counted_store: Datastore, tmp_path: Path) -> None:
    sizes = {"yes/large.png": 40 << 30, "yes/just.png": MAX_FILE_BYTES + 1}
    for name, size in sizes.items():
        with (tmp_path / "store" / name).open("wb") as file:
            file.truncate(size)  # takes no room
    for store in (counted_store, Datastore(str(tmp_path / "store"))):
        cache = ContentCache(tmp_path / "cache", store)
        images = {image.path: image for image in cache.fetch(store.blobs())}
        large = {name: image for name, image in images.items() if image.is_too_large}
        assert {name: image.size_bytes for name, image in large.items()} == sizes
        assert len(images) == 42 and len({image.sha256 for image in large.values()}) == 2
        with pytest.raises(DataError, match="more than"):
            cache.read(large["yes/large.png"])
    assert len(CountedFileSystem.reads) == 40


def test_bytes_in_hand_are_bounded_not_only_files(
    counted_store: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, held, most = threading.Lock(), 0, 0
    original = Datastore.read

    def read(self: Datastore, path: str) -> bytes:
        nonlocal held, most
        data = original(self, path)
        with lock:
            held += len(data)
            most = max(most, held)
        time.sleep(0.002)
        with lock:
            held -= len(data)
        return data

    monkeypatch.setattr(Datastore, "read", read)
    monkeypatch.setattr("tasks.stores.fetch._IN_HAND", MemoryBudget(30))
    ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs(), concurrency=16)
    assert 7 <= most <= 30


def test_images_come_in_order_with_their_digests(counted_store: Datastore, tmp_path: Path) -> None:
    blobs = counted_store.blobs()
    cache = ContentCache(tmp_path / "cache", counted_store)
    images = cache.fetch(blobs[::-1], concurrency=7)
    assert [image.path for image in images] == [blob.path for blob in blobs[::-1]]
    assert cache.transferred == 40
    for image in images:
        data = cache.read(image)
        assert data == cache.read(image.path) == (tmp_path / "store" / image.path).read_bytes()
        assert (sha256(data), len(data)) == (image.sha256, image.size_bytes)
    assert len(CountedFileSystem.reads) == 40


def test_an_unchanged_store_costs_one_listing_and_no_transfer(
    counted_store: Datastore, tmp_path: Path
) -> None:
    first = ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs())
    CountedFileSystem.reset()
    again = Datastore(counted_store.url)
    cache = ContentCache(tmp_path / "cache", again)
    assert cache.fetch(again.blobs()) == first
    assert all(sha256(cache.read(image)) == image.sha256 for image in first)
    assert (CountedFileSystem.listings, CountedFileSystem.reads, cache.transferred) == (1, [], 0)


def test_only_what_changed_is_transferred(counted_store: Datastore, tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache", counted_store)
    cache.fetch(counted_store.blobs())
    (tmp_path / "store" / "yes" / "07.png").write_bytes(b"another image")
    (tmp_path / "store" / "yes" / "new.png").write_bytes(b"a new image")
    images = {image.path: image for image in cache.fetch(counted_store.blobs())}
    assert cache.transferred == 2
    assert images["yes/07.png"].sha256 == sha256(b"another image")
    assert cache.read("yes/new.png") == b"a new image"


def test_stores_do_not_share_what_they_know(counted_store: Datastore, tmp_path: Path) -> None:
    ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs())
    other = Datastore(f"memory://{uuid.uuid4().hex}")
    fsspec.filesystem("memory").pipe_file(f"{other.url}/yes/00.png", b"other")
    cache = ContentCache(tmp_path / "cache", other)
    assert cache.fetch(other.blobs())[0].sha256 == sha256(b"other")
    assert cache.transferred == 1


def test_local_stores_are_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1.png").write_bytes(b"one")
    store = Datastore(str(tmp_path / "store"))
    cache = ContentCache(tmp_path / "cache", store)
    image = cache.fetch(store.blobs())[0]
    assert image == FetchedImage("1.png", sha256(b"one"), 3)
    assert cache.read(image) == b"one"
    assert cache.transferred == 0
    assert [file for file in (tmp_path / "cache" / "content").rglob("*") if file.is_file()] == []
    (tmp_path / "store" / "1.png").write_bytes(b"two")
    with pytest.raises(DataError, match="changed since it was fetched"):
        cache.read(image)


@pytest.mark.parametrize("damage", ["lost", "cut short", "altered"])
def test_a_lost_or_damaged_copy_is_fetched_again(
    damage: str, counted_store: Datastore, tmp_path: Path
) -> None:
    cache = ContentCache(tmp_path / "cache", counted_store)
    image = cache.fetch(counted_store.blobs())[9]
    copy = only_content_file(tmp_path / "cache", image)
    content = copy.read_bytes()
    if damage == "lost":
        copy.unlink()
    else:
        copy.write_bytes(content[:-1] if damage == "cut short" else content[:-1] + b"?")
    CountedFileSystem.reset()
    assert cache.read(image) == content
    assert copy.read_bytes() == content
    assert cache.read(image) == content
    assert len(CountedFileSystem.reads) == 1


def test_a_copy_that_is_lost_is_missed_by_the_next_fetch(counted_store: Datastore, tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache", counted_store)
    images = cache.fetch(counted_store.blobs())
    only_content_file(tmp_path / "cache", images[9]).unlink()
    assert cache.fetch(counted_store.blobs()) == images
    assert cache.transferred == 1


def test_what_was_never_fetched_cannot_be_read(counted_store: Datastore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="was not fetched"):
        ContentCache(tmp_path / "cache", counted_store).read("yes/00.png")


def test_a_damaged_index_is_begun_anew(counted_store: Datastore, tmp_path: Path) -> None:
    images = ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs())
    index = next((tmp_path / "cache" / "index").glob("*.sqlite"))
    index.write_bytes(b"no database at all, but long enough to look like one" * 100)
    cache = ContentCache(tmp_path / "cache", counted_store)
    assert cache.fetch(counted_store.blobs()) == images
    assert cache.transferred == 40


def test_transient_errors_pass_and_lasting_ones_stop(counted_store: Datastore, tmp_path: Path) -> None:
    blobs = counted_store.blobs()
    CountedFileSystem.faults = [ConnectionResetError("reset"), TimeoutError("late")]
    cache = ContentCache(tmp_path / "cache", counted_store)
    assert len(cache.fetch(blobs, concurrency=4)) == 40
    CountedFileSystem.reset()
    CountedFileSystem.faults = [PermissionError("no")]
    CountedFileSystem.read_seconds = 0.01
    with pytest.raises(AccessDenied, match=r"yes/\d\d\.png"):
        ContentCache(tmp_path / "other", counted_store).fetch(blobs, concurrency=2)
    assert len(CountedFileSystem.reads) < 20


def test_what_came_before_a_failure_is_kept(counted_store: Datastore, tmp_path: Path) -> None:
    blobs = counted_store.blobs()
    (tmp_path / "store" / blobs[30].path).unlink()
    cache = ContentCache(tmp_path / "cache", counted_store)
    with pytest.raises(DataError, match=r"yes/30\.png"):
        cache.fetch(blobs, concurrency=1)
    cache.fetch(blobs[:30])
    assert cache.transferred == 0


def test_a_blob_that_does_not_match_its_listing_is_refused(counted_store: Datastore, tmp_path: Path) -> None:
    blobs = counted_store.blobs()
    (tmp_path / "store" / blobs[3].path).write_bytes(b"longer than it was listed")
    with pytest.raises(DataError, match="was listed with 7"):
        ContentCache(tmp_path / "cache", counted_store).fetch(blobs)


def test_concurrency_is_bounded(counted_store: Datastore, tmp_path: Path) -> None:
    CountedFileSystem.read_seconds = 0.01
    ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs(), concurrency=3)
    CountedFileSystem.reset()
    running = most = 0
    lock = threading.Lock()

    class Watched(Datastore):
        def read(self, path: str) -> bytes:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            try:
                return super().read(path)
            finally:
                with lock:
                    running -= 1

    watched = Watched(counted_store.url)
    ContentCache(tmp_path / "other", watched).fetch(watched.blobs(), concurrency=3)
    assert most == 3


def test_progress_reaches_the_total(counted_store: Datastore, tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    cache = ContentCache(tmp_path / "cache", counted_store)
    cache.fetch(counted_store.blobs(), progress=lambda *report: told.append(report))
    assert told[0] == (0, 40, "images")
    assert told[-1][:2] == (40, 40)
    assert told[-1][2].endswith(" images/s")
    told.clear()
    cache.fetch(counted_store.blobs(), progress=lambda *report: told.append(report))
    assert told == [(40, 40, "images")]


def test_no_leftovers_and_no_access_for_others(counted_store: Datastore, tmp_path: Path) -> None:
    stale = tmp_path / "cache" / "tmp" / "stale"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half an image")
    os.utime(stale, (0, 0))
    ContentCache(tmp_path / "new", counted_store).fetch(counted_store.blobs())
    ContentCache(tmp_path / "cache", counted_store).fetch(counted_store.blobs())
    assert list(stale.parent.iterdir()) == []
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_is_named(counted_store: Datastore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match="cannot be written") as refusal:
        ContentCache(tmp_path / "file" / "cache", counted_store)
    assert "LIGHTBOX_CACHE" in refusal.value.cure


def test_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTBOX_CACHE", "/somewhere/else")
    assert default_cache_root() == Path("/somewhere/else")
    monkeypatch.delenv("LIGHTBOX_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_cache_root() == Path("/home/someone/.cache/lightbox")


KILLED_FETCH = """
import sys
from pathlib import Path
from support.services.counted_filesystem import CountedFileSystem
from tasks.stores.datastore import Datastore
from tasks.stores.fetch import ContentCache
CountedFileSystem.read_seconds = 0.02
store = Datastore(sys.argv[1])
ContentCache(Path(sys.argv[2]), store).fetch(store.blobs(), concurrency=4)
"""


def test_a_killed_fetch_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number:03d}.png").write_bytes(b"image %d" % number)
    store = Datastore(f"counted://{folder}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    arguments = [sys.executable, "-c", KILLED_FETCH, store.url, str(tmp_path / "cache")]
    with subprocess.Popen(arguments, env=environment) as fetch:
        try:
            remembered = wait_for_index(tmp_path / "cache" / "index", at_least=40)
        finally:
            os.kill(fetch.pid, signal.SIGKILL)
    assert fetch.returncode == -signal.SIGKILL
    cache = ContentCache(tmp_path / "cache", store)
    images = cache.fetch(store.blobs())
    assert 40 <= remembered < 400
    assert 0 < cache.transferred <= 400 - remembered
    assert [cache.read(image) for image in images] == [b"image %d" % number for number in range(400)]


def wait_for_index(folder: Path, at_least: int) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for file in folder.glob("*.sqlite"):
            database = sqlite3.connect(file)
            try:
                count = int(database.execute("SELECT count(*) FROM image").fetchone()[0])
            except sqlite3.OperationalError:
                count = 0
            finally:
                database.close()
            if count >= at_least:
                return count
        time.sleep(0.02)
    pytest.fail("the fetch did not get on")


@pytest.mark.slow
def test_memory_stays_flat_for_a_hundred_thousand_blobs(tmp_path: Path) -> None:
    """100,000 blobs of 64 KiB (6.4 GB in all): what is held are the paths and digests, not the contents."""
    payloads = [bytes([number]) * 65536 for number in range(16)]

    class Endless(Datastore):
        def read(self, path: str) -> bytes:
            return bytes(bytearray(payloads[int(path[:6]) % 16]))

    root = f"memory://{uuid.uuid4().hex}"
    store = Endless(root)
    blobs = [Blob(f"{number:06d}.png", 65536, f"etag-{number}") for number in range(100_000)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = ContentCache(tmp_path / "cache", store).fetch(blobs)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert len({image.sha256 for image in images}) == 16
    assert grown_mib < 150


# --- Azure Blob Storage


@pytest.mark.service
@pytest.mark.slow
def test_azure_second_fetch_is_one_listing_and_no_transfer(
    azurite: Azurite, brain_mri: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    with azurite.new_container() as container:
        for file in (file for file in brain_mri.rglob("*") if file.is_file()):
            container.upload_blob(f"mri/{file.relative_to(brain_mri)}", file.read_bytes())
        remote = Datastore(f"az://{container.container_name}/mri")
        labelled = label_blobs(remote, remote.blobs()).rows
        cache = ContentCache(tmp_path / "cache", remote)
        images = cache.fetch([one.blob for one in labelled])
        assert cache.transferred == 253
        asked = len(azurite.requests(container.container_name))

        again = Datastore(remote.url)
        second = ContentCache(tmp_path / "cache", again)
        assert second.fetch([one.blob for one in label_blobs(again, again.blobs()).rows]) == images
        assert second.transferred == 0
        new_requests = azurite.requests(container.container_name)[asked:]
        assert len(new_requests) == 1
        assert "comp=list" in new_requests[0][1]

    local = Datastore(str(brain_mri))
    in_place = ContentCache(tmp_path / "cache", local)
    assert in_place.fetch([one.blob for one in label_blobs(local, local.blobs()).rows]) == images
    assert len({image.sha256 for image in images}) == 253 - 25


@pytest.mark.service
@pytest.mark.slow
def test_azure_store_that_goes_away_is_unreachable(azurite: Azurite, tmp_path: Path) -> None:
    with azurite.new_container() as container:
        container.upload_blob("yes/1.png", b"one")
        store = Datastore(
            f"az://{container.container_name}", {"connection_string": azurite.connection_string}
        )
        blobs = store.blobs()
        gone = azurite.connection_string.replace(azurite.endpoint, "http://127.0.0.1:9/devstoreaccount1")
        away = Datastore(store.url, {"connection_string": gone})
        with pytest.raises(StoreUnreachable, match=r"yes/1\.png"):
            ContentCache(tmp_path / "cache", away).fetch(blobs)
