"""Inner folds never part a group."""

import numpy as np

from tasks.data.grouped_splits import grouped_splits


def test_no_group_is_on_both_sides_of_an_inner_fold() -> None:
    labels, groups = np.arange(60) % 2, [f"g{i // 4}" for i in range(60)]
    for train, test in grouped_splits(labels, groups, 4, seed=3):
        assert {groups[i] for i in train}.isdisjoint(groups[i] for i in test)
        assert set(labels[test]) == {0, 1}
