"""What a search knows of each recipe that it tries: its answers, its figure and how sure that is, its row."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from tasks.automl.objective import Objective
from tasks.automl.tried import CurvePoint, Tried
from tasks.automl.units import Answers, Unit, counts_for
from tasks.evaluation import intervals
from tasks.training.recipes import FineTune, Probe

PAIRED_RESAMPLES = 100
"""Of the bootstrap of a difference: a standard error to a tenth of itself."""

RESAMPLES = 400
"""Of the bootstrap over groups: enough for two digits of an interval."""


class Trial:
    """A recipe that is being tried."""

    def __init__(self, number: int, recipe: FineTune | Probe, values: Mapping[str, Any]) -> None:
        self.number, self.recipe, self.values = number, recipe, values
        self.answers: dict[int, dict[Unit, Mapping[int, Answers]]] = {}
        self.losses: dict[Unit, Mapping[int, float]] = {}
        self.seconds, self.trainings, self.finished_at = 0.0, 0, 0.0
        self.reason: str | None = None

    @property
    def all_answers(self) -> list[Answers]:
        """What its furthest networks say of all that they held out."""
        return [part for unit in self.answers.get(self.epochs, {}).values() for part in unit.values()]

    @property
    def epochs(self) -> int:
        """The most epochs that any of its networks was trained."""
        return max(self.answers, default=0)

    @property
    def state(self) -> Literal["tried", "stopped early", "survivor", "failed"]:
        """How far it came."""
        if self.reason is not None or not self.answers:
            return "failed"
        if isinstance(self.recipe, Probe):
            return "tried"
        return "survivor" if self.epochs == self.recipe.optimisation.epochs else "stopped early"

    def counts(self, fold: int, units: Sequence[Unit], epochs: int) -> list[Answers]:
        """What may count for a fold's choice."""
        return counts_for(fold, self.answers[epochs], units)


def leaderboard(
    trials: Iterable[Trial],
    chosen_for: Mapping[FineTune | Probe, Sequence[int]],
    objective: Objective,
    positive: int | None,
) -> list[Tried]:
    """Every recipe, best first, failed ones last."""
    rows = [_row(trial, tuple(chosen_for.get(trial.recipe, ())), objective, positive) for trial in trials]
    sign = 1 if objective.metric == "log_loss" else -1
    return sorted(rows, key=lambda row: math.inf if row.score is None else sign * row.score)


def _row(trial: Trial, chosen_for: tuple[int, ...], objective: Objective, positive: int | None) -> Tried:
    recipe, answers = trial.recipe, trial.all_answers
    score = lower = upper = None
    if answers:
        score, *ends = (objective.shown(end) for end in estimated(objective, answers, positive))
        lower, upper = sorted(ends)
    return Tried(
        number=trial.number,
        kind="probe" if isinstance(recipe, Probe) else "fine_tune",
        backbone=recipe.backbone,
        size_px=recipe.preprocessing.size_px,
        values=dict(trial.values),
        state=trial.state,
        epochs=trial.epochs,
        score=score,
        lower=lower,
        upper=upper,
        images=len({name for part in answers for name in part.sha256}),
        trainings=trial.trainings,
        seconds=trial.seconds,
        finished_at_seconds=trial.finished_at,
        chosen_for=chosen_for,
        reason=trial.reason,
        curve=mean_curve(trial.losses.values()),
    )


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
    drawn = _drawn(objective, labels, probabilities, groups, positive, resamples)
    ends = np.nanquantile(drawn, [0.025, 0.975]) if not np.isnan(drawn).all() else (score, score)
    return score, min(float(ends[0]), score), max(float(ends[1]), score)


def _drawn(
    objective: Objective,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    groups: Sequence[str],
    positive: int | None,
    resamples: int,
) -> NDArray[np.float64]:
    """The figure (resamples,) of resamples in which whole groups are drawn, the same ones for the same groups."""
    if objective.metric == "auc":
        area = _area(labels, probabilities, positive)
        return intervals.bootstrap(area, groups, resamples=resamples, seed=0)[:, 0]
    rows = _resampled(groups, resamples)
    return np.array([objective.score(labels[some], probabilities[some], positive) for some in rows])


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
    of_one, of_other = (
        _drawn(objective, labels, said, groups, positive, PAIRED_RESAMPLES)
        for said in (probabilities, others)
    )
    difference = objective.score(labels, probabilities, positive) - objective.score(labels, others, positive)
    return difference, float(np.nanstd(of_one - of_other))


def mean_curve(losses: Iterable[Mapping[int, float]]) -> tuple[CurvePoint, ...]:
    """The mean of several trainings' losses by epoch."""
    by_epoch: dict[int, list[float]] = defaultdict(list)
    for of_one in losses:
        for epoch, loss in of_one.items():
            by_epoch[epoch].append(loss)
    return tuple(
        CurvePoint(epoch=epoch, train_loss=float(np.mean(values)))
        for epoch, values in sorted(by_epoch.items())
    )
