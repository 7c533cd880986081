"""Intervals of losses and of average precision cover where patients are few."""

import numpy as np
import pytest

from tasks.evaluation.clustered import FEW_GROUPS, average_precision, mean_loss
from tasks.evaluation.intervals import Ranking


def _patients(
    rng: np.random.Generator, patients: int, images: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive flags, scores and patients; each patient has both classes and moves its scores."""
    groups = np.repeat(np.arange(patients), images)
    positive = np.arange(groups.size) % images < images // 2
    own = rng.normal(0, 0.7, patients)[groups]
    return positive, rng.normal(np.where(positive, 2.2, 0), 1) + own, groups


@pytest.mark.parametrize(("patients", "images"), [(12, 10), (30, 4), (125, 2)])
def test_the_intervals_cover_at_few_patients(patients: int, images: int) -> None:
    rng = np.random.default_rng(patients)
    found, losses = [], []
    precisions, means = [], []
    for _ in range(120):
        positive, scores, groups = _patients(rng, patients, images)
        ranking = Ranking.of(scores, positive)
        value = float(ranking.figures(np.ones((1, scores.size)))[0, 1])
        said = average_precision(ranking, value, groups, patients)
        assert said is not None and said.lower is not None and said.upper is not None
        precisions.append(value)
        found.append((said.lower, said.upper))
        chance = 1 / (1 + np.exp(-2 * (scores - 1.1)))
        loss = mean_loss((chance - positive) ** 2, groups)
        assert loss is not None and loss.value is not None
        assert loss.lower is not None and loss.upper is not None
        means.append(loss.value)
        losses.append((loss.lower, loss.upper))
    middle, mean = np.mean(precisions), np.mean(means)
    kept = sum(low <= middle <= high for low, high in found)
    held = sum(low <= mean <= high for low, high in losses)
    assert kept >= 0.9 * 120 and held >= 0.9 * 120


def test_few_groups_are_said() -> None:
    positive, scores, groups = _patients(np.random.default_rng(0), FEW_GROUPS - 1, 6)
    ranking = Ranking.of(scores, positive)
    value = float(ranking.figures(np.ones((1, scores.size)))[0, 1])
    said = average_precision(ranking, value, groups, FEW_GROUPS - 1)
    assert said is not None and "only 11 of them" in said.method


def test_what_has_no_spread_has_no_interval_here() -> None:
    assert mean_loss(np.full(10, 0.25), np.arange(10)) is None
    assert mean_loss(np.arange(10.0), np.zeros(10, dtype=np.int64)) is None
    positive = np.arange(10) < 5
    assert average_precision(Ranking.of(positive.astype(float), positive), 1.0, np.arange(10), 5) is None
