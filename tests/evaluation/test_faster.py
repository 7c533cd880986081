"""A faster precision is accepted only when the figures stay."""

import numpy as np
import pytest

from tasks.evaluation.faster import compare_precisions
from tasks.evaluation.metrics import Evaluation, evaluate

LABELS = np.arange(400) % 2


def evaluation(scores: np.ndarray) -> Evaluation:
    return evaluate(
        LABELS,
        np.stack([1 - scores, scores], axis=1),
        (scores >= 0.5).astype(np.int64),
        np.arange(len(LABELS)),
        ["no", "yes"],
        positive_class="yes",
        protocol="cross_validation",
    )


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    rng = np.random.default_rng(0)
    found: np.ndarray = np.clip(0.25 + 0.5 * LABELS + rng.normal(0, 0.2, len(LABELS)), 0.01, 0.99)
    return found


def test_rounding_is_accepted(scores: np.ndarray) -> None:
    rounded = scores.astype(np.float16).astype(np.float64)
    said = compare_precisions(evaluation(scores), evaluation(rounded), "openvino 1")
    assert said.accepted
    assert said.n == 400
    assert said.recall_difference == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("label", [0, 1])
def test_two_flips_of_one_class_are_not(scores: np.ndarray, label: int) -> None:
    spoilt = scores.copy()
    spoilt[np.flatnonzero((label == LABELS) & ((scores >= 0.5) == label))[:2]] = 0.49 if label else 0.51
    said = compare_precisions(evaluation(scores), evaluation(spoilt), "openvino 1")
    assert not said.accepted
    difference = said.recall_difference if label else said.specificity_difference
    assert difference == pytest.approx(-2 / 200)


def test_a_better_ranking_is_a_change_too(scores: np.ndarray) -> None:
    better = np.where(LABELS == 1, np.maximum(scores, 0.5), np.minimum(scores, 0.49))
    assert not compare_precisions(evaluation(scores), evaluation(better), "openvino 1").accepted
