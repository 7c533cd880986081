"""DeLong's test: by hand, against the bootstrap, and blind to copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tasks.evaluation import intervals
from tasks.evaluation.delong import auc_difference_test
from tasks.evaluation.intervals import Floats, Ranking


def by_definition(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """DeLong et al. 1988, equations 3 to 6, pair by pair."""
    x, y = (np.stack([first[kind], second[kind]]) for kind in (positive, ~positive))
    wins = (x[:, :, None] > y[:, None, :]) + 0.5 * (x[:, :, None] == y[:, None, :])
    covariance = np.cov(wins.mean(axis=2)) / x.shape[1] + np.cov(wins.mean(axis=1)) / y.shape[1]
    difference = wins[1].mean() - wins[0].mean()
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


def scores(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flags, and two models that share half of their noise; the second is the better one."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    shared = rng.normal(size=n)
    first, second = (skill * positive + shared + rng.normal(size=n) for skill in (1.0, 1.8))
    return positive, np.round(first, 1), np.round(second, 1)


def test_a_case_by_hand() -> None:
    """Three positives, two negatives. AUC 4/6 and 6/6; placements differ by (1, 0, 0) and (1/3, 1/3).

    Variance: (4/9 + 1/9 + 1/9) / (2 · 3) + 0 = 1/9, so z = (1/3) / (1/3) = 1.
    """
    positive = np.array([1, 1, 1, 0, 0], bool)
    first, second = [1, 6, 7, 2, 3], [5, 6, 7, 2, 3]
    found = auc_difference_test(positive, first, second, np.arange(5))
    assert found == pytest.approx(2 * norm.sf(1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_it_is_delongs_on_single_images_and_does_not_count_copies(seed: int) -> None:
    positive, first, second = scores(seed, 60)
    expected = by_definition(positive, first, second)
    single = auc_difference_test(positive, first, second, np.arange(60))
    assert single == pytest.approx(expected, rel=1e-9)
    assert auc_difference_test(positive, second, first, np.arange(60)) == pytest.approx(expected, rel=1e-9)
    three, one, other = (np.repeat(values, 3) for values in (positive, first, second))
    copied = auc_difference_test(three, one, other, np.repeat(np.arange(60), 3))
    assert copied == pytest.approx(expected, rel=1e-9)
    uncopied = auc_difference_test(three, one, other, np.arange(180))
    assert uncopied is not None and (uncopied < expected or expected == 1)


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_the_bootstrap_over_groups(seed: int) -> None:
    positive, first, second = scores(seed, 300)
    groups = np.arange(300) // 2  # two neighbouring images a group, of mixed labels
    rankings = [Ranking.of(values, positive) for values in (first, second)]

    def difference(weights: Floats) -> Floats:
        before, after = (ranking.figures(weights)[:, :1] for ranking in rankings)
        return after - before

    replicates = intervals.bootstrap(difference, groups, resamples=4000, seed=0)[:, 0]
    value = difference(np.ones((1, 300)))[0, 0]
    found = auc_difference_test(positive, first, second, groups)
    assert found is not None
    z, by_bootstrap = norm.isf(found / 2), abs(value) / replicates.std()
    assert z == pytest.approx(by_bootstrap, rel=0.1)


def test_chance_alone_is_significant_as_often_as_it_should_be() -> None:
    values = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        positive = np.arange(80) < 30
        first, second = (positive + rng.normal(size=80) for _ in range(2))
        values.append(auc_difference_test(positive, first, second, np.arange(80)))
    below = np.mean(np.array(values, dtype=np.float64) < 0.05)
    assert 0.025 < below < 0.08


def test_what_it_cannot_tell() -> None:
    positive = np.array([1, 1, 0, 0], bool)
    assert auc_difference_test(positive, [4, 3, 2, 1], [4, 3, 2, 1], np.arange(4)) == 1.0
    assert auc_difference_test(positive, [4, 3, 2, 1], [1, 1, 1, 1], np.arange(4)) is None, "no spread"
    assert auc_difference_test(positive, [4, 3, 2, 1], [4, 1, 2, 3], [0, 0, 1, 2]) is None, "one group"
