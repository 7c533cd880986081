"""The figures of the leaderboard: how good a recipe seems, and how sure that is."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from tasks.automl.objective import Objective
from tasks.automl.tried import CurvePoint
from tasks.automl.units import Answers
from tasks.evaluation import intervals

PAIRED_RESAMPLES = 100
"""Of the bootstrap of a difference: a standard error to a tenth of itself."""

RESAMPLES = 400
"""Of the bootstrap over groups: enough for two digits of an interval."""


def pooled(answers: Sequence[Answers]) -> tuple[NDArray[np.int64], NDArray[np.float64], tuple[str, ...]]:
    """Labels (n,), probabilities (n, classes) and groups of distinct contents; several networks' are averaged."""
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, int] = defaultdict(int)
    facts: dict[str, tuple[int, str]] = {}
    for part in answers:
        probabilities = softmax(part.logits, axis=1)
        for row, sha256 in enumerate(part.sha256):
            sums[sha256] = sums.get(sha256, 0.0) + probabilities[row]
            counts[sha256] += 1
            facts[sha256] = (int(part.labels[row]), part.groups[row])
    names = sorted(sums)
    labels = np.array([facts[name][0] for name in names], dtype=np.int64)
    mean = np.array([sums[name] / counts[name] for name in names])
    return labels, mean, tuple(facts[name][1] for name in names)


def estimated(
    objective: Objective, answers: Sequence[Answers], positive: int | None, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """A recipe's figure with its 95 % interval by bootstrap over groups of copies."""
    labels, probabilities, groups = pooled(answers)
    score = objective.score(labels, probabilities, positive)
    if objective.metric == "auc":
        drawn = intervals.bootstrap(
            _area(labels, probabilities, positive), groups, resamples=resamples, seed=0
        )[:, 0]
    else:
        drawn = np.array(
            [
                objective.score(labels[rows], probabilities[rows], positive)
                for rows in _resampled(groups, resamples)
            ]
        )
    ends = np.nanquantile(drawn, [0.025, 0.975]) if not np.isnan(drawn).all() else (score, score)
    return score, min(float(ends[0]), score), max(float(ends[1]), score)


def _resampled(groups: Sequence[str], resamples: int) -> Iterator[NDArray[np.int64]]:
    """Rows of resamples in which whole groups are drawn."""
    for block in intervals.resampled_weights(groups, resamples, 0):
        for weights in block:
            yield np.repeat(np.arange(len(groups)), weights.astype(np.int64))


def _area(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], positive: int | None
) -> intervals.Statistic:
    classes = range(probabilities.shape[1]) if positive is None else [positive]
    rankings = [intervals.Ranking.of(probabilities[:, c], labels == c) for c in classes]
    return lambda weights: np.mean([ranking.figures(weights)[:, :1] for ranking in rankings], axis=0)


def paired_difference(
    objective: Objective, one: Sequence[Answers], other: Sequence[Answers], positive: int | None
) -> tuple[float, float]:
    """By how much one recipe's figure is above another's on the same contents, and the standard error of that.

    The error is that of a bootstrap over groups, in which both are drawn together.
    """
    labels, probabilities, groups = pooled(one)
    same, others, _ = pooled(other)
    if not np.array_equal(labels, same):
        raise ValueError("the two recipes were asked about different contents")
    drawn = [
        objective.score(labels[rows], probabilities[rows], positive)
        - objective.score(labels[rows], others[rows], positive)
        for rows in _resampled(groups, PAIRED_RESAMPLES)
    ]
    difference = objective.score(labels, probabilities, positive) - objective.score(labels, others, positive)
    return difference, float(np.nanstd(drawn))


def mean_curve(curves: Sequence[Sequence[Mapping[str, float]]]) -> tuple[CurvePoint, ...]:
    """The mean loss by epoch of several trainings."""
    losses: dict[int, list[float]] = defaultdict(list)
    for curve in curves:
        for row in curve:
            losses[int(row["epoch"])].append(row["train_loss"])
    return tuple(
        CurvePoint(epoch=epoch, train_loss=float(np.mean(values))) for epoch, values in sorted(losses.items())
    )
