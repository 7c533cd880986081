"""What stands behind a comparison: folds for thresholds that keep copies together, and names told apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.compare_sides import CommonImages, NamedModel, find_model, named_apart, threshold_folds
from tasks.engine.run import Run
from tasks.errors import ConfigError, DataSetUnusable


def common(labels: np.ndarray, groups: np.ndarray) -> CommonImages:
    empty = np.zeros((len(labels), 2))
    return CommonImages(pd.DataFrame(), labels, groups, (empty, empty), len(labels), (0, 0))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 1)), min_size=4, max_size=60))
def test_an_image_and_its_copies_never_choose_their_own_threshold(sizes: list[tuple[int, int]]) -> None:
    sizes += [(1, 0), (1, 0), (2, 1), (1, 1)]
    labels = np.concatenate([[label] * size for size, label in sizes]).astype(np.int64)
    groups = np.repeat(np.arange(len(sizes)), [size for size, _ in sizes]).astype(np.int64)
    folds = threshold_folds(common(labels, groups))
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    assert sorted(set(folds.tolist())) == list(range(folds.max() + 1)) and folds.max() >= 1
    for fold in range(folds.max() + 1):
        assert set(labels[folds != fold]) == {0, 1}, "each rule is chosen on both classes"


def test_one_group_of_a_class_is_refused() -> None:
    with pytest.raises(DataSetUnusable, match="only one group"):
        threshold_folds(common(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])))


def test_names(tmp_path: Path) -> None:
    run = Run(id="x", name="brain", workspace=str(tmp_path))
    assert find_model(run, "/bundles/b1/") == NamedModel(name="b1", uri="/bundles/b1/")
    assert find_model(run, "az://box/models/v3").uri == "az://box/models/v3", "a URL, not a version"
    one, other = NamedModel(name="b", uri="/x/b"), NamedModel(name="b", uri="/y/b")
    assert [model.name for model in named_apart(one, other)] == ["b [1]", "b [2]"]
    with pytest.raises(ConfigError, match="both models are"):
        named_apart(one, NamedModel(name="other", uri="/x/b/"))
