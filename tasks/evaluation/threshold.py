"""The threshold of a positive class, by what a missed image and a false alarm are worth.

Scores are the logit of the positive class's calibrated probability; an image is called positive at or above the
threshold. Every function takes many weightings of the images at once, so that an interval can choose again in each
resample by the very rule that chose first.
"""

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field
from scipy.special import betainc, expit, logit

from tasks.errors import DataSetUnusable
from tasks.evaluation.intervals import Bools, Estimate, Floats, proportion
from tasks.evaluation.settings import ThresholdRule
from tasks.record import Frozen

# The threshold keeps this share of the gap between two neighbouring scores from either, so that rounding in
# another runtime (float32, another batch size) does not flip an image.
_GAP_MARGIN = 0.25
_BELOW_ALL = 1.0
"""Logits below the lowest score, where everything is called positive."""
_LEAST = 1e-15
_TIE = 1e-9


class OperatingPoint(Frozen):
    """What one threshold would mean in practice."""

    model_config = ConfigDict(allow_inf_nan=False)

    threshold: float = Field(ge=0, le=1, description="Positive at or above this probability.")
    recall: Estimate = Field(description="Share of positive images found.")
    specificity: Estimate = Field(description="Share of negative images that raise no alarm.")
    precision: Estimate = Field(description="Share of alarms that are right.")
    misses: int = Field(ge=0, description="Positive images below the threshold.")
    false_alarms: int = Field(ge=0, description="Negative images at or above the threshold.")
    misses_per_100: float | None = Field(description="Missed out of 100 positive images.")
    false_alarms_per_100: float | None = Field(description="Alarms out of 100 negative images.")


def choose_thresholds(
    positive: Bools, scores: Floats, weights: tuple[Floats, Floats], rule: ThresholdRule
) -> Floats:
    """Thresholds (b,) by the rule, on the scale of the scores; NaN where a row has no positive image.

    positive (n,); scores (b, n), logits of calibrated probabilities; two weightings of the images, both (b, n): one
    in which each group counts once, and one in which it counts once in each class that it has. Images of weight
    zero are not there.
    """
    per_image, per_class = weights
    target = recall_thresholds(scores[:, positive], per_class[:, positive], rule.recall_target)
    chosen = target if rule.insist_on_target else np.maximum(target, _dearest(positive, per_image, rule))
    if rule.harm_ratio is not None:
        least_harm = np.full(len(scores), -np.log(rule.harm_ratio))
        chosen = np.minimum(least_harm, target) if rule.insist_on_target else least_harm
        chosen = np.where(np.isfinite(target), chosen, np.nan)
    chosen = _to_the_gap(chosen, positive, scores, per_image > 0)
    if rule.alarm_capacity is not None:
        chosen = np.maximum(chosen, _capacity(scores, per_image, rule.alarm_capacity))
    return chosen


def recall_thresholds(scores: Floats, weights: Floats, target: float) -> Floats:
    """Where recall on unseen images is `target` on average: quantiles (b,) of positive scores (b, n).

    The estimator of Harrell and Davis, a mean of neighbouring order statistics, is steadier than any one of them; each
    group has its weight, (b, n), and their sum is the number of observations. Sources: Harrell and Davis 1982,
    doi:10.1093/biomet/69.3.635; Akinshin 2023, arXiv:2304.07265, for weights.
    """
    order = np.argsort(scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    own = np.take_along_axis(weights, order, axis=1)
    total = own.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.clip(np.cumsum(own, axis=1) / total, 0.0, 1.0)
        reached = betainc((total + 1) * (1 - target), (total + 1) * target, shares)
    return np.asarray((np.diff(reached, axis=1, prepend=0.0) * ranked).sum(axis=1), dtype=np.float64)


def _dearest(positive: Bools, weights: Floats, rule: ThresholdRule) -> Floats:
    """Thresholds (b,) below which one more per cent of recall costs more specificity than the rule allows.

    At a calibrated probability p the next image called positive is a false alarm with odds (1 - p) / p.
    """
    share = weights[:, positive].sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-12)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share) - np.log1p(-share) - np.log(rule.alarms_per_recall), dtype=np.float64)


def _to_the_gap(thresholds: Floats, positive: Bools, scores: Floats, present: Bools) -> Floats:
    """Lower each threshold to the middle of its gap, which raises no false alarm, and keep it off its neighbours."""
    below = present & ~positive & (scores < thresholds[:, None] - _TIE)
    last = np.max(scores, axis=1, where=below, initial=-np.inf)
    above = present & (scores > last[:, None])
    first = np.min(scores, axis=1, where=above, initial=np.inf)
    last = np.where(np.isfinite(last), last, first - _BELOW_ALL / (1 - _GAP_MARGIN))
    first = np.where(np.isfinite(first), first, last + _BELOW_ALL)
    return np.clip(thresholds, last + _GAP_MARGIN * (first - last), (last + first) / 2)


def _capacity(scores: Floats, weights: Floats, capacity: float) -> Floats:
    """The lowest thresholds (b,) at which no larger share of the images is called positive."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    own = np.take_along_axis(weights, order, axis=1)
    called = np.cumsum(own, axis=1) / np.maximum(own.sum(axis=1, keepdims=True), 1e-12)
    too_many = np.argmax(called > capacity + 1e-9, axis=1)
    rows = np.arange(len(scores))
    first = ranked[rows, too_many]
    before = np.min(ranked, axis=1, where=ranked > first[:, None], initial=np.inf)
    before = np.where(np.isfinite(before), before, first + _BELOW_ALL)
    every = (called <= capacity + 1e-9).all(axis=1)
    return np.where(every, -np.inf, first + (before - first) / 2)


def choose_threshold(
    positive: npt.ArrayLike, scores: npt.ArrayLike, groups: npt.ArrayLike, rule: ThresholdRule
) -> float:
    """The threshold by the rule, a probability: positive (n,) flags, scores (n,) calibrated probabilities, groups (n,).

    Raises: DataSetUnusable without a positive image, or when scores are no probabilities.
    """
    truth, values = np.asarray(positive, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    if not truth.any():
        raise DataSetUnusable(
            f"no threshold for a recall of {rule.recall_target:g} can be chosen: none of {truth.size} images is "
            "positive",
            cure="check the positive class, or use fewer folds: every training part needs positive images",
        )
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DataSetUnusable(
            f"no threshold can be chosen on scores of {values.min()} to {values.max()}",
            cure="give probabilities 0..1",
        )
    weights = group_weights(truth.astype(np.int64), groups)
    found = choose_thresholds(truth, logit(np.clip(values, _LEAST, 1 - _LEAST))[None], weights, rule)
    return float(expit(found[0]))


def group_weights(labels: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Weights (1, n) of images in which each group counts once, and in which it counts once in each class."""
    truth = np.asarray(labels, dtype=np.int64)
    index = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    cells = np.unique(np.stack([index, truth]), axis=1, return_inverse=True)[1].reshape(-1)
    return 1.0 / np.bincount(index)[index][None], 1.0 / np.bincount(cells)[cells][None]


def operating_point(
    positive: npt.ArrayLike, scores: npt.ArrayLike, groups: npt.ArrayLike, threshold: float
) -> OperatingPoint:
    """Figures of one threshold on positive (n,), scores (n,), groups (n,)."""
    truth, group_of = np.asarray(positive, dtype=np.bool_), np.asarray(groups)
    raised = np.asarray(scores, dtype=np.float64) >= threshold
    recall = proportion(raised[truth], group_of[truth], absent="no positive image")
    specificity = proportion(~raised[~truth], group_of[~truth], absent="no negative image")
    return OperatingPoint(
        threshold=threshold,
        recall=recall,
        specificity=specificity,
        precision=proportion(truth[raised], group_of[raised], absent="no alarm at this threshold"),
        misses=int((truth & ~raised).sum()),
        false_alarms=int((~truth & raised).sum()),
        misses_per_100=None if recall.value is None else 100 * (1 - recall.value),
        false_alarms_per_100=None if specificity.value is None else 100 * (1 - specificity.value),
    )


def trade_off(
    positive: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    targets: tuple[float, ...] = (0.80, 0.85, 0.90, 0.95, 0.975, 0.99),
) -> list[OperatingPoint]:
    """One operating point for each recall target, thresholds descending, doubles left out.

    These thresholds are read off the same scores: they show the choice there is, the evaluation's own
    figures come from cross-fitted thresholds.
    """
    rules = [ThresholdRule(recall_target=target, insist_on_target=True) for target in targets]
    chosen = sorted({choose_threshold(positive, scores, groups, rule) for rule in rules}, reverse=True)
    return [operating_point(positive, scores, groups, threshold) for threshold in chosen]
