"""The catalogue, from files to a table with groups and folds."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.samples.small_catalogues import Split, Store, encoded, row, slice_like, varied_store

from tasks.copies.found_copies import FoundCopies, copies_among
from tasks.copies.grouping import JoinedCopies
from tasks.copies.settings import NearCopyRule
from tasks.data.build import assemble_catalogue, contents_to_compare
from tasks.data.catalogue_table import CATALOGUE_COLUMNS, CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.inspection import (
    ImageFile,
    inspect_images,
)
from tasks.data.pair_table import NEAR_PAIR_COLUMNS
from tasks.data.patient_keys import PatientKeys
from tasks.data.usability import check_usable
from tasks.errors import WorkspaceError
from tasks.images.settings import DecodeLimits
from tasks.stores.workspace import Workspace


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
    pairs = assemble_catalogue(store.inspected(), FoldLedger(3)).near_pairs
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


@pytest.mark.parametrize("patient", [None, "patient 1"])
def test_a_likely_copy_across_labels_or_patients_is_asked_about_and_not_reported_on(
    patient: str | None,
) -> None:
    store = varied_store()
    label = "no" if patient is None else "yes"
    store.add(f"{label}/b.jpg", encoded(slice_like(77), "JPEG", quality=80), label, group="patient 2")
    other = store.add("yes/a.png", encoded(slice_like(77)), "yes", group=patient)
    built = assemble_catalogue(store.inspected(), FoldLedger(3))
    one, likely = row(built.table, f"{label}/b.jpg"), row(built.table, other.path)
    assert one["group"] != likely["group"]
    folds = ",".join(str(fold) for fold in sorted({one["fold"], likely["fold"]}))
    assert one["straddles"] == likely["straddles"] == folds
    asked = built.near_pairs[built.near_pairs["asked"]]
    assert [set(pair) for pair in asked[["path_a", "path_b"]].values.tolist()] == [
        {one["path"], likely["path"]}
    ]
    assert built.table.summary().straddling == 2
    assert not built.table.frame["conflict"].any()
    assert sum(sum(fold.values()) for fold in built.table.groups_by_fold()) == built.table.groups - 2


def test_what_a_given_group_joins_is_not_asked_about() -> None:
    store = varied_store()
    store.add("no/b.jpg", encoded(slice_like(77), "JPEG", quality=80), "no", group="patient 1")
    store.add("yes/a.png", encoded(slice_like(77)), "yes", group="patient 1")
    built = assemble_catalogue(store.inspected(), FoldLedger(3))
    assert not built.near_pairs["asked"].any()
    assert row(built.table, "no/b.jpg")["straddles"] == ""
    group = row(built.table, "no/b.jpg")["group"]
    assert built.table.summary().label_disagreements == {group: ["no", "yes"]}


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
    copies = copies_among(nodes, NearCopyRule(max_hash_distance=0))
    assert assemble_catalogue(inspected, ledger, copies=copies).table.groups == 30
    index = dataclasses.replace(
        copies.index,
        pairs=np.array([[3, 4]]),
        hash_distance=np.array([99]),
        cosine=np.array([0.8], dtype=np.float32),
        agreement=np.array([0.9], dtype=np.float32),
    )
    joined = FoundCopies(index, JoinedCopies(np.array([[3, 4]])))
    built = assemble_catalogue(inspected, ledger, copies=joined)
    assert built.table.groups == 29
    assert built.near_pairs[["sha256_a", "sha256_b", "by", "cosine", "agreement"]].values.tolist() == [
        [nodes[3].sha256, nodes[4].sha256, "features", 0.8, 0.9]
    ]


@given(order=st.permutations(range(19)), threads=st.integers(1, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_neither_row_order_nor_threads_change_anything(order: list[int], threads: int) -> None:
    store = varied_store()
    expected = assemble_catalogue(store.inspected(), FoldLedger(3))
    store.files = [store.files[i] for i in order]
    found = assemble_catalogue(store.inspected(threads=threads), FoldLedger(3))
    pd.testing.assert_frame_equal(found.table.frame, expected.table.frame)
    pd.testing.assert_frame_equal(found.table.rejects, expected.table.rejects)
    pd.testing.assert_frame_equal(found.near_pairs, expected.near_pairs)
    assert found.table.digest == expected.table.digest
    assert found.ledger.to_bytes() == expected.ledger.to_bytes()


def test_growth_keeps_folds_and_changes_the_digest() -> None:
    store = varied_store()
    before = assemble_catalogue(store.inspected(), FoldLedger(3))
    first = before.table
    for seed in range(100, 140):
        store.add(f"new/{seed}.png", encoded(slice_like(seed)), "no" if seed % 2 else "yes")
    second = assemble_catalogue(store.inspected(), before.ledger).table
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
    built = assemble_catalogue(inspected, FoldLedger(5))
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
    again = assemble_catalogue(
        inspected,
        FoldLedger.from_bytes(built.ledger.to_bytes(), 5, PatientKeys(Workspace("memory://patient-keys"))),
    )
    assert (again.table.digest, again.ledger.to_bytes()) == (table.digest, built.ledger.to_bytes())
