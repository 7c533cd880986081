"""The catalogue, from files to a table with groups and folds."""

import dataclasses
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

from tasks.data.catalogue import build_catalogue, contents_to_compare
from tasks.data.catalogue_table import CATALOGUE_COLUMNS, CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.images import DecodeLimits
from tasks.data.inspection import (
    ImageFile,
    InspectedImages,
    inspect,
    inspect_images,
    inspections_from_parquet,
    inspections_to_parquet,
)
from tasks.data.near_copies import NearCopyRule, find_copies
from tasks.data.pair_table import NEAR_PAIR_COLUMNS
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
        return build_catalogue(self.inspected(), ledger or FoldLedger(n_folds)).table


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


def test_near_pairs_name_what_is_near_and_how_near() -> None:
    store = varied_store()
    a = store.add("no/p1 a.png", encoded(slice_like(80)), "no", group="patient 1")
    b = store.add("no/p1 b.png", encoded(slice_like(81)), "no", group="patient 1")
    files = {file.path: file.sha256 for file in store.files}
    pairs = build_catalogue(store.inspected(), FoldLedger(3)).near_pairs
    assert {name: str(kind) for name, kind in pairs.dtypes.items()} == NEAR_PAIR_COLUMNS
    named = pairs[["path_a", "path_b", "by"]].values.tolist()
    assert {(frozenset((path_a, path_b)), by) for path_a, path_b, by in named} == {
        (frozenset(("yes/Bild 1 ä.PNG", "yes/same pixels.jpg")), "pixels"),
        (frozenset(("yes/Bild 3 ä.PNG", "yes/recompressed.jpeg")), "hash"),
        (frozenset((a.path, b.path)), "key"),
    }
    distance = dict(zip(pairs["by"].tolist(), pairs["hash_distance"].tolist(), strict=True))
    assert distance["pixels"] == 0
    assert distance["hash"] <= 20 < distance["key"]
    assert pairs["cosine"].isna().all()
    assert (pairs["path_a"].map(files) == pairs["sha256_a"]).all()
    assert (pairs["sha256_a"] < pairs["sha256_b"]).all()


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


def test_known_copies_join_what_the_hash_misses() -> None:
    store = Store()
    for seed in range(30):
        store.add(f"a/{seed}.png", encoded(slice_like(seed)), "a")
    inspected, ledger = store.inspected(), FoldLedger(3)
    nodes = contents_to_compare(inspected, ledger)
    copies = find_copies(nodes, NearCopyRule(max_hash_distance=0))
    assert build_catalogue(inspected, ledger, copies=copies).table.groups == 30
    joined = dataclasses.replace(
        copies,
        pairs=np.array([[3, 4]]),
        hash_distance=np.array([99]),
        cosine=np.array([0.8], dtype=np.float32),
        alignment=np.array([0.9], dtype=np.float32),
    )
    built = build_catalogue(inspected, ledger, copies=joined)
    assert built.table.groups == 29
    assert built.near_pairs[["sha256_a", "sha256_b", "by", "cosine", "alignment"]].values.tolist() == [
        [nodes[3].sha256, nodes[4].sha256, "features", 0.8, 0.9]
    ]


@given(order=st.permutations(range(19)), threads=st.integers(1, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_neither_row_order_nor_threads_change_anything(order: list[int], threads: int) -> None:
    store = varied_store()
    expected = build_catalogue(store.inspected(), FoldLedger(3))
    store.files = [store.files[i] for i in order]
    found = build_catalogue(store.inspected(threads=threads), FoldLedger(3))
    pd.testing.assert_frame_equal(found.table.frame, expected.table.frame)
    pd.testing.assert_frame_equal(found.table.rejects, expected.table.rejects)
    pd.testing.assert_frame_equal(found.near_pairs, expected.near_pairs)
    assert found.table.digest == expected.table.digest
    assert found.ledger.to_bytes() == expected.ledger.to_bytes()


def test_growth_keeps_folds_and_changes_the_digest() -> None:
    store = varied_store()
    before = build_catalogue(store.inspected(), FoldLedger(3))
    first = before.table
    for seed in range(100, 140):
        store.add(f"new/{seed}.png", encoded(slice_like(seed)), "no" if seed % 2 else "yes")
    second = build_catalogue(store.inspected(), before.ledger).table
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


def test_a_class_in_too_few_groups_is_named_and_many_of_them_are_not_all_listed() -> None:
    with pytest.raises(DataSetUnusable) as caught:
        check_usable(small({"fine": 4} | {f"rare {i:02d}": 1 for i in range(8)}), None, 0.1)
    message = str(caught.value)
    assert "'rare 00' has 1 independent groups" in message
    assert "'rare 04'" in message
    assert "'rare 05'" not in message
    assert "and 3 more of 9 classes" in message
    assert "'fine' has" not in message


def test_a_group_that_swallows_the_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    table = small({"yes": 4, "no": 4}, copies=1)
    frame = table.frame.copy()
    frame.loc[:4, "group"] = "gone too far"
    swallowed = CatalogueTable(frame, table.rejects, 3)
    check_usable(swallowed, "yes", 0.1, max_group_fraction=0.05)
    monkeypatch.setattr("tasks.data.usability.ABSURD_GROUP", 4)
    with pytest.raises(DataSetUnusable, match="holds 5 of 8 contents") as caught:
        check_usable(swallowed, "yes", 0.1, max_group_fraction=0.05)
    assert "max_group_fraction" in caught.value.cure
    check_usable(swallowed, "yes", 0.1, max_group_fraction=0.7)


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
    built = build_catalogue(inspected, FoldLedger(5))
    table = built.table
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
    again = build_catalogue(inspected, FoldLedger.from_bytes(built.ledger.to_bytes(), 5))
    assert (again.table.digest, again.ledger.to_bytes()) == (table.digest, built.ledger.to_bytes())
