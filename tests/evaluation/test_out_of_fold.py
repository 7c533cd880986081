"""No image takes part in the choice of the rule that judges it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable
from tasks.evaluation.out_of_fold import OperatingRule, fit_rule, judge

NONE = np.zeros(120, dtype=np.bool_)


def _data(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    logits = rng.normal(0, 1, (n, 2))
    logits[np.arange(n), labels] += 1.5
    return labels, logits, np.arange(n) % 5


@given(seed=st.integers(0, 50), fold=st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_changing_a_folds_labels_never_changes_its_own_predictions(seed: int, fold: int) -> None:
    labels, logits, folds = _data(seed)
    flipped = np.where(folds == fold, 1 - labels, labels)
    every = frozenset(range(5))
    one = judge(labels, logits, folds, straddling=NONE, reported_folds=every, positive=1, recall_target=0.9)
    two = judge(flipped, logits, folds, straddling=NONE, reported_folds=every, positive=1, recall_target=0.9)
    own = folds == fold
    np.testing.assert_array_equal(one.probabilities[own], two.probabilities[own])
    np.testing.assert_array_equal(one.predicted[own], two.predicted[own])
    assert one.served != two.served


def test_a_held_out_fold_changes_nothing_that_is_chosen() -> None:
    labels, logits, folds = _data(3)
    changed = np.where((folds == 0)[:, None], -logits, logits)
    only_test = frozenset({0})
    one = judge(
        labels, logits, folds, straddling=NONE, reported_folds=only_test, positive=1, recall_target=0.9
    )
    two = judge(
        labels, changed, folds, straddling=NONE, reported_folds=only_test, positive=1, recall_target=0.9
    )
    assert one.served == two.served
    assert one.reported.tolist() == (folds == 0).tolist()
    assert np.isnan(one.thresholds[folds != 0]).all()


def test_the_served_rule_is_fitted_on_all_images_under_cross_validation() -> None:
    labels, logits, folds = _data(4)
    judged = judge(
        labels,
        logits,
        folds,
        straddling=NONE,
        reported_folds=frozenset(range(5)),
        positive=1,
        recall_target=0.9,
    )
    assert judged.served == fit_rule(labels, logits, 1, 0.9)
    _, predicted = judged.served.apply(logits, 1)
    assert (predicted[labels == 1] == 1).mean() >= 0.88


def test_without_a_positive_class_the_likeliest_wins() -> None:
    rule = OperatingRule(temperature=2.0, threshold=None)
    probabilities, predicted = rule.apply(np.array([[0.0, 3.0, 1.0], [5.0, 0.0, 0.0]]), None)
    assert predicted.tolist() == [1, 0]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_below_the_threshold_the_likeliest_other_class_is_predicted() -> None:
    rule = OperatingRule(temperature=1.0, threshold=0.99)
    _, predicted = rule.apply(np.array([[0.0, 3.0, 1.0]]), 1)
    assert predicted.tolist() == [2]


def test_nothing_to_choose_on_is_said() -> None:
    labels, logits, folds = _data(5)
    with pytest.raises(DataSetUnusable, match="no image is left"):
        judge(
            labels,
            logits,
            np.zeros_like(folds),
            straddling=NONE,
            reported_folds=frozenset({0, 1}),
            positive=1,
            recall_target=0.9,
        )


def test_an_image_with_a_copy_elsewhere_takes_part_in_no_choice() -> None:
    labels, logits, folds = _data(6)
    straddling = np.arange(120) % 7 == 0
    changed = np.where(straddling[:, None], -logits, logits)
    every = frozenset(range(5))
    one = judge(
        labels, logits, folds, straddling=straddling, reported_folds=every, positive=1, recall_target=0.9
    )
    two = judge(
        labels, changed, folds, straddling=straddling, reported_folds=every, positive=1, recall_target=0.9
    )
    assert one.served == two.served
    np.testing.assert_array_equal(one.thresholds, two.thresholds)
