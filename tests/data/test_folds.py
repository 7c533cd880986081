"""The fold ledger: honest today, and still honest after years of growth."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.copies.content import Content
from tasks.data.folds import FoldAssignment, FoldLedger, LedgerEntry, assign_folds
from tasks.data.patient_keys import PatientKeys
from tasks.errors import ConfigError, WorkspaceError
from tasks.stores.workspace import Workspace

KEYS = PatientKeys(Workspace("memory://patient-keys"))


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def content(
    number: int,
    label: str | None = "yes",
    *,
    picture: int | None = None,
    keys: tuple[str, ...] = (),
    split: str | None = None,
) -> Content:
    pixels = digest("pixels", number if picture is None else picture)
    return Content(digest("bytes", number), pixels, "00" * 32, keys, label, split)  # type: ignore[arg-type]


def assign(
    contents: Sequence[Content], ledger: FoldLedger, near: Sequence[tuple[str, str]] = ()
) -> tuple[FoldAssignment, list[Content]]:
    """Assign with near pairs named by digest, and with what is gone included, as the catalogue does."""
    nodes = [*contents, *ledger.absent(item.sha256 for item in contents)]
    place = {item.sha256: i for i, item in enumerate(nodes)}
    pairs = [(place[a], place[b]) for a, b in near if a in place and b in place]
    return assign_folds(nodes, np.array(pairs, dtype=np.int64).reshape(-1, 2), ledger), nodes


def by_digest(
    assigned: FoldAssignment, nodes: Sequence[Content]
) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    return {
        node.sha256: (group, int(fold), straddle)
        for node, group, fold, straddle in zip(
            nodes, assigned.groups, assigned.folds, assigned.straddles, strict=True
        )
    }


@st.composite
def data_sets(draw: st.DrawFn, splits: bool = False) -> tuple[list[Content], list[tuple[str, str]]]:
    """Distinct contents with few pictures, patients and near pairs: many ways to be joined."""
    numbers = draw(st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=30))
    contents = [
        content(
            number,
            draw(st.sampled_from(["yes", "no", "no", None])),
            picture=draw(st.one_of(st.none(), st.integers(0, 20))),
            keys=draw(st.sampled_from([(), (), (), ("p1",), ("p2",), ("p1", "p3")])),
            split=draw(st.sampled_from([None, "train", "test"])) if splits else None,
        )
        for number in numbers
    ]
    index = st.sampled_from([item.sha256 for item in contents])
    near = draw(st.lists(st.tuples(index, index), max_size=8))
    return contents, near


@given(data_sets(), st.integers(2, 6))
def test_no_group_digest_picture_or_patient_crosses_a_fold(
    data: tuple[list[Content], list[tuple[str, str]]], n_folds: int
) -> None:
    contents, near = data
    assigned, nodes = assign(contents, FoldLedger(n_folds), near)
    placed = by_digest(assigned, nodes)
    folds_of: dict[str, set[int]] = {}
    for item in contents:
        group, fold, straddles = placed[item.sha256]
        assert 0 <= fold < n_folds
        assert straddles == ()
        for name in (f"group {group}", f"picture {item.pixel_sha256}", *(f"key {key}" for key in item.keys)):
            folds_of.setdefault(name, set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert all(placed[a][:2] == placed[b][:2] for a, b in near)


@given(data_sets(splits=True), st.integers(3, 6), st.randoms(use_true_random=False))
def test_row_order_changes_nothing(
    data: tuple[list[Content], list[tuple[str, str]]], n_folds: int, random: object
) -> None:
    contents, near = data
    shuffled = list(contents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, nodes = assign(contents, FoldLedger(n_folds), near)
    second, moved = assign(shuffled, FoldLedger(n_folds), list(reversed(near)))
    assert by_digest(first, nodes) == by_digest(second, moved)
    assert first.ledger.to_bytes() == second.ledger.to_bytes()


@given(st.lists(data_sets(splits=True), min_size=2, max_size=4), st.integers(3, 5))
@settings(deadline=None)
def test_over_years_no_digest_moves_and_copies_are_apart_or_marked(
    years: list[tuple[list[Content], list[tuple[str, str]]]], n_folds: int
) -> None:
    """Contents come, go and come back, and evidence of copies too; whatever was in a fold stays there."""
    ledger = FoldLedger(n_folds).keyed_by(KEYS)
    joined: list[set[str]] = []
    for contents, near in years:
        assigned, nodes = assign(contents, ledger, near)
        placed = by_digest(assigned, nodes)
        for sha256, entry in ledger.entries.items():
            assert placed[sha256][1] == entry.fold
            assert assigned.ledger.entries[sha256].fold == entry.fold
        for a, b in near:
            assert placed[a][0] == placed[b][0]
            joined.append({a, b})
        by_group: dict[str, set[int]] = {}
        for group, fold, _ in placed.values():
            by_group.setdefault(group, set()).add(fold)
        for group, fold, straddles in placed.values():
            if straddles:
                assert fold in straddles
                assert by_group[group] <= set(straddles)
            else:
                assert by_group[group] == {fold}
        # What was ever seen to be a copy stays one, when the evidence is gone.
        for pair in joined:
            assert len({placed[sha256][0] for sha256 in pair if sha256 in placed}) == 1
        ledger = FoldLedger.from_bytes(assigned.ledger.to_bytes(), n_folds, KEYS)
        assert ledger == assigned.ledger
        again, same = assign(contents, ledger, near)
        assert by_digest(again, same) == placed
        assert again.ledger.to_bytes() == ledger.to_bytes()


@st.composite
def growing_groups(draw: st.DrawFn) -> list[list[Content]]:
    """Yearly additions of groups that have one label each."""
    years, number = [], 0
    for _ in range(draw(st.integers(1, 3))):
        year: list[Content] = []
        for _ in range(draw(st.integers(1, 14))):
            label, picture = draw(st.sampled_from(["yes", "no", "other"])), number
            for _ in range(draw(st.integers(1, 4))):
                year.append(content(number, label, picture=picture))
                number += 1
        years.append(year)
    return years


@given(growing_groups(), st.integers(2, 5))
def test_every_class_is_in_every_fold_when_it_has_as_many_groups(
    years: list[list[Content]], n_folds: int
) -> None:
    ledger = FoldLedger(n_folds)
    contents: list[Content] = []
    for year in years:
        contents += year
        assigned, nodes = assign(contents, ledger)
        ledger = assigned.ledger
        placed = by_digest(assigned, nodes)
        for label in ("yes", "no", "other"):
            places = {placed[item.sha256][:2] for item in contents if item.label == label}
            folds = {fold for _, fold in places}
            assert len(folds) == min(n_folds, len(places))


def test_labels_and_sizes_are_balanced() -> None:
    rng = np.random.default_rng(0)
    contents: list[Content] = []
    picture = 0
    while len(contents) < 500:
        label = "yes" if rng.random() < 0.2 else "no"
        contents += [content(len(contents) + i, label, picture=picture) for i in range(rng.integers(1, 6))]
        contents = [dataclasses.replace(item, sha256=digest(i)) for i, item in enumerate(contents)]
        picture += 1
    assigned, _ = assign(contents, FoldLedger(5))
    for label in ("yes", "no"):
        counts = np.bincount(assigned.folds[[item.label == label for item in contents]], minlength=5)
        assert counts.max() - counts.min() <= 2


def test_new_content_joining_two_folds_marks_both_groups_for_ever() -> None:
    old = [content(i) for i in range(10)]
    assigned, nodes = assign(old, FoldLedger(5))
    placed = by_digest(assigned, nodes)
    a, b = next((x, y) for x in old for y in old if placed[x.sha256][1] < placed[y.sha256][1])
    folds = (placed[a.sha256][1], placed[b.sha256][1])
    bridge = content(99)
    near = [(a.sha256, bridge.sha256), (b.sha256, bridge.sha256)]
    grown, nodes = assign([*old, bridge], assigned.ledger, near)
    after = by_digest(grown, nodes)
    for item in (a, b, bridge):
        assert after[item.sha256][2] == folds
        assert after[item.sha256][0] == min(placed[a.sha256][0], placed[b.sha256][0])
    assert after[a.sha256][1] == folds[0]
    assert after[b.sha256][1] == folds[1]
    assert all(after[item.sha256][2] == () for item in old if item not in (a, b))
    # The bridge is gone: models that saw one of the two are still not to be reported on the other.
    later, nodes = assign(old, grown.ledger)
    assert by_digest(later, nodes)[a.sha256][2] == folds


def test_a_copy_of_what_is_gone_takes_its_fold() -> None:
    first, _ = assign([content(i, picture=i) for i in range(12)], FoldLedger(5))
    for i in range(12):
        later, nodes = assign([content(500 + i, picture=i)], first.ledger)
        assert (
            by_digest(later, nodes)[digest("bytes", 500 + i)][1]
            == first.ledger.entries[digest("bytes", i)].fold
        )
        later, nodes = assign(
            [content(900 + i)], first.ledger, [(digest("bytes", 900 + i), digest("bytes", i))]
        )
        assert (
            by_digest(later, nodes)[digest("bytes", 900 + i)][1]
            == first.ledger.entries[digest("bytes", i)].fold
        )


def test_a_patient_who_comes_back_takes_the_same_fold() -> None:
    patients = [KEYS.of(f"patient {i}") for i in range(10)]
    first, _ = assign([content(i, keys=(key,)) for i, key in enumerate(patients)], FoldLedger(5))
    later, nodes = assign([content(100 + i, keys=(key,)) for i, key in enumerate(patients)], first.ledger)
    assert np.array_equal(later.folds[:10], first.folds)
    assert b"patient" not in later.ledger.to_bytes()
    assert len(nodes) == 20


@given(
    key=st.text("abcXYZ019-_ äßÉ", min_size=1),
    before=st.sampled_from(["", " "]),
    after=st.text(" \t", max_size=2),
)
def test_keys_that_differ_in_capitals_or_spaces_join(key: str, before: str, after: str) -> None:
    assert KEYS.of(f"{before}{key.upper()}{after}") == KEYS.of(key.lower())
    assert KEYS.of(f"{key}1") != KEYS.of(key)


def test_a_ledger_of_plain_digests_is_read_and_its_patients_are_known_again(tmp_path: Path) -> None:
    plain = hashlib.sha256(b"group key\0patient 7").hexdigest()[:32]
    first, _ = assign([content(1, keys=(plain,))], FoldLedger(5))
    old = json.loads(first.ledger.to_bytes())
    old = {**old, "schema_version": 1, "key_id": None}
    read = FoldLedger.from_bytes(json.dumps(old).encode(), 5, KEYS)
    assert plain.encode() not in read.to_bytes()
    later, _ = assign([content(2, keys=(KEYS.of(" Patient 7"), KEYS.as_written("patient 7")))], read)
    assert later.ledger.entries[digest("bytes", 2)].fold == read.entries[digest("bytes", 1)].fold
    assert later.ledger.entries[digest("bytes", 2)].group == read.entries[digest("bytes", 1)].group
    with pytest.raises(WorkspaceError, match=r"put private/pseudonyms\.key back"):
        FoldLedger.from_bytes(later.ledger.to_bytes(), 5, PatientKeys(Workspace(str(tmp_path))))


def test_a_given_split_is_honoured() -> None:
    train = [content(i, "yes" if i % 2 else "no", split="train") for i in range(20)]
    test = [content(100 + i, "yes" if i % 2 else "no", split="test") for i in range(6)]
    unsaid = [content(200, "no")]
    assigned, nodes = assign([*train, *test, *unsaid], FoldLedger(4))
    placed = by_digest(assigned, nodes)
    assert {placed[item.sha256][1] for item in test} == {0}
    assert {placed[item.sha256][1] for item in train} == {1, 2, 3}
    assert placed[unsaid[0].sha256][1] != 0


def test_a_training_image_that_copies_a_test_image_goes_to_the_test_fold() -> None:
    train = [content(i, split="train") for i in range(6)]
    test = content(100, split="test")
    assigned, nodes = assign([*train, test], FoldLedger(3), [(train[2].sha256, test.sha256)])
    placed = by_digest(assigned, nodes)
    assert placed[train[2].sha256][:2] == placed[test.sha256][:2]
    assert placed[test.sha256][1:] == (0, ())


def test_test_content_that_copies_what_was_learnt_from_before_straddles() -> None:
    train = [content(i, split="train") for i in range(6)]
    first, nodes = assign(train, FoldLedger(3))
    fold = by_digest(first, nodes)[train[2].sha256][1]
    late = content(100, split="test")
    second, nodes = assign([*train, late], first.ledger, [(train[2].sha256, late.sha256)])
    placed = by_digest(second, nodes)
    assert placed[late.sha256][1:] == (0, (0, fold))
    assert placed[train[2].sha256][1:] == (fold, (0, fold))
    moved, nodes = assign([dataclasses.replace(train[3], split="test")], first.ledger)
    own = first.ledger.entries[train[3].sha256].fold
    assert by_digest(moved, nodes)[train[3].sha256][1:] == (own, (0, own))


def test_ledger_bytes_are_read_back_and_checked() -> None:
    assigned, _ = assign([content(i, keys=("k",)) for i in range(5)], FoldLedger(5).keyed_by(KEYS))
    data = assigned.ledger.to_bytes()
    assert FoldLedger.from_bytes(data, 5, KEYS) == assigned.ledger
    assert FoldLedger.from_bytes(None, 7, KEYS) == FoldLedger(7)
    with pytest.raises(ConfigError, match=r"n_folds=4.*5 folds"):
        FoldLedger.from_bytes(data, 4, KEYS)
    for damaged in (b"", b"[]", data[:-20], data.replace(b'"fold"', b'"fool"'), b'{"schema_version":1}'):
        with pytest.raises(WorkspaceError, match="ledger"):
            FoldLedger.from_bytes(damaged, 5, KEYS)
    with pytest.raises(WorkspaceError, match="schema 3"):
        FoldLedger.from_bytes(data.replace(b'"schema_version":2', b'"schema_version":3'), 5, KEYS)
    outside = FoldLedger(2, {"a": LedgerEntry("b", "00", (), "g", 2)})
    with pytest.raises(WorkspaceError, match="outside"):
        FoldLedger.from_bytes(outside.to_bytes(), 2, KEYS)


def test_folds_are_as_they_always_were() -> None:
    """Another algorithm would move images of ledgers begun anew, and with them published figures."""
    contents = [content(i, "yes" if i % 3 else "no") for i in range(12)]
    assigned, _ = assign(contents, FoldLedger(3))
    assert assigned.folds.tolist() == [2, 1, 0, 1, 0, 0, 1, 2, 2, 0, 2, 1]
    assert assigned.groups[0] == "g34ad1c75a23e1217"
