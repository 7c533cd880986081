"""Thresholds: the recall target is met on images that had no part in the choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable
from tasks.evaluation import threshold as subject
from tasks.evaluation.threshold import choose_threshold

_SCORES = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=1, max_size=80).filter(
    lambda rows: any(positive for positive, _ in rows)
)


def _draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of n positives with a hard tenth, and of 0.63 n negatives."""
    hard = rng.random(n) < 0.1
    positive = np.where(hard, rng.normal(-1, 1.2, n), rng.normal(3, 1.2, n))
    negative = rng.normal(-2.5, 1.5, int(0.63 * n))
    scores = 1 / (1 + np.exp(-np.concatenate([positive, negative])))
    return np.arange(scores.size) < n, scores


@pytest.mark.parametrize("n", [60, 124, 155])
def test_recall_on_unseen_images_meets_the_target_on_average(n: int) -> None:
    rng = np.random.default_rng(n)
    unseen = np.sort(_draw(rng, 100_000)[1][:100_000])
    recalls = []
    for _ in range(1500):
        found = choose_threshold(*_draw(rng, n), 0.95)
        recalls.append(1 - np.searchsorted(unseen, found) / unseen.size)
    assert np.mean(recalls) == pytest.approx(0.95, abs=0.003)


def test_cross_fitted_recall_meets_the_target_on_average() -> None:
    rng = np.random.default_rng(7)
    recalls = []
    for _ in range(300):
        positive, scores = _draw(rng, 155)
        folds = rng.integers(0, 5, positive.size)
        chosen = [choose_threshold(positive[folds != k], scores[folds != k], 0.95) for k in range(5)]
        cut = np.array(chosen)[folds]
        recalls.append((scores >= cut)[positive].mean())
    assert np.mean(recalls) == pytest.approx(0.95, abs=0.005)


@given(_SCORES, st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_recall_here_is_at_most_one_image_short(rows: list[tuple[bool, float]], target: float) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    cut = choose_threshold(positive, scores, target)
    assert 0 <= cut <= 1
    missed = int((scores[positive] < cut).sum())
    assert missed <= (1 - target) * (positive.sum() + 1) + 1e-6


@given(_SCORES)
def test_a_higher_target_never_raises_the_threshold(rows: list[tuple[bool, float]]) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    cuts = [choose_threshold(positive, scores, target) for target in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert cuts == sorted(cuts, reverse=True) or max(np.diff(cuts)) < 1e-9


@given(_SCORES)
def test_row_order_changes_nothing(rows: list[tuple[bool, float]]) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    assert choose_threshold(positive, scores) == choose_threshold(positive[::-1], scores[::-1])


def test_rounding_to_float32_flips_no_image() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        positive, scores = _draw(rng, 40)
        cut = choose_threshold(positive, scores)
        gap = np.abs(scores - cut).min()
        if gap > 1e-6:
            assert np.array_equal(scores >= cut, scores.astype(np.float32).astype(np.float64) >= cut)
    tied = np.full(30, 0.7)
    cut = choose_threshold(np.ones(30, dtype=bool), tied)
    assert cut < 0.7 and (tied.astype(np.float32) >= cut).all()


def test_separable_classes_keep_full_specificity() -> None:
    positive = np.arange(100) < 50
    scores = np.where(positive, np.linspace(0.9, 1.0, 100), np.linspace(0.0, 0.2, 100))
    cut = choose_threshold(positive, scores)
    assert not (scores[~positive] >= cut).any()


def test_trade_off_goes_from_few_alarms_to_few_misses() -> None:
    positive, scores = _draw(np.random.default_rng(1), 155)
    points = subject.trade_off(positive, scores, np.arange(positive.size))
    misses, alarms = [p.misses for p in points], [p.false_alarms for p in points]
    assert misses == sorted(misses, reverse=True) and alarms == sorted(alarms)
    for point in points:
        assert point.misses_per_100 == pytest.approx(100 * point.misses / 155)
        assert point.recall.n == 155 and point.recall.lower is not None


def test_without_a_class_the_figure_is_undefined_and_says_so() -> None:
    point = subject.operating_point([True, True], [0.2, 0.9], [0, 1], 0.5)
    assert point.specificity.value is None and point.specificity.reason == "no negative image"
    assert point.false_alarms_per_100 is None and point.misses_per_100 == 50


@pytest.mark.parametrize(
    ("positive", "scores", "target", "says"),
    [
        ([False, False], [0.1, 0.2], 0.95, "none of 2 images is positive"),
        ([], [], 0.95, "none of 0 images"),
        ([True, False], [1.7, -0.3], 0.95, "-0.3 to 1.7"),
        ([True, False], [np.nan, 0.3], 0.95, "nan"),
        ([True, False], [0.5, 0.3], 1.0, "target of 1.0"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    positive: list[bool], scores: list[float], target: float, says: str
) -> None:
    with pytest.raises(DataSetUnusable, match=says):
        choose_threshold(positive, scores, target)
