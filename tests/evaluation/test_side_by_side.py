"""What stands behind a comparison: common images, and folds for thresholds that keep copies together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.errors import DataSetUnusable
from tasks.evaluation.parts import parts_of
from tasks.evaluation.settings import ThresholdRule
from tasks.evaluation.side_by_side import images_in_common, judge_side


def rows(*paths: str) -> pd.DataFrame:
    """Of the catalogue: two images a group, labels by turns."""
    labels = ["no" if int(path) % 2 else "yes" for path in paths]
    return pd.DataFrame(
        {
            "path": list(paths),
            "label": labels,
            "group": [int(path) // 2 for path in paths],
            "fold": [int(path) // 2 % 2 for path in paths],
        }
    )


def everyone(n: int) -> np.ndarray:
    """Two members judged each of n images."""
    return np.ones((n, 2), dtype=np.bool_)


def test_only_what_both_may_judge_is_common_and_each_logit_stays_with_its_image() -> None:
    first, second = rows("1", "2", "3", "4"), rows("4", "3", "2", "5")
    logits = [np.array([[float(path), 0.0] for path in frame["path"]]) for frame in (first, second)]
    common = images_in_common(
        (first, logits[0], everyone(4)), (second, logits[1], everyone(4)), ["no", "yes"]
    )
    assert common.rows["path"].tolist() == ["2", "3", "4"]
    assert common.labels.tolist() == [1, 0, 1]
    assert common.groups[0] == common.groups[1] != common.groups[2]
    assert all(said[:, 0].tolist() == [2, 3, 4] for said in common.logits)
    assert common.unseen == (4, 4)


def test_common_images_without_a_class_are_refused() -> None:
    some, others = rows("2", "4", "1"), rows("2", "4", "3")
    logits = np.zeros((3, 2))
    with pytest.raises(DataSetUnusable, match="no image of no among the 2"):
        images_in_common((some, logits, everyone(3)), (others, logits, everyone(3)), ["no", "yes"])


def test_a_side_is_judged_by_rules_that_were_chosen_on_other_groups() -> None:
    n = 40
    paths = rows(*map(str, range(n)))
    truth = (paths["label"] == "yes").to_numpy(np.int64)
    logits = np.stack([np.zeros(n), np.where(truth == 1, 2.0, -2.0)], axis=1)
    common = images_in_common((paths, logits, everyone(n)), (paths, logits, everyone(n)), ["no", "yes"])
    parts = parts_of(common.labels, common.folds, common.groups)
    spoilt = logits.copy()
    spoilt[parts == 0, 1] *= -1
    common = replace(common, logits=(logits, spoilt))
    one, other = (
        judge_side(
            "v1",
            common,
            side,
            classes=("no", "yes"),
            positive_class="yes",
            protocol="cross_validation",
            rule=ThresholdRule(),
        )
        for side in (0, 1)
    )
    assert one.evaluation.recall.value == 1.0
    assert one.predicted.tolist() == truth.tolist()
    assert (other.predicted[parts == 0] != truth[parts == 0]).all(), "its rule is that of the others"
