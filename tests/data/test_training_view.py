"""No model can be handed an image that it will be reported on, nor a copy of one."""

import copy
import dataclasses
import hashlib
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from tasks.data.build import assemble_catalogue
from tasks.data.catalogue_table import CATALOGUE_COLUMNS, CatalogueTable
from tasks.data.folds import FoldLedger
from tasks.data.inspection import ImageFile, InspectedImages, Inspection
from tasks.data.settings import Protocol
from tasks.data.training_view import MemberPlan, TrainingView, held_out_view, plan_members, training_view
from tasks.errors import ConfigError, DataSetUnusable, LeakageError


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def file(
    number: int, label: str, *, picture: int | None = None, group: str | None = None, path: str = ""
) -> tuple[ImageFile, Inspection]:
    """A file of the store and what looking at it gave; hashes are far apart unless pictures are equal."""
    picture = number if picture is None else picture
    hashed = hashlib.sha256(f"picture {picture}".encode()).hexdigest()
    image = ImageFile(path or f"{label}/{number}.png", digest(number), 100, label, group)
    return image, Inspection(digest("pixels", picture), "PNG", 64, 64, "L", False, hashed, 0.0, 0.0)


def catalogued(
    rows: list[tuple[ImageFile, Inspection]], ledger: FoldLedger
) -> tuple[CatalogueTable, FoldLedger]:
    found = {image.sha256: facts for image, facts in rows}
    built = assemble_catalogue(InspectedImages(tuple(image for image, _ in rows), found), ledger)
    return built.table, built.ledger


def plain_table(n_folds: int = 5, per_class: int = 15) -> CatalogueTable:
    rows = [file(i, "yes" if i % 2 else "no") for i in range(2 * per_class)]
    return catalogued(rows, FoldLedger(n_folds))[0]


@st.composite
def histories(draw: st.DrawFn) -> CatalogueTable:
    """A catalogue after some years: with copies, patients, conflicts, and groups that straddle folds."""
    n_folds = draw(st.integers(3, 5))
    ledger = FoldLedger(n_folds)
    rows: list[tuple[ImageFile, Inspection]] = []
    for year in range(draw(st.integers(1, 3))):
        rows += [
            file(
                draw(st.integers(0, 60)) if draw(st.booleans()) else 1000 * year + 100 + i,
                draw(st.sampled_from(["yes", "no"])),
                group=draw(st.sampled_from([None, None, None, "p1", "p2", "p3", "p4"])),
                path=f"{year}/{i}",
            )
            for i in range(draw(st.integers(8, 25)))
        ]
        table, ledger = catalogued(rows, ledger)
    return table


@given(histories(), st.data())
@settings(max_examples=50, deadline=None)
def test_a_view_shares_nothing_with_its_held_out_folds(table: CatalogueTable, data: st.DataObject) -> None:
    held_out = frozenset(data.draw(st.sets(st.integers(0, table.n_folds - 1), max_size=table.n_folds)))
    try:
        view = training_view(table, held_out)
    except DataSetUnusable:
        reject()
    frame = table.frame
    touched = frame["fold"].isin(held_out) | frame["straddles"].map(
        lambda folds: any(int(fold) in held_out for fold in folds.split(",") if fold)
    )
    unseen = frame[touched]
    assert not set(view.sha256) & set(unseen["sha256"])
    assert not set(view.pixel_sha256) & set(unseen["pixel_sha256"])
    assert not set(view.groups) & set(unseen["group"])
    assert not set(view.sha256) & set(frame[frame["conflict"]]["sha256"])
    # Nothing that may be learnt from is lost, and nothing counts twice.
    assert set(view.sha256) == set(frame[~touched & ~frame["conflict"]]["sha256"])
    assert len(set(view.sha256)) == len(view)
    label_of = frame.set_index("sha256")["label"].to_dict()
    assert [view.classes[i] for i in view.labels] == [label_of[sha256] for sha256 in view.sha256]
    for fold in range(table.n_folds):
        reported = held_out_view(table, fold)
        assert set(reported.sha256) <= set(frame[(frame["fold"] == fold) & ~frame["conflict"]]["sha256"])
        if fold in held_out:
            view.check_unseen(reported)
        elif len(reported):
            with pytest.raises(LeakageError):
                view.check_unseen(reported)


@given(histories(), st.floats(0.05, 0.6), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_parts_of_a_view_share_no_group_and_stay_inside_it(
    table: CatalogueTable, fraction: float, seed: int
) -> None:
    assume(len(table.classes) == 2)
    try:
        view = training_view(table, frozenset({0}))
    except DataSetUnusable:
        reject()
    rest, part = view.split(fraction, seed)
    assert not set(rest.groups) & set(part.groups)
    assert sorted([*rest.sha256, *part.sha256]) == list(view.sha256)
    assert set(rest.labels.tolist()) == set(view.labels.tolist())
    for piece in (rest, part):
        assert (piece.held_out, piece.classes) == (view.held_out, view.classes)
        piece.check_unseen(held_out_view(table, 0))
    again = view.split(fraction, seed)
    assert (again[0].sha256, again[1].sha256) == (rest.sha256, part.sha256)


def test_a_split_is_stratified_and_near_its_fraction() -> None:
    view = training_view(plain_table(per_class=60), frozenset({0}))
    rest, part = view.split(0.2, seed=3)
    for label in (0, 1):
        share = (part.labels == label).sum() / (view.labels == label).sum()
        assert abs(share - 0.2) < 0.03
    assert view.split(0.2, seed=4)[1].sha256 != part.sha256
    assert len(rest) + len(part) == len(view)
    with pytest.raises(ValueError, match="fraction"):
        view.split(1.0, 0)


def test_a_view_cannot_be_made_from_digests() -> None:
    table = plain_table()
    view = training_view(table, frozenset({2}))
    loose: Any = TrainingView
    with pytest.raises(TypeError):
        loose(sha256=("a",), labels=np.zeros(1), groups=("g",), held_out=frozenset())
    with pytest.raises(TypeError):
        loose()
    with pytest.raises(TypeError):
        dataclasses.replace(loose_instance(view), sha256=("a",))


def loose_instance(view: TrainingView) -> Any:
    return view


def test_a_view_cannot_be_changed() -> None:
    view = loose_instance(training_view(plain_table(), frozenset({2})))
    with pytest.raises(AttributeError, match="never changes"):
        view.sha256 = ("a",)
    with pytest.raises(AttributeError, match="never changes"):
        del view.held_out
    with pytest.raises(AttributeError):
        view.more = 1
    with pytest.raises(ValueError, match="read-only"):
        view.labels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        view.select([0, 1]).labels[0] = 1


def test_a_view_travels_to_another_process() -> None:
    view = training_view(plain_table(), frozenset({2}))
    for twin in (pickle.loads(pickle.dumps(view)), copy.deepcopy(view), copy.copy(view)):  # noqa: S301
        assert twin.sha256 == view.sha256
        assert twin.held_out == view.held_out
        assert np.array_equal(twin.labels, view.labels)
        assert not twin.labels.flags.writeable


def test_select() -> None:
    view = training_view(plain_table(), frozenset({2}))
    part = view.select([5, 1, 5])
    assert part.sha256 == (view.sha256[1], view.sha256[5])
    assert part.labels.tolist() == [view.labels[1], view.labels[5]]
    assert len(view.select([])) == 0
    for outside in (-1, len(view)):
        with pytest.raises(IndexError):
            view.select([outside])


def moved(table: CatalogueTable, column: str) -> CatalogueTable:
    """A catalogue that contradicts itself: one row of fold 0 gets the `column` of a row of fold 1."""
    frame = table.frame.copy()
    held, learnt = (frame.index[frame["fold"] == fold][0] for fold in (0, 1))
    frame.loc[held, column] = frame.loc[learnt, column]
    return CatalogueTable(frame, table.rejects, table.n_folds)


@pytest.mark.parametrize("column", ["sha256", "pixel_sha256", "group"])
def test_a_catalogue_that_contradicts_itself_is_refused(column: str) -> None:
    tampered = moved(plain_table(), column)
    for held_out in ({0}, {1}):
        with pytest.raises(LeakageError, match=column) as caught:
            training_view(tampered, frozenset(held_out))
        assert caught.value.cure
    training_view(tampered, frozenset({2}))


def test_a_held_out_conflict_still_bars_its_group() -> None:
    """The held-out side counts every row, even those that are not reported on themselves."""
    tampered = moved(plain_table(), "group")
    frame = tampered.frame.copy()
    frame.loc[frame.index[frame["fold"] == 0][0], "conflict"] = True
    with pytest.raises(LeakageError, match="group"):
        training_view(CatalogueTable(frame, tampered.rejects, 5), frozenset({0}))


def test_straddling_content_is_learnt_from_only_far_from_its_folds() -> None:
    rows = [file(i, "yes" if i % 2 else "no") for i in range(30)]
    first, ledger = catalogued(rows, FoldLedger(5))
    by_path = first.frame.set_index("path")["fold"]
    one = next(image for image, _ in rows if by_path[image.path] == 1)
    three = next(image for image, _ in rows if by_path[image.path] == 3)
    rows = [
        (dataclasses.replace(image, group="p" if image in (one, three) else None), facts)
        for image, facts in rows
    ]
    table, _ = catalogued(rows, ledger)
    pair = {one.sha256, three.sha256}
    assert set(table.frame[table.frame["straddles"] == "1,3"]["sha256"]) == pair
    for fold in range(5):
        assert not pair & set(held_out_view(table, fold).sha256)
        seen = pair & set(training_view(table, frozenset({fold})).sha256)
        assert seen == (set() if fold in (1, 3) else pair)


def test_a_refit_takes_everything_but_conflicts() -> None:
    rows = [file(i, "yes" if i % 2 else "no") for i in range(20)]
    rows.append(file(0, "yes", path="yes/wrong.png"))
    table, _ = catalogued(rows, FoldLedger(5))
    view = training_view(table, frozenset())
    assert len(view) == 19
    assert digest(0) not in view.sha256


def test_nothing_left_to_learn_from() -> None:
    with pytest.raises(DataSetUnusable, match="no image"):
        training_view(plain_table(3), frozenset({0, 1, 2}))
    empty = pd.DataFrame(columns=list(CATALOGUE_COLUMNS)).astype(CATALOGUE_COLUMNS)
    with pytest.raises(DataSetUnusable, match="no image"):
        training_view(CatalogueTable(empty, pd.DataFrame(), 3), frozenset())
    rows = [file(i, "yes") for i in range(10)] + [file(100, "no")]
    table, _ = catalogued(rows, FoldLedger(5))
    fold = int(table.frame[table.frame["label"] == "no"]["fold"].iloc[0])
    with pytest.raises(DataSetUnusable, match="'no'"):
        training_view(table, frozenset({fold}))


def test_unknown_folds() -> None:
    for held_out in ({5}, {-1}):
        with pytest.raises(ConfigError, match="5 folds"):
            training_view(plain_table(), frozenset(held_out))
    with pytest.raises(ConfigError, match="5 folds"):
        held_out_view(plain_table(), 5)


def test_member_plans() -> None:
    assert plan_members("cross_validation", 3) == tuple(MemberPlan(k, frozenset({k})) for k in range(3))
    assert plan_members("holdout", 5) == (MemberPlan(0, frozenset({0, 1})),)
    assert plan_members("given_split", 4) == tuple(MemberPlan(k - 1, frozenset({0, k})) for k in (1, 2, 3))


@pytest.mark.parametrize(
    ("protocol", "n_folds"), [("cross_validation", 1), ("holdout", 2), ("given_split", 2)]
)
def test_too_few_folds_for_a_protocol(protocol: Protocol, n_folds: int) -> None:
    with pytest.raises(ConfigError, match=f"n_folds={n_folds}"):
        plan_members(protocol, n_folds)


def test_cross_validation_reports_on_every_content_once() -> None:
    table = plain_table()
    reported = [
        sha256
        for plan in plan_members("cross_validation", 5)
        for sha256 in held_out_view(table, plan.index).sha256
    ]
    assert sorted(reported) == table.contents["sha256"].tolist()
