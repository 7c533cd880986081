"""Thresholds: the recall target is met on images that had no part in the choice."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import DataSetUnusable
from tasks.evaluation import threshold as subject
from tasks.evaluation.settings import ThresholdRule
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


def _on_target(target: float = 0.95) -> ThresholdRule:
    return ThresholdRule(recall_target=target, insist_on_target=True)


def _chosen(positive: np.ndarray, scores: np.ndarray, rule: ThresholdRule = ThresholdRule()) -> float:  # noqa: B008
    return choose_threshold(positive, scores, np.arange(positive.size), rule)


@pytest.mark.parametrize("n", [60, 124, 155])
def test_recall_on_unseen_images_meets_the_target_on_average(n: int) -> None:
    rng = np.random.default_rng(n)
    unseen = np.sort(_draw(rng, 100_000)[1][:100_000])
    recalls = []
    for _ in range(600):
        found = _chosen(*_draw(rng, n), _on_target())
        recalls.append(1 - np.searchsorted(unseen, found) / unseen.size)
    assert np.mean(recalls) == pytest.approx(0.95, abs=0.006)


def test_copies_weigh_once() -> None:
    positive, scores = _draw(np.random.default_rng(5), 60)
    groups = np.arange(scores.size)
    worst = int(np.argmin(np.where(positive, scores, 2)))
    many = np.r_[groups, np.repeat(worst, 40)]
    copied = choose_threshold(positive[many], scores[many], groups[many], _on_target())
    assert copied == pytest.approx(choose_threshold(positive, scores, groups, _on_target()), abs=1e-9)


@example([(True, 0.3629329204559326)] * 3)  # whose mean is not quite their value
@given(_SCORES)
def test_a_higher_target_never_raises_the_threshold(rows: list[tuple[bool, float]]) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    cuts = [_chosen(positive, scores, _on_target(target)) for target in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert max(np.diff(cuts)) < 1e-9


@given(_SCORES, st.sampled_from([0.5, 0.8, 0.95, 0.99]), st.booleans())
def test_no_image_is_missed_that_would_cost_no_false_alarm(
    rows: list[tuple[bool, float]], target: float, insist: bool
) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    cut = _chosen(positive, scores, ThresholdRule(recall_target=target, insist_on_target=insist))
    assert 0 <= cut <= 1
    quiet = scores[~positive & (scores < cut)]
    highest = quiet.max() if quiet.size else -1.0
    # Nearer than rounding is no gap.
    assert not (positive & (scores < cut - 1e-9) & (scores > highest + 1e-9)).any()


@given(_SCORES)
def test_row_order_changes_nothing(rows: list[tuple[bool, float]]) -> None:
    positive, scores = (np.array(column) for column in zip(*rows, strict=True))
    assert _chosen(positive, scores) == pytest.approx(_chosen(positive[::-1], scores[::-1]), abs=1e-9)


def test_rounding_to_float32_flips_no_image() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        positive, scores = _draw(rng, 40)
        cut = _chosen(positive, scores)
        gap = np.abs(scores - cut).min()
        if gap > 1e-6:
            assert np.array_equal(scores >= cut, scores.astype(np.float32).astype(np.float64) >= cut)
    tied = np.full(30, 0.7)
    cut = _chosen(np.ones(30, dtype=bool), tied)
    assert cut < 0.7 and (tied.astype(np.float32) >= cut).all()


def test_separable_classes_are_parted_in_the_gap() -> None:
    """A quantile of the positives lay among them: one in twenty was missed, and no false alarm saved."""
    rng = np.random.default_rng(0)
    scores = np.r_[rng.uniform(0.9, 1, 1000), rng.uniform(0, 0.1, 1000)]
    cut = _chosen(np.arange(2000) < 1000, scores)
    assert 0.1 < cut < 0.9


def _demo_like(rng: np.random.Generator, n: int = 154, m: int = 98) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities: six in a hundred positives look like negatives."""
    hard = rng.random(n) < 0.06
    score = np.r_[np.where(hard, rng.normal(-2.5, 0.8, n), rng.normal(3, 1.2, n)), rng.normal(-2.5, 0.8, m)]
    return np.arange(n + m) < n, 1 / (1 + np.exp(-score))


def test_the_last_recall_is_not_bought_at_any_price() -> None:
    rng = np.random.default_rng(1)
    specificity: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(100):
        positive, scores = _demo_like(rng)
        for insist, found in specificity.items():
            cut = _chosen(positive, scores, ThresholdRule(insist_on_target=insist))
            found.append(float((scores[~positive] < cut).mean()))
    assert np.mean(specificity[False]) > np.mean(specificity[True]) + 0.05
    assert np.std(specificity[False]) < np.std(specificity[True]) / 2


def test_a_harm_ratio_cuts_where_a_miss_weighs_as_much_as_the_alarms() -> None:
    positive, scores = _demo_like(np.random.default_rng(2), 20_000, 20_000)
    for ratio in (1.0, 4.0, 10.0):
        assert _chosen(positive, scores, ThresholdRule(harm_ratio=ratio)) == pytest.approx(
            1 / (1 + ratio), abs=0.02
        )


def test_no_more_images_are_called_than_can_be_looked_at() -> None:
    positive, scores = _draw(np.random.default_rng(3), 100)
    for capacity in (0.1, 0.3, 0.5):
        cut = _chosen(positive, scores, ThresholdRule(alarm_capacity=capacity, insist_on_target=True))
        assert (scores >= cut).mean() <= capacity + 1e-9
        assert (scores >= cut).mean() > capacity - 0.02


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
    ("positive", "scores", "says"),
    [
        ([False, False], [0.1, 0.2], "none of 2 images is positive"),
        ([], [], "none of 0 images"),
        ([True, False], [1.7, -0.3], "-0.3 to 1.7"),
        ([True, False], [np.nan, 0.3], "nan"),
    ],
)
def test_what_cannot_be_chosen_is_refused(positive: list[bool], scores: list[float], says: str) -> None:
    with pytest.raises(DataSetUnusable, match=says):
        _chosen(np.array(positive, dtype=bool), np.array(scores))
