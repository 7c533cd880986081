"""The catalogue, from files to a table with groups and folds."""

import hashlib
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tasks.data.catalogue import (
    CATALOGUE_COLUMNS,
    CatalogueTable,
    ContentFeatures,
    ImageFile,
    InspectedImages,
    NearCopyRule,
    build_catalogue,
    inspect_images,
    inspections_from_parquet,
    inspections_to_parquet,
)
from tasks.data.folds import FoldLedger
from tasks.data.images import DecodeLimits
from tasks.data.usability import check_usable
from tasks.errors import ConfigError, DataSetUnusable, StoreUnreachable, TooManyRejects, WorkspaceError

Split = Literal["train", "test"]


def slice_like(seed: int, side: int = 64) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(image)[..., None], 3, axis=2)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


class Store:
    """Files in memory with what is said about each, and how often each was read."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.files: list[ImageFile] = []
        self.reads: list[str] = []
        self._lock = threading.Lock()

    def add(
        self,
        path: str,
        data: bytes,
        label: str | None,
        *,
        group: str | None = None,
        split: Split | None = None,
    ) -> ImageFile:
        file = ImageFile(path, hashlib.sha256(data).hexdigest(), len(data), label, group, split)
        self.data[path] = data
        self.files.append(file)
        return file

    def read(self, path: str) -> bytes:
        with self._lock:
            self.reads.append(path)
        return self.data[path]

    def inspected(self, **options: Any) -> InspectedImages:
        return inspect_images(self.files, self.read, DecodeLimits(), **options)

    def table(self, n_folds: int = 3, ledger: FoldLedger | None = None) -> CatalogueTable:
        return build_catalogue(self.inspected(), ledger or FoldLedger(n_folds))[0]


def varied_store() -> Store:
    """Twelve pictures of two classes; exact, pixel, near and unlabelled copies; three kinds of rejects."""
    store = Store()
    for seed in range(12):
        label = "yes" if seed % 2 else "no"
        store.add(f"{label}/Bild {seed} ä.PNG", encoded(slice_like(seed)), label)
    store.add("yes/exact copy.png", encoded(slice_like(1)), "yes")
    store.add("yes/same pixels.jpg", encoded(slice_like(1), compress_level=1), "yes")
    store.add("yes/recompressed.jpeg", encoded(slice_like(3), "JPEG", quality=70), "yes")
    store.add("later/unknown.png", encoded(slice_like(50)), None)
    store.add("no/notes.jpg", b"not an image", "no")
    store.add("no/empty.png", b"", "no")
    store.add("no/cut.png", encoded(slice_like(60))[:300], "no")
    return store


def row(table: CatalogueTable, path: str) -> dict[Any, Any]:
    (found,) = table.frame[table.frame["path"] == path].to_dict("records")
    return found


def test_rows_and_rejects() -> None:
    store = varied_store()
    table = store.table()
    assert list(table.frame.columns) == list(CATALOGUE_COLUMNS)
    assert {name: str(kind) for name, kind in table.frame.dtypes.items()} == CATALOGUE_COLUMNS
    assert table.frame["path"].is_monotonic_increasing
    assert sorted([*table.frame["path"], *table.rejects["path"]]) == sorted(store.data)
    first = row(table, "no/Bild 0 ä.PNG")
    assert (first["format"], first["width"], first["height"], first["mode"]) == ("PNG", 64, 64, "RGB")
    assert first["size_bytes"] == len(store.data["no/Bild 0 ä.PNG"])
    assert row(table, "yes/same pixels.jpg")["format"] == "PNG"
    assert dict(zip(table.rejects["path"], table.rejects["reason"], strict=True)) == {
        "later/unknown.png": "label_missing",
        "no/cut.png": "truncated",
        "no/empty.png": "empty_file",
        "no/notes.jpg": "not_an_image",
    }


def test_copies_stand_in_one_group() -> None:
    table = varied_store().table()
    one = {
        row(table, path)["group"]
        for path in ("yes/Bild 1 ä.PNG", "yes/exact copy.png", "yes/same pixels.jpg")
    }
    assert len(one) == 1
    assert row(table, "yes/recompressed.jpeg")["group"] == row(table, "yes/Bild 3 ä.PNG")["group"]
    summary = table.summary()
    assert (summary.images, summary.contents, summary.exact_copies, summary.pixel_copies) == (15, 14, 1, 1)
    assert (summary.near_copies, summary.groups, summary.largest_group) == (1, 12, 2)
    assert summary.rejects == {"empty_file": 1, "not_an_image": 1, "truncated": 1}
    assert summary.unlabelled == 1
    assert summary.images_by_class == {"no": 6, "yes": 9}
    assert summary.groups_by_fold == [{"no": 2, "yes": 2}] * 3
    assert table.classes == ("no", "yes")


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


@pytest.mark.parametrize("other", [{}, {"compress_level": 1}])
def test_the_same_content_under_two_labels_is_a_conflict(other: dict[str, Any]) -> None:
    store = varied_store()
    store.add("no/mislabelled.png", encoded(slice_like(5), **other), "no")
    table = store.table()
    conflicts = table.frame[table.frame["conflict"]]
    assert set(conflicts["path"]) == {"no/mislabelled.png", "yes/Bild 5 ä.PNG"}
    assert conflicts["group"].nunique() == 1
    assert table.summary().conflicts == (2 if other else 1)
    assert not set(conflicts["sha256"]) & set(table.contents["sha256"])


def test_near_copies_with_two_labels_are_kept_and_reported() -> None:
    store = varied_store()
    store.add("no/disagrees.jpg", encoded(slice_like(7), "JPEG", quality=80), "no")
    table = store.table()
    group = row(table, "no/disagrees.jpg")["group"]
    assert group == row(table, "yes/Bild 7 ä.PNG")["group"]
    assert table.summary().label_disagreements == {group: ["no", "yes"]}
    assert not table.frame["conflict"].any()


def test_given_groups_join() -> None:
    store = varied_store()
    a = store.add("no/p1 a.png", encoded(slice_like(80)), "no", group="patient 1")
    b = store.add("no/p1 b.png", encoded(slice_like(81)), "no", group="patient 1")
    c = store.add("no/p2.png", encoded(slice_like(82)), "no", group="patient 2")
    table = store.table()
    assert row(table, a.path)["group"] == row(table, b.path)["group"] != row(table, c.path)["group"]


def test_a_given_split_and_its_overlaps() -> None:
    store = Store()
    for seed in range(12):
        split: Split = "test" if seed < 4 else "train"
        store.add(f"{split}/{seed}.png", encoded(slice_like(seed)), "yes" if seed % 2 else "no", split=split)
    store.add("train/copy of a test image.png", encoded(slice_like(0)), "no", split="train")
    table = store.table()
    assert set(table.frame[table.frame["split"] == "test"]["fold"]) == {0}
    leak = row(table, "train/copy of a test image.png")
    assert (leak["fold"], leak["split"]) == (0, "train")
    assert set(table.frame[table.frame["split"] == "train"]["fold"]) == {0, 1, 2}
    assert table.summary().split_overlaps == 1
    check_usable(table, "yes", 0.1)


def test_features_join_what_the_hash_misses_and_may_be_partial() -> None:
    store = Store()
    files = [store.add(f"a/{seed}.png", encoded(slice_like(seed)), "a") for seed in range(30)]
    features = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    features[4] = features[3] * 1.01
    names = tuple(file.sha256 for file in files[:19])
    table, _ = build_catalogue(
        store.inspected(), FoldLedger(3), features=ContentFeatures((*names, "not in the store"), features)
    )
    assert table.groups == 29
    assert row(table, "a/3.png")["group"] == row(table, "a/4.png")["group"]
    strict = NearCopyRule(max_hash_distance=0, min_feature_cosine=1.0)
    apart, _ = build_catalogue(
        store.inspected(), FoldLedger(3), features=ContentFeatures(names, features[:19]), rule=strict
    )
    assert apart.groups == 30


@given(order=st.permutations(range(19)), threads=st.integers(1, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_neither_row_order_nor_threads_change_anything(order: list[int], threads: int) -> None:
    store = varied_store()
    expected, ledger = build_catalogue(store.inspected(), FoldLedger(3))
    store.files = [store.files[i] for i in order]
    found, other = build_catalogue(store.inspected(threads=threads), FoldLedger(3))
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    pd.testing.assert_frame_equal(found.rejects, expected.rejects)
    assert found.digest == expected.digest
    assert ledger.to_bytes() == other.to_bytes()


def test_growth_keeps_folds_and_changes_the_digest() -> None:
    store = varied_store()
    first, ledger = build_catalogue(store.inspected(), FoldLedger(3))
    for seed in range(100, 140):
        store.add(f"new/{seed}.png", encoded(slice_like(seed)), "no" if seed % 2 else "yes")
    second, _ = build_catalogue(store.inspected(), ledger)
    merged = first.frame.merge(second.frame, on="path", suffixes=("", "_later"))
    assert len(merged) == len(first.frame)
    assert (merged["fold"] == merged["fold_later"]).all()
    assert (merged["group"] == merged["group_later"]).all()
    assert second.digest != first.digest


def test_the_digest_covers_paths_contents_labels_and_folds() -> None:
    table = varied_store().table()
    for column, value in (("path", "x"), ("sha256", "0"), ("label", "z"), ("group", "g"), ("fold", 9)):
        frame = table.frame.copy()
        frame.loc[0, column] = value
        assert CatalogueTable(frame, table.rejects, 3).digest != table.digest
    assert CatalogueTable(table.frame.iloc[::-1], table.rejects, 3).digest == table.digest


def test_parquet_round_trip() -> None:
    for store in (varied_store(), Store()):
        table = store.table(4)
        read = CatalogueTable.from_parquet(*table.to_parquet())
        pd.testing.assert_frame_equal(read.frame, table.frame)
        pd.testing.assert_frame_equal(read.rejects, table.rejects)
        assert (read.digest, read.n_folds, read.summary()) == (table.digest, 4, table.summary())
    for damaged in (b"", b"PAR1", table.to_parquet()[0][:-9], table.to_parquet()[1]):
        with pytest.raises(WorkspaceError, match="catalogue"):
            CatalogueTable.from_parquet(damaged, table.to_parquet()[1])


def test_usable() -> None:
    check_usable(varied_store().table(), "yes", 0.2)
    check_usable(varied_store().table(), None, 1.0)


def test_too_many_rejects_come_with_a_table_of_reasons() -> None:
    with pytest.raises(TooManyRejects) as caught:
        check_usable(varied_store().table(), "yes", 0.1)
    message = str(caught.value)
    assert "3 of 18 labelled files" in message
    assert "max_reject_fraction=0.1" in message
    for told in ("truncated", "empty_file", "no/notes.jpg", "not_an_image"):
        assert told in message
    assert "label_missing" not in message


def small(labels: Mapping[str, int], copies: int = 1) -> CatalogueTable:
    store, seed = Store(), 0
    for label, count in labels.items():
        for _ in range(count):
            seed += 1
            for copy in range(copies):
                store.add(f"{label}/{seed} {copy}.png", encoded(slice_like(seed)), label)
    return store.table(3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [({}, "no usable labelled image"), ({"yes": 9}, "one class, 'yes'"), ({"yes": 9, "no": 2}, "'no' has 2")],
)
def test_unusable_data(labels: dict[str, int], message: str) -> None:
    with pytest.raises(DataSetUnusable, match=message) as caught:
        check_usable(small(labels, copies=3), None, 0.1)
    assert caught.value.cure


def test_an_unknown_positive_class() -> None:
    with pytest.raises(ConfigError, match=r"positive_class='tumor'.*no, yes"):
        check_usable(small({"yes": 5, "no": 5}), "tumor", 0.1)


def brain_files(root: Path) -> list[ImageFile]:
    paths = [*sorted(root.glob("no/*")), *sorted(root.glob("yes/*"))]
    return [
        ImageFile(
            f"{path.parent.name}/{path.name}",
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_size,
            path.parent.name,
        )
        for path in paths
    ]


def test_brain_mri(brain_mri: Path) -> None:
    inspected = inspect_images(
        brain_files(brain_mri), lambda path: (brain_mri / path).read_bytes(), DecodeLimits()
    )
    table, ledger = build_catalogue(inspected, FoldLedger(5))
    summary = table.summary()
    assert (summary.images, summary.contents, summary.exact_copies) == (253, 228, 25)
    assert (summary.groups, summary.conflicts, summary.label_disagreements) == (208, 0, {})
    assert (summary.rejects, summary.straddling, summary.multi_frame) == ({}, 0, 0)
    assert summary.images_by_class == {"no": 98, "yes": 155}
    kinds = table.frame.groupby(["format", "mode"]).size().to_dict()
    assert kinds == {
        ("JPEG", "RGB"): 216,
        ("JPEG", "L"): 29,
        ("PNG", "RGBA"): 5,
        ("PNG", "L"): 1,
        ("PNG", "P"): 1,
        ("PNG", "RGB"): 1,
    }
    for key in ("sha256", "pixel_sha256", "group"):
        assert table.frame.groupby(key)["fold"].nunique().max() == 1
    by_fold = summary.groups_by_fold
    for label in ("no", "yes"):
        counts = [fold[label] for fold in by_fold]
        assert max(counts) - min(counts) <= 3
    check_usable(table, "yes", 0.0)
    again, same = build_catalogue(inspected, FoldLedger.from_bytes(ledger.to_bytes(), 5))
    assert (again.digest, same.to_bytes()) == (table.digest, ledger.to_bytes())
