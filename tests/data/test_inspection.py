"""Looking at images: each content once, a few at a time, and kept as it comes."""

import time
from typing import Any

import numpy as np
import pytest
from support.processor_time import allowed
from support.samples.costly_images import jpeg_of_scans
from support.samples.small_catalogues import Store, encoded, slice_like, varied_store

from tasks.data.inspection import (
    Rejection,
    inspect,
    inspect_images,
    inspections_from_parquet,
    inspections_to_parquet,
)
from tasks.errors import StoreUnreachable
from tasks.images.settings import DecodeLimits


def test_intensities_of_the_picture_and_its_border() -> None:
    pixels = np.zeros((60, 100, 3), dtype=np.uint8)
    pixels[3:-3, 3:-3] = 200
    facts = inspect(encoded(pixels), DecodeLimits())
    assert facts.border_intensity == 0
    assert facts.mean_intensity == pytest.approx(200 * 54 * 94 / 6000)
    assert inspect(encoded(255 - pixels), DecodeLimits()).border_intensity == 255


def test_each_content_is_read_once_and_unlabelled_ones_not() -> None:
    store = varied_store()
    store.inspected()
    assert len(store.reads) == len(set(store.reads)) == 17
    assert "later/unknown.png" not in store.reads
    assert "yes/exact copy.png" not in store.reads or "yes/Bild 1 ä.PNG" not in store.reads


def test_known_contents_are_not_read_again() -> None:
    store = varied_store()
    first = store.inspected()
    known = inspections_from_parquet(inspections_to_parquet(first.found))
    assert known == first.found
    store.reads.clear()
    store.add("no/new.png", encoded(slice_like(70)), "no")
    second = store.inspected(known=known)
    assert store.reads == ["no/new.png"]
    assert {**known, **second.found} == second.found
    assert inspections_from_parquet(inspections_to_parquet({})) == {}


def test_progress_counts_contents_in_order() -> None:
    seen: list[tuple[int, int | None, str]] = []
    varied_store().inspected(progress=lambda *told: seen.append(told), threads=3)
    assert seen == [(i, 17, "images") for i in range(1, 18)]


def test_a_costly_file_is_a_row_with_its_reason_and_stalls_nothing() -> None:
    store, before = varied_store(), time.process_time()
    plain = len(store.inspected().found)
    ordinary = time.process_time() - before
    for number in range(4):
        store.add(f"no/costly {number}.jpg", jpeg_of_scans(300 + number, side=5000), "no")
    before = time.process_time()
    found = store.inspected().found
    assert time.process_time() - before < ordinary + allowed(2)
    rejected = [row for row in found.values() if isinstance(row, Rejection) and row.reason == "too_complex"]
    assert (len(rejected), len(found)) == (4, plain + 4)
    assert "100 scans" in rejected[0].detail


def test_a_failing_store_ends_the_work_instead_of_rejecting_images() -> None:
    store = varied_store()

    def fail(path: str) -> bytes:
        raise StoreUnreachable(f"{path} cannot be read", cure="check the network")

    with pytest.raises(StoreUnreachable):
        inspect_images(store.files, fail, DecodeLimits())


def test_memory_holds_a_window_of_images_only() -> None:
    """Far more images than threads: never more than the window are read ahead of the progress."""
    store = Store()
    for seed in range(60):
        store.add(f"a/{seed}.png", encoded(slice_like(seed, 16)), "a")
    ahead: list[int] = []
    store.inspected(threads=2, progress=lambda done, *_: ahead.append(len(store.reads) - done))
    assert max(ahead) <= 8


def test_what_was_looked_at_is_kept_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.inspection.KEPT_TOGETHER", 5)
    store = varied_store()
    kept: list[dict[str, Any]] = []

    def fail_late(path: str) -> bytes:
        if path == "yes/Bild 9 ä.PNG":
            raise StoreUnreachable(f"{path} cannot be read", cure="check the network")
        return store.read(path)

    with pytest.raises(StoreUnreachable):
        inspect_images(
            store.files, fail_late, DecodeLimits(), keep=lambda found: kept.append(dict(found)), threads=1
        )
    known = {sha256: found for part in kept for sha256, found in part.items()}
    assert len(known) == 14
    assert [len(part) for part in kept] == [5, 5, 4]
    store.reads.clear()
    store.inspected(known=known)
    assert len(store.reads) == 3
