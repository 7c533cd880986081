"""Evaluation: figures equal scikit-learn's, intervals are fast, and nothing is ever NaN."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk
from support.processor_time import allowed

from tasks.errors import DataSetUnusable
from tasks.evaluation.metrics import Estimate, Evaluation, evaluate


def _case(seed: int, n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels]
    return labels, softmax(logits, axis=1), rng.integers(0, max(1, 3 * n // 4), n)


def test_binary_figures_equal_scikit_learn() -> None:
    labels, chance, groups = _case(0, 253, 2)
    predicted = (chance[:, 1] >= 0.4).astype(int)
    found = evaluate(
        labels, chance, predicted, groups, ["no", "yes"], positive_class="yes", protocol="cross_validation"
    )
    expected = {
        "recall": sk.recall_score(labels, predicted),
        "specificity": sk.recall_score(labels, predicted, pos_label=0),
        "precision": sk.precision_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted),
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "auc": sk.roc_auc_score(labels, chance[:, 1]),
        "average_precision": sk.average_precision_score(labels, chance[:, 1]),
        "brier": sk.brier_score_loss(labels, chance[:, 1]),
        "log_loss": sk.log_loss(labels, chance),
    }
    for name, value in expected.items():
        estimate: Estimate = getattr(found, name)
        assert estimate.value == pytest.approx(value), name
        assert estimate.lower is not None and estimate.upper is not None
        assert estimate.lower < value < estimate.upper, name
    assert found.confusion_matrix == sk.confusion_matrix(labels, predicted).tolist()
    assert found.recall.n == int((labels == 1).sum()) and found.precision.n == int(predicted.sum())
    assert found.n == 253 and found.n_groups == np.unique(groups).size
    assert found.figures_of == "class yes"


def test_many_classes_are_macro_averages_with_intervals() -> None:
    labels, chance, groups = _case(1, 400, 4)
    predicted = chance.argmax(axis=1)
    names = ["a", "b", "c", "d"]
    found = evaluate(labels, chance, predicted, groups, names, positive_class=None, protocol="holdout")
    assert found.recall.value == pytest.approx(sk.recall_score(labels, predicted, average="macro"))
    assert found.precision.value == pytest.approx(sk.precision_score(labels, predicted, average="macro"))
    assert found.f1.value == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found.auc.value == pytest.approx(sk.roc_auc_score(labels, chance, multi_class="ovr"))
    assert [c.name for c in found.per_class] == names
    for figures in [*found.per_class, found.macro]:
        for estimate in (figures.recall, figures.specificity, figures.precision, figures.f1, figures.auc):
            assert estimate.value is not None and estimate.lower is not None and estimate.upper is not None
            assert estimate.lower < estimate.value < estimate.upper
    one = evaluate(labels, chance, predicted, groups, names, positive_class="c", protocol="holdout")
    assert one.recall == found.per_class[2].recall and one.auc == found.per_class[2].auc


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_json_round_trips_without_nan_whatever_is_missing(data: st.DataObject) -> None:
    """Classes without an image, never predicted, predicted perfectly, one group only."""
    n, n_classes = data.draw(st.integers(1, 12)), data.draw(st.integers(2, 4))
    indices = st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)
    labels, predicted = data.draw(indices), data.draw(indices)
    groups = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    chance = np.full((n, n_classes), 0.1 / (n_classes - 1))
    chance[np.arange(n), predicted] = 0.9
    names = [f"c{i}" for i in range(n_classes)]
    positive = data.draw(st.sampled_from([None, *names]))
    found = evaluate(
        labels, chance, predicted, groups, names, positive_class=positive, protocol="holdout", resamples=50
    )
    text = found.model_dump_json()
    assert "NaN" not in text and "Infinity" not in text
    assert Evaluation.model_validate_json(text) == found
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))


def test_perfect_predictions_do_not_claim_certainty() -> None:
    labels = np.repeat([0, 1], 20)
    chance = np.where(np.eye(2)[labels] > 0, 0.99, 0.01)
    found = evaluate(
        labels, chance, labels, np.arange(40), ["no", "yes"], positive_class="yes", protocol="holdout"
    )
    for name in ("recall", "specificity", "precision", "f1", "accuracy", "balanced_accuracy", "auc"):
        estimate: Estimate = getattr(found, name)
        assert estimate.value == 1.0 and estimate.lower is not None and estimate.lower < 0.95, name
    assert found.average_precision.lower is None and found.average_precision.reason


def test_copies_widen_every_interval() -> None:
    labels, chance, _ = _case(2, 200, 2)
    predicted = chance.argmax(axis=1)
    many = [np.repeat(array, 3, axis=0) for array in (labels, chance, predicted)]
    copied, naive = (
        evaluate(many[0], many[1], many[2], groups, ["no", "yes"], positive_class="yes", protocol="holdout")
        for groups in (np.repeat(np.arange(200), 3), np.arange(600))
    )
    for name in ("recall", "specificity", "auc", "brier", "log_loss", "f1", "average_precision"):
        wide, narrow = getattr(copied, name), getattr(naive, name)
        assert wide.upper - wide.lower > 1.4 * (narrow.upper - narrow.lower), name


def test_row_order_changes_no_figure() -> None:
    labels, chance, groups = _case(3, 120, 2)
    order = np.random.default_rng(0).permutation(120)
    first, second = (
        evaluate(
            labels[rows],
            chance[rows],
            chance[rows].argmax(axis=1),
            groups[rows],
            ["no", "yes"],
            positive_class="yes",
            protocol="holdout",
        )
        for rows in (np.arange(120), order)
    )
    assert first.confusion_matrix == second.confusion_matrix
    for name in ("recall", "auc", "average_precision", "brier"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one.value, one.lower, one.upper) == pytest.approx((other.value, other.lower, other.upper))


def test_two_thousand_resamples_of_253_images_take_little() -> None:
    labels, chance, groups = _case(4, 253, 2)
    start = time.process_time()
    evaluate(
        labels,
        chance,
        chance.argmax(axis=1),
        groups,
        ["no", "yes"],
        positive_class="yes",
        protocol="holdout",
        resamples=2000,
    )
    assert time.process_time() - start < allowed(4)


def test_too_many_images_and_classes_keep_closed_form_intervals() -> None:
    labels, chance, groups = _case(5, 21_000, 50)
    names = [str(i) for i in range(50)]
    found = evaluate(
        labels, chance, chance.argmax(axis=1), groups, names, positive_class="7", protocol="holdout"
    )
    assert found.auc.lower is not None and found.recall.lower is not None
    assert found.macro.auc.value is not None and "too many" in str(found.macro.auc.reason)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"labels": [], "predicted": [], "groups": [], "probabilities": np.zeros((0, 2))},
            "at least one image",
        ),
        ({"probabilities": np.full((1, 2), 0.5)}, "shape"),
        ({"predicted": [0]}, "differ in number"),
        ({"labels": [0, 2]}, "outside the 2 classes"),
        ({"probabilities": np.full((2, 2), 0.7)}, "sum to 1"),
        ({"probabilities": np.array([[np.nan, 0.5]] * 2)}, "not finite"),
        ({"positive_class": "tumour"}, "'tumour' is not among"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "labels": [0, 1],
        "probabilities": np.full((2, 2), 0.5),
        "predicted": [0, 1],
        "groups": [0, 1],
        "classes": ["no", "yes"],
        "positive_class": "yes",
        "protocol": "holdout",
    }
    assert evaluate(**right).n == 2
    with pytest.raises(DataSetUnusable, match=says):
        evaluate(**(right | wrong))
