"""What stands behind a comparison: common images, and folds for thresholds that keep copies together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable
from tasks.evaluation.side_by_side import images_in_common, judge_side, threshold_folds


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), min_size=4, max_size=60))
def test_an_image_and_its_copies_never_choose_their_own_threshold(sizes: list[tuple[int, int]]) -> None:
    sizes += [(1, 0), (1, 0), (2, 1), (1, 1)]
    labels = np.concatenate([[label] * size for size, label in sizes]).astype(np.int64)
    groups = np.repeat(np.arange(len(sizes)), [size for size, _ in sizes]).astype(np.int64)
    folds = threshold_folds(labels, groups)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    assert sorted(set(folds.tolist())) == list(range(folds.max() + 1)) and folds.max() >= 1
    for fold in range(folds.max() + 1):
        assert set(labels[folds != fold]) == {0, 1}, "each rule is chosen on both classes"


def test_one_group_of_a_class_is_refused() -> None:
    with pytest.raises(DataSetUnusable, match="only one group"):
        threshold_folds(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))


def rows(*paths: str) -> pd.DataFrame:
    """Of the catalogue: two images a group, labels by turns."""
    labels = ["no" if int(path) % 2 else "yes" for path in paths]
    return pd.DataFrame({"path": list(paths), "label": labels, "group": [int(path) // 2 for path in paths]})


def test_only_what_both_may_judge_is_common_and_each_logit_stays_with_its_image() -> None:
    first, second = rows("1", "2", "3", "4"), rows("4", "3", "2", "5")
    logits = [np.array([[float(path), 0.0] for path in frame["path"]]) for frame in (first, second)]
    common = images_in_common((first, logits[0]), (second, logits[1]), ["no", "yes"])
    assert common.rows["path"].tolist() == ["2", "3", "4"]
    assert common.labels.tolist() == [1, 0, 1]
    assert common.groups[0] == common.groups[1] != common.groups[2]
    assert all(said[:, 0].tolist() == [2, 3, 4] for said in common.logits)
    assert common.unseen == (4, 4)


def test_common_images_without_a_class_are_refused() -> None:
    some, others = rows("2", "4", "1"), rows("2", "4", "3")
    logits = np.zeros((3, 2))
    with pytest.raises(DataSetUnusable, match="no image of no among the 2"):
        images_in_common((some, logits), (others, logits), ["no", "yes"])


def test_a_side_is_judged_by_rules_that_were_chosen_on_other_groups() -> None:
    n = 40
    paths = rows(*map(str, range(n)))
    truth = (paths["label"] == "yes").to_numpy(np.int64)
    logits = np.stack([np.zeros(n), np.where(truth == 1, 2.0, -2.0)], axis=1)
    common = images_in_common((paths, logits), (paths, logits), ["no", "yes"])
    folds = threshold_folds(common.labels, common.groups)
    side = judge_side(
        "v1",
        logits,
        common,
        folds,
        classes=("no", "yes"),
        positive_class="yes",
        protocol="cross_validation",
        recall_target=0.9,
    )
    assert side.evaluation.recall.value == 1.0
    assert side.predicted.tolist() == truth.tolist()
    spoilt = logits.copy()
    spoilt[folds == 0, 1] *= -1
    other = judge_side(
        "v1",
        spoilt,
        common,
        folds,
        classes=("no", "yes"),
        positive_class="yes",
        protocol="cross_validation",
        recall_target=0.9,
    )
    assert (other.predicted[folds == 0] != truth[folds == 0]).all(), "its rule is that of the others"
