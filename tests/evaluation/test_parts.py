"""Parts keep copies together and run across folds and classes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable
from tasks.evaluation.parts import PARTS, parts_of


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1), st.integers(0, 4)), min_size=4, max_size=60))
def test_an_image_and_its_copies_are_in_one_part(groups: list[tuple[int, int, int]]) -> None:
    groups += [(1, 0, 0), (1, 0, 1), (2, 1, 0), (1, 1, 2)]
    sizes, labels, folds = (np.array(column) for column in zip(*groups, strict=True))
    group = np.repeat(np.arange(len(groups)), sizes)
    parts = parts_of(labels[group], folds[group], group)
    assert pd.Series(parts).groupby(group).nunique().max() == 1
    assert sorted(set(parts.tolist())) == list(range(parts.max() + 1)) and parts.max() >= 1
    for part in range(parts.max() + 1):
        assert set(labels[group][parts != part]) == {0, 1}, "each rule is chosen on both classes"


def test_every_fold_is_spread_over_every_part() -> None:
    n = 500
    labels, folds, groups = np.arange(n) % 2, np.arange(n) // 2 % 5, np.arange(n)
    parts = parts_of(labels, folds, groups)
    counts = pd.crosstab([folds, labels], parts).to_numpy()
    assert counts.shape == (10, PARTS) and counts.min() >= 9 and counts.max() <= 11


def test_a_patient_with_both_classes_stands_for_the_rarer() -> None:
    """Else the few patients with a finding could all fall into one part."""
    patients = np.repeat(np.arange(40), 5)
    labels = ((np.arange(200) % 5 == 4) & (patients < 6)).astype(np.int64)
    parts = parts_of(labels, np.zeros(200, dtype=np.int64), patients)
    assert len(set(parts[labels == 1])) == PARTS


def test_a_single_group_is_refused() -> None:
    with pytest.raises(DataSetUnusable, match="only one group"):
        parts_of(np.array([0, 0]), np.zeros(2, dtype=np.int64), np.array([2, 2]))
